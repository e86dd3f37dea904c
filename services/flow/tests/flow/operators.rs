//! What operators order, against the states that ecFlow 5.9.2 was in after the same commands.
//!
//! A line of `recorded/operators.txt`: the state of `/s/f/a` before (its event set, its meter 5),
//! the command, and then the states of `/s`, `/s/f`, `/s/f/a` (and its try), `/s/f/b`, `/s/c` and
//! `/s/d`, the tokens that are held, the event and the meter. `here` follows where this server
//! differs on purpose.

use std::path::Path;
use std::{env, fs};

use tce_flow::attribute::Signals;
use tce_flow::machine::{
    AlterAction, Attribute, ChildCall, Code, Command, Effect, ForceTarget, FreeKind, Order,
    RequeueMode,
};
use tce_flow::state::State;

use crate::common::Simulation;

fn change(attribute: Attribute, name: &str, value: &str) -> AlterAction {
    AlterAction::Change {
        attribute,
        name: name.into(),
        value: value.into(),
    }
}

fn alter(simulation: &mut Simulation, path: &str, action: AlterAction) -> Code {
    let paths = vec![path.into()];
    let applied = simulation.apply(Command::Alter { paths, action }).unwrap();
    applied.outcomes[0].code
}

fn run(paths: &[&str], force: bool) -> Command {
    let paths = paths.iter().map(|path| (*path).into()).collect();
    Command::Run { paths, force }
}

/// A suite whose task `/s/f/a` is in a state.
fn simulation(before: &str) -> Simulation {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flow/recorded");
    let text = fs::read_to_string(folder.join("operators.def")).unwrap();
    let mut simulation = Simulation::begun(&text);
    alter(
        &mut simulation,
        "/s/f/a",
        change(Attribute::Event, "e", "set"),
    );
    alter(
        &mut simulation,
        "/s/f/a",
        change(Attribute::Meter, "m", "5"),
    );
    match before {
        "queued" => {}
        "submitted" | "active" => {
            simulation.apply(run(&["/s/f/a"], false)).unwrap();
            if before == "active" {
                simulation.start("/s/f/a");
            }
        }
        state => simulation.force("/s/f/a", State::from_name(state).unwrap()),
    }
    simulation
}

fn command(text: &str) -> Command {
    let (family, task) = (vec!["/s/f".into()], vec!["/s/f/a".into()]);
    let requeue = |mode| Command::Requeue {
        paths: family.clone(),
        mode,
    };
    match text {
        "requeue" => requeue(RequeueMode::Idle),
        "requeue abort" => requeue(RequeueMode::Aborted),
        "requeue force" => requeue(RequeueMode::Force),
        "run" => run(&["/s/f/a"], false),
        "run force" => run(&["/s/f/a"], true),
        "suspend" => Command::Suspend(task),
        "suspend family" => Command::Suspend(family),
        "resume" => Command::Resume(task),
        _ => {
            let is_recursive = text.contains("recursive");
            let state = text.rsplit(' ').next().and_then(State::from_name).unwrap();
            Command::Force {
                paths: if is_recursive {
                    vec!["/s".into()]
                } else {
                    task
                },
                target: ForceTarget::State(state),
                is_recursive,
                is_full: false,
            }
        }
    }
}

fn row(simulation: &Simulation) -> String {
    let tree = simulation.machine.tree();
    let mut columns = Vec::new();
    for path in ["/s", "/s/f", "/s/f/a", "/s/f/b", "/s/c", "/s/d"] {
        let node = &tree[simulation.id(path)];
        let suspended = if node.is_suspended { "+suspended" } else { "" };
        let tries = if path == "/s/f/a" {
            format!(" try {}", node.try_no())
        } else {
            String::new()
        };
        columns.push(format!("{}{suspended}{tries}", node.state.name()));
    }
    columns.push(format!("held {}", simulation.used("/s", "lim")));
    let task = &tree[simulation.id("/s/f/a")];
    let value = |name| {
        task.attributes
            .signals()
            .and_then(|all: &Signals| all.value(name))
            .unwrap()
    };
    columns.push(if value("e") == 1 {
        "set".into()
    } else {
        "clear".into()
    });
    columns.push(value("m").to_string());
    columns.join("\t")
}

#[test]
fn states_after_commands_are_those_of_ecflow() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flow/recorded/operators.txt");
    let table = fs::read_to_string(&path).unwrap();
    let mut actual = String::new();
    for line in table.lines() {
        let recorded = line.split("\there\t").next().unwrap();
        let mut columns = recorded.splitn(3, '\t');
        let (before, order) = (columns.next().unwrap(), columns.next().unwrap());
        let theirs = columns.next().unwrap();
        let mut simulation = simulation(before);
        simulation.apply(command(order)).unwrap();
        let ours = row(&simulation);
        actual.push_str(recorded);
        if ours != theirs {
            actual.push_str("\there\t");
            actual.push_str(&ours);
        }
        actual.push('\n');
    }
    assert!(table.lines().count() >= 80);
    if env::var_os("BLESS").is_some() {
        fs::write(&path, &actual).unwrap();
    }
    assert_eq!(actual, table);
}

