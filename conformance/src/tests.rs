//! What the driver makes of testees that fail, of values, and of its own files.

use std::{fs, path::Path, time::Duration};

use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    case,
    expectation::KnownFailures,
    matrix::{Cell, Pair, Peer, Transport},
    process::{Testee, TesteeError},
    protocol,
    report::Report,
    run::CaseResult,
    values::{difference, expand},
};

const CELL: Cell = Cell {
    pair: Pair {
        client: Peer::Rust,
        server: Peer::Python,
    },
    transport: Transport::Tcp,
};

async fn asked(script: &str) -> TesteeError {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    let mut testee = Testee::start("the client", command, Duration::from_millis(500)).unwrap();
    testee.ask(&protocol::Command::Forget).await.unwrap_err()
}

#[tokio::test]
async fn a_testee_that_ends_is_reported_with_its_last_words() {
    let error = asked("echo 'out of cheese' >&2; exit 3").await;
    assert!(matches!(error, TesteeError::Broken { .. }));
    let text = error.to_string();
    assert!(
        text.contains("the client has ended (exit status: 3)"),
        "{text}"
    );
    assert!(text.contains("out of cheese"), "{text}");
}

#[tokio::test]
async fn a_testee_that_hangs_is_reported_with_its_last_words() {
    let error = asked("echo thinking >&2; exec sleep 60").await;
    let text = error.to_string();
    assert!(text.contains("did not answer within 500ms"), "{text}");
    assert!(text.contains("thinking"), "{text}");
}

#[tokio::test]
async fn a_testee_that_prints_something_else_is_reported() {
    let text = asked("echo hello; exec sleep 60").await.to_string();
    assert!(text.contains("answered what is no answer"), "{text}");
}

#[tokio::test]
async fn a_testee_that_refuses_a_command_goes_on() {
    let error = asked(r#"echo '{"failed": "no"}'; exec sleep 60"#).await;
    assert!(matches!(error, TesteeError::Refused { .. }));
}

fn result(case: &str, failure: Option<&str>) -> CaseResult {
    CaseResult {
        cell: CELL,
        case: case.to_owned(),
        time: Duration::ZERO,
        failure: failure.map(str::to_owned),
    }
}

/// The suite's own cases.
fn cases() -> Vec<case::Case> {
    case::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")).unwrap()
}

fn known(text: &str) -> Result<KnownFailures, String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("known.yaml");
    fs::write(&path, text).unwrap();
    KnownFailures::load(&path, &cases())
}

#[test]
fn a_known_failure_is_expected_and_must_not_pass() {
    let known = known("[{cell: 'rust:*:tcp', case: twoway, reason: the moon is full}]").unwrap();
    let expected = |results: &[CaseResult]| {
        let time = Duration::ZERO;
        let known = &known;
        let report = Report {
            results,
            known,
            time,
        };
        (report.is_as_expected(), report.table(), report.junit())
    };
    let (is_expected, table, junit) =
        expected(&[result("oneway", None), result("twoway", Some("no"))]);
    assert!(is_expected);
    assert!(
        table.contains("known failure rust:python:tcp twoway: the moon is full"),
        "{table}"
    );
    assert!(
        junit.contains(r#"<skipped message="the moon is full"/>"#),
        "{junit}"
    );

    let (is_expected, table, _) = expected(&[result("twoway", None)]);
    assert!(!is_expected);
    assert!(
        table.contains("it passes, but known-failures.yaml lists it"),
        "{table}"
    );

    let (is_expected, table, junit) = expected(&[result("oneway", Some("a < b\0"))]);
    assert!(!is_expected);
    assert!(table.contains("1/1 FAIL"), "{table}");
    assert!(junit.contains("<failure>a &lt; b</failure>"), "{junit}");

    assert!(!expected(&[]).0, "a run without cases proves nothing");
}

#[test]
fn a_known_failure_of_no_case_is_a_mistake() {
    let error = known("[{cell: rust, case: twowya, reason: none}]").unwrap_err();
    assert!(error.contains("there is no case `twowya`"), "{error}");
    let error = known("[{cell: 'ruby:rust', case: twoway, reason: none}]").unwrap_err();
    assert!(error.contains("`ruby` is none of rust, python"), "{error}");
}

#[test]
fn a_field_that_does_not_exist_is_a_mistake() {
    let folder = TempDir::new().unwrap();
    let text = "- {name: x, about: y, steps: [{call: {operation: Probe.echo, resutl: 1}}]}";
    fs::write(folder.path().join("wrong.yaml"), text).unwrap();
    let error = case::load(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("wrong.yaml") && error.contains("resutl"),
        "{error}"
    );
}

#[test]
fn equal_values_are_equal_as_each_language_writes_them() {
    let pairs = [
        (json!(1), json!(1.0)),
        (
            json!(-4.8831582568238285e17),
            json!(-488_315_825_682_382_850_i64),
        ),
        (json!({"double": "-0"}), json!(-0.0)),
        (json!({"long": "-5"}), json!(-5)),
        (
            json!({"map": [["a", 1], ["b", 2]]}),
            json!({"map": [["b", 2], ["a", 1.0]]}),
        ),
        (json!({"bytes": "abab"}), json!({"bytes": "ab", "times": 2})),
    ];
    for (one, other) in pairs {
        assert_eq!(difference(&one, &other), None);
    }
    let unequal = [
        (json!(0), json!(-0.0)),
        (json!({"double": "NaN"}), json!(null)),
        (
            json!({"long": "9223372036854775807"}),
            json!(9_223_372_036_854_775_807_i64 - 1),
        ),
        (json!({"map": [["a", 1]]}), json!({"map": []})),
        (json!(true), json!(1)),
    ];
    for (one, other) in unequal {
        assert!(difference(&one, &other).is_some(), "{one} {other}");
    }
}

#[test]
fn a_difference_names_its_place() {
    let text = difference(
        &json!({"pets": [1, {"b": 2}]}),
        &json!({"pets": [1, {"b": 3}]}),
    );
    assert_eq!(text.unwrap(), "at .pets[1].b: expected 2, not 3");
}

#[test]
fn values_are_described() {
    let expanded = [
        (json!({"text": "ab", "times": 2}), json!("abab")),
        (json!({"item": [7], "times": 2}), json!([[7], [7]])),
        (json!({"range": 3}), json!([0, 1, 2])),
        (json!(i64::MIN), json!({"long": i64::MIN.to_string()})),
        (json!(["$n", "call $n"]), json!([5, "call 5"])),
    ];
    for (described, expected) in expanded {
        assert_eq!(expand(&described, 5), expected);
    }
}
