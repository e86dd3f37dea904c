//! `tce lock`, and the checks of `check` and `compile` against the lock.

use std::{fs, path::Path};

use super::{CommandOutput, folder, tce_in};

const IDL: &str = "module m { interface I { void a(); void b(); }; };\n";
const MOVED: &str = "module m { interface I { void a(); void c(); void b(); }; };\n";
const EXTENDED: &str = "module m { interface I { void a(); void b(); void c(); }; };\n";

const LOCK: &str = "\
# The indices that peers rely on. `tce lock` writes this file: commit it.
version = 1
m.I = 0
m.I.a = 0
m.I.b = 1
";

fn locked() -> tempfile::TempDir {
    folder(&[("idl/m.idl", IDL), ("idl/tce.lock", LOCK)])
}

fn set(folder: &Path, text: &str) {
    fs::write(folder.join("idl/m.idl"), text).unwrap();
}

fn lock(folder: &Path, args: &[&str]) -> CommandOutput {
    tce_in(folder, &[&["lock", "idl/m.idl"], args].concat())
}

fn text(folder: &Path) -> String {
    fs::read_to_string(folder.join("idl/tce.lock")).unwrap()
}

#[test]
fn the_lock_is_written_beside_the_file_and_found_from_subfolders() {
    let folder = folder(&[("idl/m.idl", IDL)]);
    assert_eq!(
        lock(folder.path(), &[]).exits(0).out,
        "wrote idl/tce.lock\n"
    );
    assert_eq!(text(folder.path()), LOCK);
    assert_eq!(
        lock(folder.path(), &[]).exits(0).out,
        "idl/tce.lock is up to date\n"
    );
    fs::rename(
        folder.path().join("idl/tce.lock"),
        folder.path().join("tce.lock"),
    )
    .unwrap();
    let whole = tce_in(folder.path(), &["lock", "idl"]);
    assert_eq!(whole.exits(0).out, "tce.lock is up to date\n");
    fs::rename(folder.path().join("tce.lock"), folder.path().join("other")).unwrap();
    let whole = tce_in(folder.path(), &["lock", "idl"]);
    assert_eq!(whole.exits(0).out, "wrote idl/tce.lock\n");
    fs::rename(
        folder.path().join("idl/tce.lock"),
        folder.path().join("tce.lock"),
    )
    .unwrap();
    let inside = tce_in(&folder.path().join("idl"), &["lock", "m.idl"]);
    assert_eq!(inside.exits(0).out, "../tce.lock is up to date\n");
}

#[test]
fn check_and_compile_refuse_a_different_index() {
    let folder = locked();
    set(folder.path(), MOVED);
    for args in [
        &["check", "idl/m.idl"][..],
        &["compile", "-i", "idl/m.idl", "-o", "gen"],
        &["lock", "idl/m.idl"],
    ] {
        tce_in(folder.path(), args)
            .exits(1)
            .complains("the index of `m.I.b` changed from 1 to 2: breaks wire")
            .complains("idl/tce.lock:5:1")
            .complains("to keep its index, write `[index=1]` before it")
            .complains("`m.I.c` has index 1, which peers use for `m.I.b`")
            .complains("write `[index=2]` before it: index 2 is unused")
            .complains("2 errors in ");
    }
    assert!(!folder.path().join("gen").exists());
    assert_eq!(text(folder.path()), LOCK);
    set(
        folder.path(),
        &MOVED
            .replace("void c", "[index=2] void c")
            .replace("void b", "[index=1] void b"),
    );
    tce_in(folder.path(), &["check", "idl/m.idl"]).exits(0);
}

#[test]
fn a_new_operation_at_the_end_is_accepted_and_locked_later() {
    let folder = locked();
    set(folder.path(), EXTENDED);
    tce_in(folder.path(), &["check", "idl/m.idl"]).exits(0);
    assert_eq!(text(folder.path()), LOCK);
    lock(folder.path(), &["--check"])
        .exits(1)
        .complains("TCE0703")
        .complains("`m.I.c` is not in the lock")
        .complains("idl/m.idl:1:")
        .complains("run `tce lock`");
    assert_eq!(text(folder.path()), LOCK);
    lock(folder.path(), &[]).exits(0);
    assert_eq!(text(folder.path()), format!("{LOCK}m.I.c = 2\n"));
    assert_eq!(
        lock(folder.path(), &["--check"]).exits(0).out,
        "all indices are locked\n"
    );
}

