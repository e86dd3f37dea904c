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
        .complains("<FILE>");
}

#[test]
fn index_files_are_checked_too() {
    let folder = folder(&[("good.idl", GOOD), ("indices.txt", "good.Ehco=5\n")]);
    let args = ["check", "--index-file", "indices.txt", "good.idl"];
    tce_in(folder.path(), &args).exits(0).complains("TCE0401");
}
