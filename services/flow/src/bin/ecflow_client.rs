//! ecFlow's client of a workflow server.

use std::process::ExitCode;

use tce_flow::client::{ecflow, run_process};

fn main() -> ExitCode {
    run_process(ecflow::run)
}
