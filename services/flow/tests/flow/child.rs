//! Calls of jobs, their tries, and zombies.

use tce_flow::attribute::{ZombieAction, ZombieType};
use tce_flow::machine::{
    ChildCall, Code, Command, JobIdentity, RequeueMode, RunnerEvent, ServerState,
};
use tce_flow::state::{Flag, State};

use crate::common::Simulation;

const SUITE: &str = "
suite s
  task t1
    event 1 half
    meter step 0 100
    label info ''
  task t2
    trigger t1 == complete
  task t3
    trigger t1:half and t1:step ge 20
endsuite";

#[test]
fn a_successor_starts_in_the_step_that_frees_it() {
    let mut simulation = Simulation::begun(SUITE);
    assert_eq!(simulation.state("/s/t1"), State::Submitted);
    simulation.start("/s/t1");
    simulation
        .child("/s/t1", ChildCall::Event("half".into(), true))
        .unwrap();
    assert_eq!(simulation.state("/s/t3"), State::Queued);
    simulation
        .child("/s/t1", ChildCall::Meter("step".into(), 20))
        .unwrap();
    assert_eq!(simulation.state("/s/t3"), State::Submitted);
    simulation.complete("/s/t1");
    assert_eq!(simulation.state("/s/t2"), State::Submitted);
    assert_eq!(simulation.state("/s"), State::Submitted);
    for task in ["/s/t2", "/s/t3"] {
        simulation.start(task);
        simulation.complete(task);
    }
    assert_eq!(simulation.state("/s"), State::Complete);
    assert_eq!(simulation.state("/"), State::Complete);
}

#[test]
fn values_out_of_range_and_unknown_names_are_refused() {
    let mut simulation = Simulation::begun(SUITE);
    simulation.start("/s/t1");
    for call in [
        ChildCall::Meter("step".into(), 500),
        ChildCall::Meter("nosuch".into(), 5),
        ChildCall::Event("nosuch".into(), true),
        ChildCall::Label("nosuch".into(), "x".into()),
    ] {
        let refusal = simulation.child("/s/t1", call).unwrap_err();
        assert_eq!(refusal.code, Code::UnsupportedValue);
    }
    let call = ChildCall::Wait("1 == 1 == 1".into());
    assert_eq!(
        simulation.child("/s/t1", call).unwrap_err().code,
        Code::ExpressionSyntax
    );
    let call = ChildCall::Wait("t2 == complete".into());
    assert_eq!(
        simulation.child("/s/t1", call).unwrap_err().code,
        Code::NotYetTrue
    );
    let call = ChildCall::Wait("t2 == queued".into());
    assert_eq!(simulation.child("/s/t1", call).unwrap().code, Code::Success);
}

#[test]
fn a_repeated_call_changes_nothing() {
    let mut simulation = Simulation::begun(SUITE);
    let job = simulation.job("/s/t1");
    for call in [
        ChildCall::Started(Vec::new()),
        ChildCall::Completed(Vec::new()),
    ] {
        let command = Command::Child(job.clone(), call);
        assert!(simulation.apply(command.clone()).unwrap().is_changed);
        let again = simulation.apply(command).unwrap();
        assert_eq!((again.code, again.is_changed), (Code::Success, false));
    }
}

#[test]
fn a_job_that_aborts_itself_is_tried_again() {
    let mut simulation = Simulation::begun("suite s\n edit ECF_TRIES 2\n task f\nendsuite");
    let first = simulation.job("/s/f").password;
    simulation.start("/s/f");
    simulation.abort("/s/f");
    assert_eq!(simulation.state("/s/f"), State::Submitted);
    assert_eq!(simulation.variable("/s/f", "ECF_TRYNO"), "2");
    assert_ne!(simulation.job("/s/f").password, first);
    simulation.start("/s/f");
    simulation.abort("/s/f");
    assert_eq!(simulation.state("/s/f"), State::Aborted);
    let why = simulation.machine.why(simulation.id("/s/f"));
    assert_eq!(why, ["TASK /s/f has aborted in try 2: trap"]);
}

