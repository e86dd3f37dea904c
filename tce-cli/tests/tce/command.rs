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
        "task",
        "frame",
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

/// A gateway that logs a warning, and can't listen: the address belongs to no machine.
#[cfg(target_os = "linux")]
const SERVICES: &str = r#"
<SNS><InterfaceDef><if id="0" name="m.I"/></InterfaceDef>
<EndPoints><ep name="clients" type="socket" host="203.0.113.1" port="12002"/>
<ep name="server" type="socket" host="localhost" port="12003"/></EndPoints>
<servers><server name="gw"><route if="m.I"><call in="clients" out="server"/><return in="server" out="clients"/></route>
<properties><property name="listen" value="clients"/><property name="nonsense" value="1"/></properties>
</server></servers></SNS>
"#;

/// The output of a command in a terminal, with these variables.
#[cfg(target_os = "linux")]
fn in_terminal(command_line: &str, variables: &[(&str, &str)]) -> String {
    let program = env!("CARGO_BIN_EXE_tce");
    let mut script = std::process::Command::new("script");
    script
        .args(["-qec", &format!("{program} {command_line}"), "/dev/null"])
        .env_remove("NO_COLOR")
        .envs(variables.iter().copied());
    String::from_utf8(script.output().unwrap().stdout).unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn escape_sequences_are_written_where_they_are_wanted() {
    let (_adapter, endpoint) = crate::servers::simple().await;
    let folder = crate::folder(&[("bad.idl", crate::BAD), ("services.xml", SERVICES)]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    for (command_line, text) in [
        (format!("check {}", path("bad.idl")), "strng"),
        ("check --help".to_owned(), "Usage"),
        ("gateway --nonsense".to_owned(), "--nonsense"),
        (
            format!("call {endpoint} echo x --repeat 2000"),
            "2000 answered",
        ),
        (format!("gateway {} gw", path("services.xml")), "nonsense"),
    ] {
        let wanted = in_terminal(&command_line, &[("TERM", "xterm")]);
        assert!(wanted.contains('\u{1b}'), "{command_line}: {wanted}");
        for variables in [
            &[("TERM", "dumb"), ("CI", "true")][..],
            &[("TERM", "xterm"), ("NO_COLOR", "1")],
        ] {
            let plain = in_terminal(&command_line, variables);
            assert!(plain.contains(text), "{command_line}: {plain}");
            assert!(!plain.contains('\u{1b}'), "{command_line}: {plain}");
        }
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
