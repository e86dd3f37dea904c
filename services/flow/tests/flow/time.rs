//! Times, repeats, late tasks, clocks and deletion, minute by minute.

use tce_flow::machine::{Change, Command};
use tce_flow::state::{Flag, State};

use crate::common::Simulation;

/// Lets minutes pass, and runs each job that is submitted; gives the minutes of the day.
fn run(simulation: &mut Simulation, path: &str, minutes: i64) -> Vec<String> {
    let mut times = Vec::new();
    for minute in 0..=minutes {
        if minute > 0 {
            simulation.pass(1);
        }
        if simulation.state(path) == State::Submitted {
            let of_day = simulation.now.rem_euclid(86_400) / 60;
            times.push(format!("{:02}:{:02}", of_day / 60, of_day % 60));
            simulation.start(path);
            simulation.complete(path);
        }
    }
    times
}

fn times(attributes: &str, minutes: i64) -> (Vec<String>, State) {
    let mut simulation = Simulation::begun(&format!("suite s\n task t\n {attributes}\nendsuite"));
    let times = run(&mut simulation, "/s/t", minutes);
    (times, simulation.state("/s/t"))
}

const DAY: i64 = 1440;

#[test]
fn times_and_todays_run_at_their_slots() {
    let cases = [
        ("time 12:10", DAY, vec!["12:10"], State::Complete),
        ("time 12:00", 5, vec!["12:00"], State::Complete),
        ("time 10:00", DAY, vec!["10:00"], State::Complete),
        ("today 10:00", 5, vec!["12:00"], State::Complete),
        (
            "today 10:00; today 12:10",
            60,
            vec!["12:10"],
            State::Complete,
        ),
        ("time +00:10", 60, vec!["12:10"], State::Complete),
        (
            "time 12:10; time 12:20",
            60,
            vec!["12:10", "12:20"],
            State::Complete,
        ),
        (
            "time 12:10 12:30 00:10",
            60,
            vec!["12:10", "12:20", "12:30"],
            State::Complete,
        ),
        (
            "time +00:05 00:15 00:05",
            60,
            vec!["12:05", "12:10", "12:15"],
            State::Complete,
        ),
        (
            "time 12:10; today 12:30",
            60,
            vec!["12:30"],
            State::Complete,
        ),
        (
            "cron 12:10 12:20 00:10",
            DAY,
            vec!["12:10", "12:20"],
            State::Queued,
        ),
        ("cron -w 2 10:00", 3 * DAY, vec!["10:00"], State::Queued),
        (
            "cron -d 1 -m 12 08:00",
            3 * DAY,
            vec!["08:00"],
            State::Queued,
        ),
        ("day monday", 5, vec!["12:00"], State::Complete),
        (
            "day monday; day tuesday",
            DAY,
            vec!["12:00"],
            State::Complete,
        ),
        ("day tuesday", DAY, vec!["00:00"], State::Complete),
        (
            "day tuesday; time 10:00",
            3 * DAY,
            vec!["10:00"],
            State::Complete,
        ),
        (
            "date 1.12.2026; time 10:00",
            3 * DAY,
            vec!["10:00"],
            State::Complete,
        ),
        (
            "date 1.12.2026; date 2.12.2026; time 10:00",
            4 * DAY,
            vec!["10:00", "10:00"],
            State::Complete,
        ),
        ("date 1.1.2020", DAY, vec![], State::Queued),
    ];
    for (attributes, minutes, expected, state) in cases {
        let (found, found_state) = times(attributes, minutes);
        assert_eq!(
            (found, found_state),
            (expected.into_iter().map(str::to_owned).collect(), state),
            "{attributes}"
        );
    }
}

#[test]
fn a_forced_complete_uses_the_next_slot_up() {
    let text = "suite s\n task a\n time 12:10\n task b\n time 12:10 12:30 00:10\nendsuite";
    let mut simulation = Simulation::begun(text);
    for path in ["/s/a", "/s/b"] {
        simulation.force(path, State::Complete);
    }
    assert_eq!(simulation.state("/s/a"), State::Complete);
    assert_eq!(simulation.state("/s/b"), State::Queued);
    assert_eq!(run(&mut simulation, "/s/b", 60), ["12:20", "12:30"]);
    assert_eq!(simulation.state("/s"), State::Complete);
}

#[test]
fn a_repeat_runs_through_its_values() {
    let mut simulation =
        Simulation::begun("suite s\n repeat date YMD 20260101 20260103 1\n task t\nendsuite");
    for day in 1..=3 {
        assert_eq!(simulation.variable("/s/t", "YMD"), format!("2026010{day}"));
        assert_eq!(simulation.variable("/s/t", "YMD_DD"), day.to_string());
        assert_eq!(simulation.state("/s/t"), State::Submitted);
        simulation.start("/s/t");
        simulation.complete("/s/t");
    }
    assert_eq!(simulation.state("/s"), State::Complete);
    assert_eq!(simulation.variable("/s", "YMD"), "20260103");
}