#[test]
fn a_deleted_operation_keeps_its_index() {
    let folder = locked();
    set(folder.path(), "module m { interface I { void a(); }; };\n");
    tce_in(folder.path(), &["check", "idl/m.idl"]).exits(0);
    lock(folder.path(), &["--check"])
        .exits(1)
        .complains("`m.I.b` is in the lock, but not in the IDL")
        .complains("idl/tce.lock:5:1");
    lock(folder.path(), &[]).exits(0);
    assert_eq!(
        text(folder.path()),
        LOCK.replace("m.I.b = 1", "m.I.b = 1 retired")
    );
    lock(folder.path(), &["--check"]).exits(0);
    set(
        folder.path(),
        "module m { interface I { void a(); void c(); }; };\n",
    );
    tce_in(folder.path(), &["check", "idl/m.idl"])
        .exits(1)
        .complains("`m.I.c` has index 1, which peers use for `m.I.b`")
        .complains("if `m.I.c` is its new name, write that name here");
}

#[test]
fn renumber_locks_new_indices() {
    let folder = locked();
    set(folder.path(), MOVED);
    assert_eq!(
        lock(folder.path(), &["--renumber"]).exits(0).out,
        "wrote idl/tce.lock\n"
    );
    assert!(text(folder.path()).ends_with("m.I.a = 0\nm.I.c = 1\nm.I.b = 2\n"));
    tce_in(folder.path(), &["check", "idl/m.idl"]).exits(0);
}

#[test]
fn an_invalid_lock_is_an_error() {
    let folder = locked();
    fs::write(folder.path().join("idl/tce.lock"), "<<<<<<< ours\n").unwrap();
    for args in [
        &["check", "idl/m.idl"][..],
        &["lock", "idl/m.idl"],
        &["lock", "--renumber", "idl/m.idl"],
        &["lock", "--check", "idl/m.idl"],
    ] {
        tce_in(folder.path(), args).exits(1).complains("TCE0700");
    }
    assert_eq!(text(folder.path()), "<<<<<<< ours\n");
    tce_in(folder.path(), &["describe", "idl/m.idl"]).exits(0);
}

#[test]
fn several_locks_are_a_usage_error() {
    let folder = folder(&[
        ("a/m.idl", IDL),
        ("a/tce.lock", LOCK),
        ("b/m.idl", IDL),
        ("b/tce.lock", LOCK),
    ]);
    tce_in(folder.path(), &["lock", "a/m.idl", "b/m.idl"])
        .exits(2)
        .complains("several locks, a/tce.lock and b/tce.lock");
}

#[cfg(unix)]
#[test]
fn a_lock_that_cannot_be_written_is_named() {
    let folder = folder(&[("idl/m.idl", IDL)]);
    // A dangling link, whose target can't be created.
    std::os::unix::fs::symlink("none/tce.lock", folder.path().join("idl/tce.lock")).unwrap();
    lock(folder.path(), &[])
        .exits(1)
        .complains("error: can't write idl/tce.lock: ");
}

#[test]
fn entries_of_a_file_that_is_not_named_are_kept() {
    let folder = folder(&[
        (
            "idl/a.idl",
            "module m { [index=0] interface A { void a(); }; }",
        ),
        (
            "idl/b.idl",
            "module m { [index=1] interface B { void b(); }; }",
        ),
    ]);
    let lock = |files: &[&str]| tce_in(folder.path(), &[&["lock"], files].concat());
    lock(&["idl"]).exits(0);
    let before = text(folder.path());
    let alone = lock(&["idl/b.idl"]).exits(2);
    let message = "`m.A` would be marked as removed, but idl/a.idl declares it";
    alone.complains(message);
    lock(&["--check", "idl/b.idl"]).exits(2).complains(message);
    assert_eq!(text(folder.path()), before);
    // A file that is gone, or no longer declares it, does not keep the entry.
    fs::write(folder.path().join("idl/a.idl"), "module m {}").unwrap();
    lock(&["idl/b.idl"]).exits(0);
    assert!(text(folder.path()).contains("m.A = 0 retired\n"));
}
