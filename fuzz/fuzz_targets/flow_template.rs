//! A script of either language becomes a job or an error, and includes end.

#![no_main]

use std::io;

use tce_flow::machine::Machine;
use tce_flow::template::{Flavor, Loader, Script, Variables};
use tce_flow::tree::NodeId;

/// Every file is the script itself.
struct Circle<'a>(&'a [u8]);

impl Loader for Circle<'_> {
    fn read(&self, _: &str) -> io::Result<Vec<u8>> {
        Ok(self.0.to_vec())
    }
}

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    let variables = Variables::of(Machine::default().tree(), NodeId::ROOT);
    for flavor in [Flavor::Ecflow, Flavor::Takler] {
        let script = Script {
            path: "/script".to_owned(),
            flavor,
            text: text.to_vec(),
        };
        let _ = script.job(&variables, &Circle(text));
        let _ = script.preprocessed(&variables, &Circle(text));
        let _ = script.manual(&variables, &Circle(text));
    }
});