#[test]
fn a_repeat_over_nodes_that_complete_at_once_lets_the_step_end() {
    let mut simulation = Simulation::begun(
        "suite s\n edit ECF_DUMMY_TASK ''\n repeat integer N 1 2000000000\n task t\nendsuite",
    );
    simulation.pass(3);
    let value: i64 = simulation.variable("/s", "N").parse().unwrap();
    assert!((3..10).contains(&value), "{value}");
}

#[test]
fn a_complete_expression_completes_all_below() {
    let mut simulation = Simulation::begun(
        "suite s\n task a\n event e\n family f\n complete a:e\n task x\n trigger ../a == complete\n task y\n trigger x == complete\n endfamily\nendsuite",
    );
    simulation.start("/s/a");
    simulation
        .child(
            "/s/a",
            tce_flow::machine::ChildCall::Event("e".into(), true),
        )
        .unwrap();
    assert_eq!(simulation.state("/s/f/y"), State::Complete);
    assert_eq!(simulation.state("/s/f"), State::Complete);
    assert_eq!(simulation.state("/s"), State::Active);
}

#[test]
fn expressions_with_the_time_are_checked_each_minute() {
    let mut simulation = Simulation::begun("suite s\n task t\n trigger :TIME ge 1205\nendsuite");
    simulation.pass(4);
    assert_eq!(simulation.state("/s/t"), State::Queued);
    simulation.pass(1);
    assert_eq!(simulation.state("/s/t"), State::Submitted);
}

#[test]
fn late_tasks_are_flagged_once_and_expressions_see_it() {
    let mut simulation = Simulation::begun(
        "suite s\n late -s +00:10\n task t\n late -c +00:20\n task u\n trigger t<flag>late\nendsuite",
    );
    simulation.pass(9);
    assert_eq!(simulation.state("/s/u"), State::Queued);
    simulation.pass(1);
    assert_eq!(simulation.state("/s/u"), State::Submitted);
    let flags = simulation.machine.tree()[simulation.id("/s/t")].flags;
    assert!(flags.has(Flag::Late));
}

#[test]
fn autocancel_removes_what_stays_complete() {
    let text = "suite s\n defstatus complete\n family f\n autocancel 0\n task t\n endfamily\n task u\nendsuite";
    let mut simulation = Simulation::begun(text);
    for task in ["/s/f/t", "/s/u"] {
        simulation.start(task);
        simulation.complete(task);
    }
    simulation.now = (simulation.now / 60 + 1) * 60;
    let family = simulation.id("/s/f");
    let applied = simulation.apply(Command::Tick).unwrap();
    assert!(simulation.machine.tree().find("/s/f").is_none());
    let is_gone = |change: &Change| change.node == family && change.is_gone;
    assert!(applied.changes.iter().any(is_gone));
    assert_eq!(simulation.state("/s"), State::Complete);
}

#[test]
fn a_hybrid_clock_stands_at_its_date() {
    let mut simulation = Simulation::begun(
        "suite s\n clock hybrid 1.1.2026 +00:30\n task a\n day monday\n task b\n date 1.1.2026\n time 13:00\nendsuite",
    );
    assert_eq!(simulation.state("/s/a"), State::Complete);
    assert_eq!(simulation.variable("/s", "ECF_DATE"), "20260101");
    assert_eq!(simulation.variable("/s", "ECF_TIME"), "12:30");
    assert_eq!(run(&mut simulation, "/s/b", 60), ["12:30"]);
    simulation.pass(DAY);
    assert_eq!(simulation.variable("/s", "ECF_DATE"), "20260101");
}

#[test]
fn a_real_clock_is_ahead_by_its_gain() {
    let mut simulation =
        Simulation::begun("suite s\n clock real 24.12.2026 120\n task t\n time 12:05\nendsuite");
    assert_eq!(simulation.variable("/s", "DATE"), "24.12.2026");
    assert_eq!(run(&mut simulation, "/s/t", 30), ["12:03"]);
    simulation.pass(DAY);
    assert_eq!(simulation.variable("/s", "DATE"), "25.12.2026");
}

#[test]
fn a_day_of_a_family_guards_the_times_below() {
    let text = "suite s\n family f\n day wednesday\n task t\n time 10:00\n endfamily\n family g\n date 2.12.2026\n task c\n cron 09:00\n endfamily\nendsuite";
    let mut simulation = Simulation::begun(text);
    // From Monday noon to Wednesday 09:59.
    assert_eq!(run(&mut simulation, "/s/f/t", 2 * DAY - 121), [""; 0]);
    assert_eq!(simulation.state("/s/g/c"), State::Submitted);
    assert_eq!(run(&mut simulation, "/s/f/t", DAY), ["10:00"]);
}

#[test]
fn a_tick_that_comes_late_misses_no_slot() {
    let mut simulation =
        Simulation::begun("suite s\n task t\n time 12:10\n task u\n cron 13:00\nendsuite");
    simulation.now += 3 * 86_400;
    simulation.apply(Command::Tick).unwrap();
    assert_eq!(simulation.state("/s/t"), State::Submitted);
    assert_eq!(simulation.state("/s/u"), State::Submitted);
}
