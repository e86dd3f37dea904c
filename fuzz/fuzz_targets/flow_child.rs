//! Calls of jobs to a suite that runs: a snapshot taken in between gives the same state.

#![no_main]

use tce_flow::calendar::Moment;
use tce_flow::machine::{ChildCall, Command, Effect, JobIdentity, Machine, Record};

const DEFINITION: &str = "suite s
 family f
  task a
   event 1 e
   meter m 0 9
   label l ''
   trigger b:2 or b == complete or :V == 1
  task b
   event 2
   inlimit n
   limit n 1
";

fn apply(machine: &mut Machine, sequence: u64, command: Command) -> Vec<Effect> {
    let record = Record {
        sequence,
        moment: Moment::utc(1_796_040_000 + sequence.cast_signed()),
        user: "user".into(),
        secret: [7; 16],
        command,
    };
    let applied = machine.apply(&record);
    applied.map_or(Vec::new(), |applied| applied.effects)
}

fn call(kind: u8, text: &str) -> ChildCall {
    match kind % 7 {
        0 => ChildCall::Started(vec![(text.into(), text.into())]),
        1 => ChildCall::Completed(vec![text.into()]),
        2 => ChildCall::Aborted(text.into()),
        3 => ChildCall::Event(text.into(), kind > 100),
        4 => ChildCall::Meter("m".into(), i32::from(kind)),
        5 => ChildCall::Label(text.into(), text.into()),
        _ => ChildCall::Wait(text.into()),
    }
}

libfuzzer_sys::fuzz_target!(|calls: Vec<(u8, u8, String)>| {
    let mut machine = Machine::default();
    let load = Command::Load {
        text: DEFINITION.into(),
        force: false,
    };
    apply(&mut machine, 1, load);
    let begin = Command::Begin {
        suites: Vec::new(),
        force: false,
    };
    let mut effects = apply(&mut machine, 2, begin);
    for (sequence, (kind, job, text)) in (3..).zip(calls) {
        let known = effects.iter().rev().nth(usize::from(job % 4));
        let identity = match known {
            Some(Effect::Submit { path, password, .. }) => JobIdentity {
                path: path.as_str().into(),
                password: password.clone(),
                ..JobIdentity::default()
            },
            _ => JobIdentity {
                path: text.as_str().into(),
                password: text.as_str().into(),
                ..JobIdentity::default()
            },
        };
        let command = Command::Child(identity, call(kind, &text));
        effects.extend(apply(&mut machine, sequence, command));
    }
    let snapshot = machine.snapshot().expect("a state has a snapshot");
    assert!(Machine::restore(&snapshot).expect("a snapshot is a state") == machine);
});