#[test]
fn a_limit_is_never_exceeded_and_its_tokens_come_back() {
    let tasks: String = (0..10).map(|at| format!("task t{at}\n")).collect();
    let text =
        format!("suite s\n limit lim 2\n family f\n inlimit lim\n {tasks} endfamily\nendsuite");
    let mut simulation = Simulation::begun(&text);
    for at in 0..10 {
        assert_eq!(simulation.used("/s", "lim"), (10 - at).min(2));
        let path = format!("/s/f/t{at}");
        simulation.start(&path);
        simulation.complete(&path);
    }
    assert_eq!(simulation.state("/s"), State::Complete);
    assert_eq!(simulation.used("/s", "lim"), 0);
}

#[test]
fn tokens_for_the_submission_come_back_when_the_job_is_active() {
    let text = "suite s\n limit lim 1\n inlimit -s lim\n task a\n task b\nendsuite";
    let mut simulation = Simulation::begun(text);
    assert_eq!(simulation.state("/s/b"), State::Queued);
    simulation.start("/s/a");
    assert_eq!(simulation.state("/s/b"), State::Submitted);
}

#[test]
fn a_family_takes_its_tokens_once() {
    let family =
        |name| format!("family {name}\n inlimit -n /s:lim\n task a\n task b\n endfamily\n");
    let text = format!(
        "suite s\n limit lim 1\n {}{}endsuite",
        family("f"),
        family("g")
    );
    let mut simulation = Simulation::begun(&text);
    assert_eq!(simulation.state("/s/f/b"), State::Submitted);
    assert_eq!(simulation.state("/s/g/a"), State::Queued);
    for path in ["/s/f/a", "/s/f/b"] {
        simulation.start(path);
        simulation.complete(path);
    }
    assert_eq!(simulation.state("/s/g/a"), State::Submitted);
}

#[test]
fn a_freed_node_no_longer_waits() {
    let text = "suite s\n task a\n trigger 1 == 2\n time 23:00\n date 1.1.2030\nendsuite";
    let mut simulation = Simulation::begun(text);
    for kind in [FreeKind::Trigger, FreeKind::Time] {
        let paths = vec!["/s/a".into()];
        simulation.apply(Command::Free { paths, kind }).unwrap();
        assert_eq!(simulation.state("/s/a"), State::Queued);
    }
    let paths = vec!["/s/a".into()];
    let kind = FreeKind::Date;
    simulation.apply(Command::Free { paths, kind }).unwrap();
    assert_eq!(simulation.state("/s/a"), State::Submitted);
}

#[test]
fn suspended_nodes_wait_while_calls_of_jobs_count() {
    let mut simulation =
        Simulation::begun("suite s\n task a\n task b\n trigger a == complete\nendsuite");
    simulation
        .apply(Command::Suspend(vec!["/s".into()]))
        .unwrap();
    simulation.start("/s/a");
    simulation.complete("/s/a");
    assert_eq!(simulation.state("/s/b"), State::Queued);
    let why = simulation.machine.why(simulation.id("/s/b"));
    assert_eq!(why, ["SUITE:/s is suspended"]);
    simulation
        .apply(Command::Resume(vec!["/s".into()]))
        .unwrap();
    assert_eq!(simulation.state("/s/b"), State::Submitted);
}

#[test]
fn a_suite_of_a_known_name_is_loaded_by_force_alone() {
    let mut simulation = Simulation::begun("suite s\n task a\nendsuite");
    let load = |force| Command::Load {
        text: "suite s\n task b\nendsuite".into(),
        force,
    };
    let refusal = simulation.apply(load(false)).unwrap_err();
    assert_eq!(
        refusal.text,
        "Add Suite failed: A Suite of name 's' already exist"
    );
    assert!(simulation.machine.tree().find("/s/b").is_none());
    simulation.apply(load(true)).unwrap();
    assert!(simulation.machine.tree().find("/s/a").is_none());
    assert_eq!(simulation.state("/s/b"), State::Unknown);
}

#[test]
fn a_replaced_node_keeps_its_place_and_stays_suspended() {
    let text = "suite s\n family f\n task x\n endfamily\n family g\n task y\n trigger ../f/x == complete\n endfamily\nendsuite";
    let mut simulation = Simulation::begun(text);
    simulation
        .apply(Command::Suspend(vec!["/s/f".into()]))
        .unwrap();
    let replace = |force| Command::Replace {
        path: "/s/f".into(),
        text: "suite s\n family f\n task x\n task z\n endfamily\nendsuite".into(),
        parents: false,
        force,
    };
    assert_eq!(
        simulation.apply(replace(false)).unwrap_err().code,
        Code::FlowState
    );
    simulation.apply(replace(true)).unwrap();
    let tree = simulation.machine.tree();
    let names: Vec<_> = tree[simulation.id("/s")]
        .children()
        .iter()
        .map(|id| &*tree[*id].name)
        .collect();
    assert_eq!(names, ["f", "g"]);
    assert_eq!(simulation.state("/s/f/z"), State::Queued);
    simulation
        .apply(Command::Resume(vec!["/s/f".into()]))
        .unwrap();
    simulation.start("/s/f/x");
    simulation.complete("/s/f/x");
    assert_eq!(simulation.state("/s/g/y"), State::Submitted);
}