#[test]
fn a_failed_command_or_a_killed_job_is_not_tried_again() {
    let mut simulation = Simulation::begun("suite s\n task f\n task k\nendsuite");
    let failed = RunnerEvent::Failed {
        path: "/s/f".into(),
        password: simulation.job("/s/f").password,
        flag: Flag::JobCommandFailed,
        reason: "exited with status 3".into(),
    };
    simulation.apply(Command::Runner(failed.clone())).unwrap();
    assert_eq!(
        (simulation.state("/s/f"), simulation.tries("/s/f")),
        (State::Aborted, 1)
    );
    let stale = simulation.apply(Command::Runner(failed)).unwrap();
    assert!(!stale.is_changed);
    simulation.start("/s/k");
    simulation
        .apply(Command::Kill(vec!["/s/k".into()]))
        .unwrap();
    simulation.abort("/s/k");
    assert_eq!(
        (simulation.state("/s/k"), simulation.tries("/s/k")),
        (State::Aborted, 1)
    );
}

#[test]
fn the_end_of_a_job_before_a_requeue_does_not_concern_the_job_after_it() {
    let mut simulation = Simulation::begun("suite s\n task t\nendsuite");
    let first = simulation.job("/s/t");
    simulation
        .apply(Command::Requeue {
            paths: vec!["/s/t".into()],
            mode: RequeueMode::Force,
        })
        .unwrap();
    assert_eq!(simulation.tries("/s/t"), first.try_no);
    let failed = RunnerEvent::Failed {
        path: first.path,
        password: first.password,
        flag: Flag::JobCommandFailed,
        reason: "died of signal 15".into(),
    };
    assert!(
        !simulation
            .apply(Command::Runner(failed))
            .unwrap()
            .is_changed
    );
    assert_eq!(simulation.state("/s/t"), State::Submitted);
}

#[test]
fn a_command_that_ends_without_a_word_is_told_and_aborts_if_the_user_says_so() {
    let definition = "suite s\n task w\n task a\n  edit ECF_JOB_END abort\nendsuite";
    let mut simulation = Simulation::begun(definition);
    for path in ["/s/w", "/s/a"] {
        let (path, password) = (Box::from(path), simulation.job(path).password);
        let started = RunnerEvent::Started {
            path: Box::clone(&path),
            password: password.clone(),
            pid: 77,
        };
        simulation.apply(Command::Runner(started)).unwrap();
        let ended = RunnerEvent::Ended { path, password };
        simulation.apply(Command::Runner(ended)).unwrap();
    }
    assert_eq!(simulation.state("/s/w"), State::Submitted);
    let why = simulation.machine.why(simulation.id("/s/w"));
    assert!(
        why[0].ends_with("has ended without a word of the job"),
        "{why:?}"
    );
    assert_eq!(simulation.state("/s/a"), State::Aborted);
    let why = simulation.machine.why(simulation.id("/s/a"));
    assert!(why[0].contains("ECF_JOB_CMD PID(77) path(/s/a)"), "{why:?}");
}

#[test]
fn a_halted_server_tells_jobs_to_wait_and_catches_up_later() {
    let mut simulation = Simulation::begun(SUITE);
    simulation
        .apply(Command::Server(ServerState::Halted))
        .unwrap();
    let refusal = simulation
        .child("/s/t1", ChildCall::Started(Vec::new()))
        .unwrap_err();
    assert_eq!(refusal.code, Code::Halted);
    simulation
        .apply(Command::Server(ServerState::Shutdown))
        .unwrap();
    simulation.start("/s/t1");
    simulation.complete("/s/t1");
    assert_eq!(simulation.state("/s/t2"), State::Queued);
    simulation
        .apply(Command::Server(ServerState::Running))
        .unwrap();
    assert_eq!(simulation.state("/s/t2"), State::Submitted);
}

