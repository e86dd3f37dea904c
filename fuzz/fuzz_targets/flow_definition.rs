//! A definition is parsed or reported; what is printed of it is the same definition.

#![no_main]

use tce_flow::calendar::Moment;
use tce_flow::def::{Style, parse, print, render};
use tce_flow::machine::{Command, Machine, Record};
use tce_flow::tree::NodeId;

/// The machine of a definition, if it can be loaded.
fn load(text: &str) -> Option<Machine> {
    let mut machine = Machine::default();
    let record = Record {
        sequence: 1,
        moment: Moment::utc(1_796_040_000),
        user: "user".into(),
        secret: [7; 16],
        command: Command::Load {
            text: text.into(),
            force: false,
        },
    };
    machine.apply(&record).ok()?;
    Some(machine)
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let parsed = parse(text);
    let _ = render(&parsed.diagnostics, "definition", text);
    let Some(machine) = load(text) else {
        return;
    };
    let printed = print(machine.tree(), NodeId::ROOT, Style::Definition);
    let again = load(&printed).expect("what is printed can be loaded");
    assert_eq!(
        print(again.tree(), NodeId::ROOT, Style::Definition),
        printed
    );
});
