//! The command as a whole.

use super::{command, ran, tce};

#[test]
fn help_of_every_subcommand_has_examples() {
    for subcommand in [
        "new",
        "compile",
        "check",
        "fmt",
        "lint",
        "breaking",
        "lock",
        "describe",
        "doc",
        "gateway",
        "call",
        "ping",
        "demo",
        "completions",
        "man",
    ] {
        tce(&[subcommand, "--help"])
            .exits(0)
            .prints(&format!("Examples:\n  tce {subcommand}"));
    }
}

#[test]
fn version_is_the_package_version() {
    let expected = concat!("tce ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(tce(&["--version"]).exits(0).out, expected);
}

#[test]
fn usage_errors_have_status_2() {
    tce(&[]).exits(2).complains("Usage: tce");
    tce(&["complie"]).exits(2).complains("'compile'");
    tce(&["ping", "--prot", "1"]).exits(2).complains("'--port'");
}

#[test]
fn completions_contain_the_subcommands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        tce(&["completions", shell])
            .exits(0)
            .prints("compile")
            .prints("index-file");
    }
    tce(&["completions", "csh"])
        .exits(2)
        .complains("bash, elvish, fish, powershell, zsh");
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    for args in [&["demo"][..], &["completions", "bash"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command().args(args).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{args:?}: {output:?}");
    }
}

#[test]
fn an_input_error_names_the_input() {
    for (args, message) in [
        (&["fmt", "-"][..], "error: can't read standard input: "),
        (&["lsp"], "error: can't read standard input: "),
    ] {
        let folder = std::fs::File::open(env!("CARGO_MANIFEST_DIR")).unwrap();
        let ran = ran(command().args(args).stdin(folder)).exits(1);
        assert!(ran.err.starts_with(message), "{ran:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_error_is_reported() {
    let full = std::fs::File::create("/dev/full").unwrap();
    let output = command().arg("demo").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaint.contains("error: can't write the output"),
        "{complaint}"
    );
}
