//! Exit statuses, and errors in each format.

use serde_json::json;

use super::{BAD, CommandOutput, GOOD, folder, json_lines, tce_in};

const SERVICES: &str = r#"<SNS>
  <InterfaceDef><if id="2" name="test.Server"/></InterfaceDef>
  <EndPoints>
    <ep name="front" type="socket" port="0"/>
    <ep name="back" type="socket" host="localhost" port="1"/>
  </EndPoints>
  <servers><server name="gw" type="socket server">
    <route if="test.Server"><call in="front" out="bakc"/></route>
    <properties><property name="listen" value="front"/></properties>
  </server></servers>
</SNS>
"#;

/// Runs a command of words in a folder with files of all kinds.
fn run(words: &str) -> CommandOutput {
    let valid = SERVICES.replace("bakc", "back");
    let folder = folder(&[
        ("good.idl", GOOD),
        ("bad.idl", BAD),
        ("services.xml", &valid),
        ("wrong.xml", SERVICES),
        ("other/good.idl", GOOD),
        ("settings/tce.toml", "[idl]\nsorces = []\n"),
    ]);
    let words: Vec<_> = words.split_whitespace().collect();
    tce_in(folder.path(), &words)
}

/// The table of `docs/command-line.md`.
#[test]
fn each_command_has_the_statuses_of_the_guide() {
    for (words, status) in [
        ("check good.idl", 0),
        ("check bad.idl", 1),
        ("check missing.idl", 1),
        ("check", 2),
        ("check good.idl --config settings/tce.toml", 2),
        ("compile good.idl -o gen", 0),
        ("compile bad.idl -o gen", 1),
        ("compile good.idl -o gen --check", 1),
        ("compile good.idl --lang cobol", 2),
        ("fmt --check good.idl", 1),
        ("fmt bad.idl", 0),
        ("fmt --check", 2),
        ("lint good.idl", 0),
        ("lint bad.idl", 1),
        ("lint --explain no-such-rule", 2),
        ("breaking --against other/good.idl good.idl", 0),
        ("breaking --against bad.idl good.idl", 1),
        ("breaking good.idl", 2),
        ("lock good.idl", 0),
        ("lock good.idl --check", 1),
        ("describe good.idl Echo", 0),
        ("describe bad.idl", 1),
        ("describe good.idl Ecko", 2),
        ("describe tcp://localhost:1", 1),
        ("describe tpc://localhost:1", 2),
        ("doc good.idl -o site", 0),
        ("doc bad.idl -o site", 1),
        ("new hello", 0),
        ("new good.idl", 2),
        ("new good.idl/hello", 1),
        ("call tcp://localhost:1 echo hi --idl good.idl", 1),
        ("call tcp://localhost:1 echo hi --idl bad.idl", 1),
        ("call tcp://localhost:1 ecko hi --idl good.idl", 2),
        ("call localhost:1 echo hi --idl good.idl", 2),
        ("ping tcp://localhost:1", 1),
        ("ping --port 0", 2),
        ("gateway services.xml --check", 0),
        ("gateway wrong.xml --check", 1),
        ("gateway missing.xml --check", 1),
        ("gateway ctl 1 count", 1),
        ("gateway", 2),
        ("completions bash", 0),
        ("completions csh", 2),
        ("complie", 2),
        ("--version", 0),
    ] {
        let ran = run(words);
        assert_eq!(ran.code, Some(status), "tce {words}: {ran:?}");
        let is_silent = ran.out.is_empty() && ran.err.is_empty();
        assert!(status == 0 || !is_silent, "tce {words}: {ran:?}");
    }
}

#[test]
fn all_errors_are_json_for_programs() {
    for words in [
        "check bad.idl",
        "check missing.idl",
        "describe good.idl Ecko",
        "describe tcp://localhost:1",
        "call tcp://localhost:1 echo hi --idl good.idl",
        "new good.idl",
        "gateway wrong.xml --check",
        "gateway missing.xml",
        "gateway ctl 1 count",
    ] {
        let ran = run(&format!("--error-format json {words}"));
        let lines = json_lines(&ran.err);
        assert!(!lines.is_empty(), "{words}");
        for line in lines {
            assert_eq!(line["severity"], "error", "{words}: {line}");
            assert!(line["message"].is_string(), "{words}: {line}");
        }
    }
}

#[test]
fn a_mistake_in_a_services_xml_has_its_place_in_each_format() {
    let message = "endpoint `bakc` is not defined; did you mean `back`?";
    let json = run("gateway wrong.xml --check --error-format json").exits(1);
    let place = json!({"file": "wrong.xml", "line": 8, "column": 51});
    let expected = json!({"severity": "error", "message": message, "primary": place});
    assert_eq!(json_lines(&json.err), [expected]);
    for (format, expected) in [
        ("text", format!("wrong.xml:8:51: {message}\n")),
        ("human", format!("wrong.xml:8:51: {message}\n")),
        ("short", format!("wrong.xml:8:51: error: {message}\n")),
        (
            "github",
            format!("::error file=wrong.xml,line=8,col=51::{message}\n"),
        ),
    ] {
        let ran = run(&format!(
            "gateway wrong.xml --check --error-format {format}"
        ));
        assert_eq!(ran.exits(1).err, expected);
    }
}

#[test]
fn the_short_format_has_a_line_for_each_mistake() {
    let ran = run("check bad.idl --error-format short").exits(1);
    let expected =
        "bad.idl:1:27: error[TCE0200]: there is no type `strng`; did you mean `string`?\n";
    assert_eq!(ran.err, expected);
}
