//! `--error-format`, colours, manual pages.

use super::{BAD, GOOD, command, folder, ran, tce_in};

#[test]
fn github_format_has_one_command_per_line_and_nothing_else() {
    let folder = folder(&[("bad.idl", BAD), ("good.idl", GOOD)]);
    let place = "::error file=bad.idl,line=1,endLine=1,col=27,endColumn=32,";
    let expected = format!(
        "{place}title=TCE0200 unknown-type::there is no type `strng`%0Ahelp: did you mean `string`?\n"
    );
    for args in [
        &["check", "--error-format", "github", "bad.idl"][..],
        &["--error-format", "github", "check", "bad.idl"],
        &["compile", "--error-format=github", "-i", "bad.idl"],
    ] {
        assert_eq!(tce_in(folder.path(), args).exits(1).err, expected);
    }
    let args = ["check", "--error-format", "github", "good.idl"];
    assert_eq!(tce_in(folder.path(), &args).exits(0).err, "");
}

#[test]
fn unknown_formats_are_usage_errors() {
    let folder = folder(&[("good.idl", GOOD)]);
    tce_in(
        folder.path(),
        &["check", "--error-format", "xml", "good.idl"],
    )
    .exits(2)
    .complains("text, short, json, github");
}

#[test]
fn output_to_a_pipe_has_no_colour() {
    let folder = folder(&[("bad.idl", BAD)]);
    for args in [&["check", "bad.idl"][..], &["check", "--hepl"]] {
        let ran = ran(command().args(args).current_dir(folder.path()));
        assert!(!ran.err.contains('\x1b'), "{}", ran.err);
    }
}

#[test]
fn each_subcommand_has_a_manual_page() {
    let folder = folder(&[]);
    let ran = tce_in(folder.path(), &["man", "man1"]).exits(0);
    let page = |name: &str| std::fs::read_to_string(folder.path().join("man1").join(name)).unwrap();
    let overview = page("tce.1");
    for subcommand in [
        "compile",
        "check",
        "fmt",
        "lint",
        "breaking",
        "lock",
        "describe",
        "ping",
        "demo",
        "completions",
        "man",
    ] {
        let text = page(&format!("tce-{subcommand}.1"));
        assert!(text.contains(&format!("tce {subcommand}")), "{text}");
        let named = format!("tce\\-{subcommand}(1)");
        assert!(overview.contains(&named), "{named}: {overview}");
    }
    let pages = folder.path().join("man1").read_dir().unwrap().count();
    ran.complains(&format!("wrote {pages} pages to man1"));
    std::fs::write(folder.path().join("file"), "").unwrap();
    tce_in(folder.path(), &["man", "file"])
        .exits(1)
        .complains("can't write to `file`");
}
