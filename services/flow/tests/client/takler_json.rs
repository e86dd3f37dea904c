//! Flows in Takler's JSON.

use tce_flow::def::{from_takler_json, parse};

use crate::common::{ecflow, takler};

/// What Takler 0.1.0 from PyPI gives for the flow of `takler_flow.py`.
const JSON: &str = include_str!("recorded/takler_flow.json");
/// The tree that Takler prints of it, with triggers.
const TREE: &str = include_str!("recorded/takler_flow.tree");

const DEFINITION: &str = "\
suite json
  edit TAKLER_HOME '/tmp/h'
  edit NUMBER '3'
  edit WORD \"it's\"
  limit lim 2
  family c1
    repeat date YMD 20260101 20260103 1
    inlimit lim
    task t1
      edit TAKLER_SCRIPT '/tmp/h/t1.takler'
      meter step 0 100
      event half
      event go set
    task t2
      complete ./t1 == aborted or ./t1:step >= 20
      trigger ./t1 == complete and ./t1:half == set
      edit TAKLER_SCRIPT '/tmp/h/t2.takler'
      time 10:00
  endfamily
  family c2
    task t3
      defstatus complete
    task t4
      inlimit /json:lim 2
  endfamily
endsuite
";

#[test]
fn a_flow_is_converted_to_a_definition() {
    assert_eq!(from_takler_json(JSON).unwrap(), DEFINITION);
    assert!(!parse(DEFINITION).has_errors());
}

#[test]
fn a_flow_is_loaded_and_shown_as_takler_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flow.json");
    std::fs::write(&file, JSON).unwrap();
    let file = file.to_str().unwrap();
    assert!(
        takler(&["load", file])
            .text()
            .ends_with("received: success\n")
    );
    let shown = takler(&["show", "--show-trigger"]).text();
    let shown = shown.split("|- json ").nth(1).unwrap();
    let shown = shown.split("\n|- ").next().unwrap().trim_end();
    assert_eq!(format!("|- json {shown}\n"), TREE);
    // ecFlow's client takes it, too.
    assert_eq!(ecflow(&["--load", file, "force"]).text(), "");
    assert!(
        takler(&["load", file])
            .error()
            .contains("A Suite of name 'json' already exist")
    );
}

#[test]
fn what_a_definition_can_not_hold_is_refused_with_its_node() {
    for (text, problem) in [
        ("{", "EOF while parsing"),
        ("[]", "not a flow in Takler's JSON: "),
        ("{\"name\":\"a b\"}", "/a b: `a b` is no name of a node"),
        ("{\"name\":\"s\",\"try_no\":0}", "/s: a task is no flow"),
        (
            "{\"name\":\"s\",\"trigger\":\"a == complete; edit X 1\"}",
            "is no expression",
        ),
        (
            "{\"name\":\"s\",\"user_parameters\":[{\"name\":\"A\",\"value\":[1]}]}",
            "/s: the value of `A` is no text",
        ),
        (
            "{\"name\":\"s\",\"user_parameters\":[{\"name\":\"A\",\"value\":\"1\\n2\"}]}",
            "/s: a definition can't hold the value of `A`",
        ),
        (
            "{\"name\":\"s\",\"default_node_status\":5}",
            "/s: default_node_status can't be 5",
        ),
        (
            "{\"name\":\"s\",\"times\":[{\"time\":\"x\"}]}",
            "/s: `x` is no time",
        ),
    ] {
        let error = from_takler_json(text).unwrap_err().to_string();
        assert!(error.contains(problem), "{text}: {error}");
    }
    let nested = "{\"name\":\"s\",\"children\":[".repeat(200);
    assert!(from_takler_json(&nested).is_err());
}

#[test]
fn all_flows_of_a_server_are_one_definition() {
    let text = "{\"name\":\"\",\"flows\":[{\"name\":\"a\"},{\"name\":\"b\"}],\"server_state\":{}}";
    assert_eq!(
        from_takler_json(text).unwrap(),
        "suite a\nendsuite\nsuite b\nendsuite\n"
    );
}
