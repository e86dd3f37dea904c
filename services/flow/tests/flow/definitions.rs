//! Definitions: broken ones with their diagnostics, and what is printed back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use tce_flow::def::{Code, MAX_REPORTED, MAX_TEXT, Style, parse, print, render};
use tce_flow::tree::{MAX_DEPTH, NodeId, Tree};

use crate::common::Simulation;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/flow")
        .join(name)
}

/// Compares a text with a file, which `BLESS=1` writes.
fn compare(path: &Path, actual: &str) {
    if env::var_os("BLESS").is_some() {
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(actual, expected, "{}", path.display());
}

#[test]
fn broken_definitions_get_their_diagnostics() {
    let mut cases: Vec<_> = fs::read_dir(folder("broken"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "def"))
        .collect();
    cases.sort();
    assert!(cases.len() >= 30, "{}", cases.len());
    let mut codes = BTreeSet::new();
    for path in cases {
        let text = fs::read_to_string(&path).unwrap();
        let parsed = parse(&text);
        codes.extend(parsed.diagnostics.iter().map(|found| found.code));
        let name = path.file_name().unwrap().to_str().unwrap();
        compare(
            &path.with_extension("txt"),
            &render(&parsed.diagnostics, name, &text),
        );
    }
    let without_case: Vec<_> = Code::ALL
        .iter()
        .filter(|code| !codes.contains(code))
        .collect();
    // These need texts of megabytes: they are tested below.
    assert_eq!(
        without_case,
        [&Code::TextTooLong, &Code::TooManyNodes, &Code::TooDeep]
    );
}

#[test]
fn definitions_are_printed_as_ecflow_prints_them() {
    let text = fs::read_to_string(folder("recorded/layout.def")).unwrap();
    let simulation = Simulation::begun(&text);
    let printed = print(simulation.machine.tree(), NodeId::ROOT, Style::Definition);
    let expected = fs::read_to_string(folder("recorded/layout.get")).unwrap();
    assert_eq!(printed, expected);
    compare(
        &folder("recorded/layout.get_state"),
        &simulation.get_state(),
    );
}

#[test]
fn texts_are_bounded() {
    let code = |text: &str| parse(text).diagnostics.first().map(|found| found.code);
    assert_eq!(code(&"#".repeat(MAX_TEXT + 1)), Some(Code::TextTooLong));
    let nested = |depth: usize| {
        let families: String = (2..depth).map(|_| "family f\n").collect();
        format!(
            "suite s\n{families}task t\n{}endsuite\n",
            "endfamily\n".repeat(depth - 2)
        )
    };
    assert_eq!(code(&nested(MAX_DEPTH)), None);
    assert_eq!(code(&nested(MAX_DEPTH + 1)), Some(Code::TooDeep));
    assert_eq!(code(&nested(100_000)), Some(Code::TooDeep));
    let broken = "x\n".repeat(10_000);
    assert_eq!(parse(&broken).diagnostics.len(), MAX_REPORTED);
}

#[test]
fn ten_thousand_events_of_one_node_take_no_time() {
    let events: String = (0..300_000)
        .map(|number| format!("event {number}\n"))
        .collect();
    let parsed = parse(&format!("suite s\ntask t\n{events}endsuite"));
    assert!(parsed.diagnostics.is_empty());
}

#[test]
fn statements_may_be_joined_and_parted() {
    let joined =
        "suite s; task t; trigger 1 == 1 \\\n and 2 == 2 # why\r\nedit A 'it's # a; b'; endsuite";
    let plain = "suite s\n task t\n trigger 1 == 1 and 2 == 2\n edit A \"it's # a; b\"\nendsuite\n";
    let tree = |text: &str| {
        let parsed = parse(text);
        assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
        let mut tree = Tree::default();
        tree.attach(
            NodeId::ROOT,
            parsed.definition.suites.into_iter().next().unwrap(),
        );
        print(&tree, NodeId::ROOT, Style::Definition)
    };
    assert_eq!(tree(joined), tree(plain));
}

#[test]
fn parts_are_added_to_a_trigger() {
    let text =
        "suite s\n task t\n trigger 1 == 1\n trigger -a 2 == 3\n trigger -o 4 == 4\nendsuite";
    let parsed = parse(text);
    let trigger = parsed.definition.suites[0].children[0]
        .attributes
        .trigger
        .clone();
    assert_eq!(
        trigger.unwrap().text(),
        "((1 == 1) and (2 == 3)) or (4 == 4)"
    );
}
