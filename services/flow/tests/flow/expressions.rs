//! Expressions against the answers of ecFlow 5.9.2, and the bounds of the parser.
//!
//! `recorded/expressions.txt` has what `ecflow_client --query trigger /s/f/t1` answered for each
//! expression, on the suite of `expressions.def` in the states below; and, where it differs on
//! purpose, what this server answers. `dies`: the question ended ecFlow's server.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use tce_flow::expression::{Expression, MAX_DEPTH, MAX_LENGTH};
use tce_flow::machine::{AlterAction, Attribute, Command, ForceTarget};
use tce_flow::state::State;

use crate::common::Simulation;

fn recorded(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/flow/recorded")
        .join(name)
}

fn simulation() -> Simulation {
    let definition = fs::read_to_string(recorded("expressions.def")).unwrap();
    let mut simulation = Simulation::begun(&definition);
    let states = [
        ("/s/f/t1", State::Active),
        ("/s/f/t5", State::Aborted),
        ("/s/f/t6", State::Submitted),
        ("/s/f/t7", State::Unknown),
    ];
    for (path, state) in states {
        simulation.force(path, state);
    }
    let meter = AlterAction::Change {
        attribute: Attribute::Meter,
        name: "step".into(),
        value: "20".into(),
    };
    simulation
        .apply(Command::Alter {
            paths: vec!["/s/f/t1".into()],
            action: meter,
        })
        .unwrap();
    simulation
        .apply(Command::Force {
            paths: vec!["/s/f/t1:b".into()],
            target: ForceTarget::Event(true),
            is_recursive: false,
            is_full: false,
        })
        .unwrap();
    simulation
}

#[test]
fn expressions_have_the_values_that_ecflow_gives_them() {
    let simulation = simulation();
    let task = simulation.id("/s/f/t1");
    let path = recorded("expressions.txt");
    let table = fs::read_to_string(&path).unwrap();
    let mut actual = String::new();
    let mut count = 0;
    for line in table.lines() {
        let (answers, expression) = line.split_once('\t').unwrap();
        let theirs = answers.split(", here ").next().unwrap();
        let ours = match simulation.machine.query_trigger(task, expression) {
            Ok(true) => "true",
            Ok(false) => "false",
            Err(_) => "error",
        };
        let here = if ours == theirs {
            String::new()
        } else {
            format!(", here {ours}")
        };
        writeln!(actual, "{theirs}{here}\t{expression}").unwrap();
        count += 1;
    }
    assert!(count >= 200);
    if env::var_os("BLESS").is_some() {
        fs::write(&path, &actual).unwrap();
    }
    assert_eq!(actual, table);
}

#[test]
fn a_division_by_zero_is_false() {
    let text = "suite s\n task t\n trigger 1 / :Z == 1 or 1 == 1\n edit Z 0\nendsuite";
    let simulation = Simulation::begun(text);
    assert_eq!(simulation.state("/s/t"), State::Queued);
    let why = simulation.machine.why(simulation.id("/s/t"));
    assert_eq!(
        why,
        ["TASK /s/t(queued) expression (1 / :Z == 1 or 1 == 1): division by zero"]
    );
}

#[test]
fn expressions_are_bounded() {
    let nested = |depth| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Expression::parse(&nested(MAX_DEPTH)).is_ok());
    assert!(Expression::parse(&nested(MAX_DEPTH + 1)).is_err());
    assert!(Expression::parse(&nested(MAX_LENGTH / 2 - 1)).is_err());
    let long = format!("1{}", " + 1".repeat(MAX_LENGTH / 4 - 1));
    assert!(Expression::parse(&long).is_ok());
    assert!(Expression::parse(&format!("{long} + 1 + 1")).is_err());
    let long = format!("1{}", " or 1".repeat(MAX_LENGTH / 5 - 1));
    assert!(Expression::parse(&long).is_ok());
}

#[test]
fn errors_say_where_they_are() {
    let cases = [
        (
            "a == complete b",
            14,
            "expected `and`, `or` or the end of the expression",
        ),
        (
            "1 == 1 == 1",
            7,
            "expected `and`, `or` or the end of the expression",
        ),
        ("(1 == 1", 7, "expected `)`"),
        ("", 0, "expected a node, a number, `:NAME` or `(`"),
        (
            "1 == 99999999999",
            5,
            "`99999999999` is not an integer of 32 bits",
        ),
    ];
    for (text, at, message) in cases {
        let error = Expression::parse(text).unwrap_err();
        assert_eq!((error.at, &*error.message), (at, message), "{text}");
    }
}
