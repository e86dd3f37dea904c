//! `tce breaking`.

mod git;

use super::{BAD, folder, json_lines, tce_in};

const OLD: &str = "module m { interface I { void a(); void b(int n); }; };\n";
/// `c` in the middle moves `b`.
const MOVED: &str = "module m { interface I { void a(); void c(); void b(int n); }; };\n";
const RENAMED: &str = "module m { interface I { void a(); void b(int count); }; };\n";
const EXTENDED: &str = "module m { interface I { void a(); void b(int n); void c(); }; };\n";

#[test]
fn a_file_is_compared_with_a_file() {
    let folder = folder(&[("old.idl", OLD), ("new.idl", MOVED), ("more.idl", EXTENDED)]);
    let against = |new: &str| tce_in(folder.path(), &["breaking", "--against", "old.idl", new]);
    let ran = against("new.idl")
        .exits(1)
        .complains("the index of `m.I.b` changed from 1 to 2: breaks wire")
        .complains("--> new.idl:1:51")
        .complains("::: old.idl:1:41")
        .complains("help: to keep its index, write `[index=1]` before it")
        .complains("\n\n2 breaking changes for peers that have old.idl\n");
    assert_eq!(ran.out, "");
    let silent = "nothing breaks for peers that have old.idl\n";
    assert_eq!(against("more.idl").exits(0).err, silent);
    assert_eq!(against("old.idl").exits(0).err, silent);
}

#[test]
fn a_folder_replaces_this_one_with_its_imports_and_indices() {
    let user = "import good\nmodule user { interface U { void u(good::S s); }; };\n";
    let good = |member: &str| format!("module good {{ struct S {{ {member}; }}; }};\n");
    let folder = folder(&[
        ("user.idl", user),
        ("common/good.idl", &good("int i")),
        ("indices.txt", "user.U=7\n"),
        ("v1/user.idl", user),
        ("v1/common/good.idl", &good("long i")),
        ("v1/indices.txt", "user.U=8\n"),
    ]);
    let mut args = vec!["breaking", "--against", "v1", "-I", "common", "user.idl"];
    args.extend(["--index-file", "indices.txt"]);
    tce_in(folder.path(), &args)
        .exits(1)
        .complains("the type of member `i` of `good.S` changed from `long` to `int`: breaks wire and source")
        .complains("::: v1/common/good.idl:1:")
        .complains("the index of `user.U` changed from 8 to 7")
        .complains("help: to keep its index, write `8` here")
        .complains("2 breaking changes for peers that have v1\n");
}

#[test]
fn errors_name_the_version() {
    let folder = folder(&[("good.idl", OLD), ("bad.idl", BAD)]);
    let against =
        |old: &str, new: &str| tce_in(folder.path(), &["breaking", "--against", old, new]);
    let ran = against("bad.idl", "good.idl").exits(1);
    assert!(
        ran.err.starts_with("the earlier version has errors:\n\n"),
        "{}",
        ran.err
    );
    let ran = against("good.idl", "bad.idl").exits(1).complains("TCE0200");
    assert!(!ran.err.contains("earlier version"), "{}", ran.err);
}

#[test]
fn json_has_what_breaks_as_a_field() {
    let folder = folder(&[("old.idl", OLD), ("new.idl", RENAMED), ("moved.idl", MOVED)]);
    let args = ["breaking", "--error-format", "json", "--against", "old.idl"];
    let objects = json_lines(
        &tce_in(folder.path(), &[&args[..], &["new.idl"]].concat())
            .exits(1)
            .err,
    );
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["name"], "parameter-renamed");
    assert_eq!(objects[0]["breaks"], serde_json::json!(["source"]));
    let objects = json_lines(
        &tce_in(folder.path(), &[&args[..], &["moved.idl"]].concat())
            .exits(1)
            .err,
    );
    assert_eq!(objects[1]["repair"]["replacement"], "[index=1] ");
    let args = [
        "breaking",
        "--error-format",
        "github",
        "--against",
        "old.idl",
        "new.idl",
    ];
    let ran = tce_in(folder.path(), &args).exits(1);
    assert!(
        ran.err.starts_with("::error file=new.idl,line=1,"),
        "{}",
        ran.err
    );
}

#[test]
fn wire_only_ignores_source_changes() {
    let folder = folder(&[("old.idl", OLD), ("new.idl", RENAMED)]);
    let args = ["breaking", "--wire-only", "--against", "old.idl", "new.idl"];
    tce_in(folder.path(), &args).exits(0);
}
