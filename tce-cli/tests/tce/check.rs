//! `tce check`.

use super::{BAD, GOOD, folder, json_lines, tce_in};

#[test]
fn correct_files_are_counted_with_their_imports() {
    let folder = folder(&[
        ("good.idl", GOOD),
        (
            "user.idl",
            "import good\nmodule user { interface Echo2 extends good::Echo { [index=7] void more(); }; }",
        ),
    ]);
    let ran = tce_in(folder.path(), &["check", "user.idl"]).exits(0);
    assert!(
        ran.err.ends_with("no errors and 1 warning in 2 files\n"),
        "{}",
        ran.err
    );
    assert_eq!(ran.out, "");
    let ran = tce_in(folder.path(), &["check", "good.idl"]).exits(0);
    assert_eq!(ran.err, "no errors in 1 file\n");
}

#[test]
fn imports_are_found_on_the_include_path() {
    let folder = folder(&[
        ("common/good.idl", GOOD),
        (
            "user.idl",
            "import good\nmodule user { struct S { int i; }; }",
        ),
    ]);
    tce_in(folder.path(), &["check", "user.idl"])
        .exits(1)
        .complains("TCE0002");
    tce_in(folder.path(), &["check", "-I", "common", "user.idl"])
        .exits(0)
        .complains("no errors in 2 files");
}

#[test]
fn a_mistake_is_shown_with_its_position_and_repair() {
    let folder = folder(&[("bad.idl", BAD), ("good.idl", GOOD)]);
    let ran = tce_in(folder.path(), &["check", "good.idl", "bad.idl"])
        .exits(1)
        .complains("TCE0200")
        .complains("bad.idl:1:27")
        .complains("did you mean `string`?")
        .complains("\n\n1 error in 2 files\n");
    assert!(!ran.err.contains('\x1b'), "colour without a terminal");
}

#[test]
fn json_format_has_one_object_per_line_and_nothing_else() {
    let folder = folder(&[("bad.idl", BAD), ("good.idl", GOOD)]);
    let args = ["check", "--error-format", "json", "bad.idl"];
    let ran = tce_in(folder.path(), &args).exits(1);
    let objects = json_lines(&ran.err);
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["code"], "TCE0200");
    assert_eq!(objects[0]["primary"]["column"], 27);
    let args = ["check", "--error-format", "json", "good.idl"];
    assert_eq!(tce_in(folder.path(), &args).exits(0).err, "");
}

#[test]
fn a_missing_file_is_an_error() {
    let folder = folder(&[]);
    tce_in(folder.path(), &["check", "none.idl"])
        .exits(1)
        .complains("TCE0001")
        .complains("none.idl")
        .complains("1 error in 1 file");
    tce_in(folder.path(), &["check"])
        .exits(2)
        .complains("name IDL files or folders");
}

#[test]
fn index_files_are_checked_too() {
    let folder = folder(&[("good.idl", GOOD), ("indices.txt", "good.Ehco=5\n")]);
    let args = ["check", "--index-file", "indices.txt", "good.idl"];
    tce_in(folder.path(), &args).exits(0).complains("TCE0401");
}

/// Files that an editor (`.#shop.idl`, a link to nothing) and macOS (`._shop.idl`) put beside others.
#[cfg(unix)]
#[test]
fn files_in_a_folder_that_are_not_the_users_are_left_out() {
    let folder = folder(&[("idl/shop.idl", SHOP)]);
    let git = |args: &[&str]| {
        let mut command = std::process::Command::new("git");
        let author = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
        let output = command.args(author).args(args).current_dir(folder.path());
        assert!(output.output().unwrap().status.success(), "{args:?}");
    };
    let hidden = |name: &str| folder.path().join("idl").join(name);
    std::os::unix::fs::symlink("ann@host.4711:1700000000", hidden(".#shop.idl")).unwrap();
    std::fs::write(hidden("._shop.idl"), b"\0\x05\x16\x07\xb0\xff").unwrap();
    std::fs::create_dir(hidden("empty.idl")).unwrap();
    // They are in the earlier version, too.
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "1"]);
    for args in [
        &["fmt", "--check", "idl"][..],
        &["lint", "idl"],
        &["check", "idl/shop.idl"],
        &["lock", "idl"],
        &["lock", "--check", "idl"],
        &["doc", "idl", "-o", "site"],
        &["breaking", "--against", "git#branch=main", "idl"],
    ] {
        let ran = tce_in(folder.path(), args).exits(0);
        assert!(!ran.err.contains("idl/."), "{ran:?}");
    }
    let missing = tce_in(folder.path(), &["check", "idl/shop.id"]).exits(1);
    missing.complains("did you mean `idl/shop.idl`?");
}

const SHOP: &str = "\
module shop {
    [index=0]
    interface Shop {
        void open();
    };
}
";