#[test]
fn running_tasks_are_deleted_by_force_alone() {
    let mut simulation =
        Simulation::begun("suite s\n task a\n task b\n trigger a == complete\nendsuite");
    let delete = |force| Command::Delete {
        paths: vec!["/s/a".into(), "/nosuch".into()],
        force,
    };
    let applied = simulation.apply(delete(false)).unwrap();
    let codes: Vec<_> = applied
        .outcomes
        .iter()
        .map(|outcome| outcome.code)
        .collect();
    assert_eq!(codes, [Code::FlowState, Code::NodeNotFound]);
    assert!(!applied.is_changed);
    let job = simulation.job("/s/a");
    simulation.apply(delete(true)).unwrap();
    // What is missing counts as unknown.
    assert_eq!(simulation.state("/s/b"), State::Queued);
    let complete = Command::Child(job, ChildCall::Completed(Vec::new()));
    assert_eq!(simulation.apply(complete).unwrap().code, Code::ZombieHeld);
}

#[test]
fn siblings_are_put_in_order() {
    let mut simulation = Simulation::begun("suite s\n task b\n task c\n task a\nendsuite");
    let cases = [
        (Order::Top, "/s/a", "a b c"),
        (Order::Bottom, "/s/a", "b c a"),
        (Order::Up, "/s/c", "c b a"),
        (Order::Down, "/s/c", "b c a"),
        (Order::Alphabetical, "/s/c", "a b c"),
        (Order::Backwards, "/s/c", "c b a"),
        (Order::Up, "/s/c", "c b a"),
        (Order::Down, "/s/a", "c b a"),
    ];
    for (order, path, expected) in cases {
        let path = path.into();
        simulation.apply(Command::Order { path, order }).unwrap();
        let tree = simulation.machine.tree();
        let names: Vec<_> = tree[simulation.id("/s")]
            .children()
            .iter()
            .map(|id| &*tree[*id].name)
            .collect();
        assert_eq!(names.join(" "), expected, "{order:?}");
    }
}

#[test]
fn altered_attributes_take_effect_at_once() {
    let mut simulation = Simulation::begun(
        "suite s\n edit V 1\n repeat integer N 1 5\n task a\n trigger :V == 2 or :N == 4\n task b\n trigger a:e == set\nendsuite\nextern a:e",
    );
    assert_eq!(
        alter(
            &mut simulation,
            "/s/nosuch",
            change(Attribute::Variable, "V", "2")
        ),
        Code::NodeNotFound
    );
    assert_eq!(
        alter(&mut simulation, "/s", change(Attribute::Repeat, "N", "9")),
        Code::UnsupportedValue
    );
    assert_eq!(
        alter(
            &mut simulation,
            "/s",
            change(Attribute::Variable, "V", "a' \" b' c\" d")
        ),
        Code::UnsupportedValue
    );
    assert_eq!(simulation.state("/s/a"), State::Queued);
    assert_eq!(
        alter(&mut simulation, "/s", change(Attribute::Repeat, "N", "4")),
        Code::Success
    );
    assert_eq!(simulation.state("/s/a"), State::Submitted);
    assert_eq!(simulation.state("/s/b"), State::Queued);
    let refused = change(Attribute::Trigger, "", "nosuch == complete");
    assert_eq!(alter(&mut simulation, "/s/b", refused), Code::NodeNotFound);
    assert_eq!(
        alter(
            &mut simulation,
            "/s/a",
            AlterAction::Add("event 1 e".into())
        ),
        Code::Success
    );
    assert_eq!(
        alter(&mut simulation, "/s/a", AlterAction::Add("event e".into())),
        Code::UnsupportedValue
    );
    assert_eq!(
        alter(
            &mut simulation,
            "/s/a",
            change(Attribute::Event, "1", "set")
        ),
        Code::Success
    );
    assert_eq!(simulation.state("/s/b"), State::Submitted);
    let delete = AlterAction::Delete {
        attribute: Attribute::Variable,
        name: "V".into(),
    };
    assert_eq!(alter(&mut simulation, "/s", delete.clone()), Code::Success);
    assert_eq!(alter(&mut simulation, "/s", delete), Code::UnsupportedValue);
}

#[test]
fn a_job_is_killed_by_its_id() {
    let mut simulation = Simulation::begun("suite s\n task a\nendsuite");
    simulation.start("/s/a");
    simulation.effects.clear();
    simulation.apply(Command::Kill(vec!["/s".into()])).unwrap();
    let kill = Effect::Kill {
        path: "/s/a".into(),
        password: simulation.job("/s/a").password,
        rid: "77".into(),
    };
    assert_eq!(simulation.effects, [kill]);
    simulation.complete("/s/a");
    let applied = simulation.apply(Command::Kill(vec!["/s".into()])).unwrap();
    assert_eq!(applied.outcomes[0].code, Code::FlowState);
}
