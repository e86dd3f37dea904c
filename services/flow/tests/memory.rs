//! What tasks cost, in a program of its own that counts all memory.

use peak_alloc::PeakAlloc;
use tce_flow::calendar::Moment;
use tce_flow::machine::{Command, Machine, Record};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

#[test]
fn a_task_costs_less_than_900_bytes() {
    const TASKS: usize = 10_000;
    let tasks: String = (0..TASKS)
        .map(|at| {
            let before = at.saturating_sub(1);
            format!("task task_{at:05}\ntrigger task_{before:05} == complete\nedit V value_{at}\nevent 1 ready\n")
        })
        .collect();
    let mut machine = Machine::default();
    let before = ALLOCATOR.current_usage();
    let commands = [
        Command::Load {
            text: format!("suite s\nfamily f\n{tasks}endfamily\nendsuite").into(),
            force: false,
        },
        Command::Begin {
            suites: Vec::new(),
            force: false,
        },
    ];
    for command in commands {
        let record = Record {
            sequence: 1,
            moment: Moment::utc(1_796_040_000),
            user: "".into(),
            secret: [0; 16],
            command,
        };
        machine.apply(&record).unwrap();
    }
    let each = (ALLOCATOR.current_usage() - before) / TASKS;
    println!("{each} bytes for a task with a trigger, a variable and an event");
    assert_eq!(machine.tree().len(), TASKS + 2);
    assert!(each < 900, "{each}");
}