/// A job of `/s/t1` with another password and another id.
fn stranger() -> JobIdentity {
    JobIdentity {
        path: "/s/t1".into(),
        password: "bad".into(),
        rid: "999".into(),
        ..JobIdentity::default()
    }
}

#[test]
fn calls_of_strangers_are_held_or_have_no_effect() {
    let mut simulation = Simulation::begun(SUITE);
    simulation.start("/s/t1");
    let complete = Command::Child(stranger(), ChildCall::Completed(Vec::new()));
    assert_eq!(
        simulation.apply(complete.clone()).unwrap().code,
        Code::ZombieHeld
    );
    let event = Command::Child(stranger(), ChildCall::Event("half".into(), true));
    assert_eq!(simulation.apply(event).unwrap().code, Code::Success);
    assert_eq!(simulation.state("/s/t1"), State::Active);
    let zombie = &simulation.machine.zombies()[0];
    assert_eq!((zombie.kind, zombie.calls), (ZombieType::EcfPidPassword, 2));
    let act = |action| Command::Zombies {
        paths: vec!["/s/t1".into()],
        action,
    };
    simulation.apply(act(ZombieAction::Fail)).unwrap();
    assert_eq!(
        simulation.apply(complete.clone()).unwrap().code,
        Code::Zombie
    );
    simulation.apply(act(ZombieAction::Fob)).unwrap();
    assert_eq!(
        simulation.apply(complete.clone()).unwrap().code,
        Code::Success
    );
    assert_eq!(simulation.state("/s/t1"), State::Active);
    simulation.apply(act(ZombieAction::Remove)).unwrap();
    assert!(simulation.machine.zombies().is_empty());
    assert_eq!(
        simulation.apply(complete.clone()).unwrap().code,
        Code::ZombieHeld
    );
    simulation.apply(act(ZombieAction::Adopt)).unwrap();
    assert_eq!(simulation.apply(complete).unwrap().code, Code::Success);
    assert_eq!(simulation.state("/s/t1"), State::Complete);
    assert!(simulation.machine.zombies().is_empty());
}

#[test]
fn the_job_of_a_requeued_task_is_a_zombie_and_is_forgotten() {
    let mut simulation = Simulation::begun(SUITE);
    simulation.start("/s/t1");
    let job = simulation.job("/s/t1");
    let requeue = Command::Requeue {
        paths: vec!["/s/t1".into()],
        mode: RequeueMode::Force,
    };
    simulation.apply(requeue).unwrap();
    let complete = Command::Child(job, ChildCall::Completed(Vec::new()));
    assert_eq!(simulation.apply(complete).unwrap().code, Code::ZombieHeld);
    assert_eq!(simulation.machine.zombies()[0].kind, ZombieType::User);
    assert_eq!(simulation.machine.zombies().len(), 1);
    simulation.pass(6);
    assert!(simulation.machine.zombies().is_empty());
    let node = &simulation.machine.tree()[simulation.id("/s/t1")];
    assert!(!node.flags.has(Flag::Zombie));
}

#[test]
fn a_call_without_a_task_is_a_zombie_of_its_path() {
    let mut simulation = Simulation::begun(SUITE);
    let job = JobIdentity {
        path: "/s/nosuch".into(),
        ..stranger()
    };
    let call = Command::Child(job, ChildCall::Started(Vec::new()));
    assert_eq!(simulation.apply(call).unwrap().code, Code::ZombieHeld);
    assert_eq!(simulation.machine.zombies()[0].kind, ZombieType::Path);
}

#[test]
fn passwords_are_not_shown() {
    let mut simulation = Simulation::begun(SUITE);
    simulation.start("/s/t1");
    let password = simulation.job("/s/t1").password;
    assert_eq!(password.len(), 22);
    assert!(!simulation.get_state().contains(&*password));
    assert!(!simulation.get_state().contains("ECF_PASS"));
}
