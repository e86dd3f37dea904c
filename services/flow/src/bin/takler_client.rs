//! Takler's client of a workflow server.

use std::process::ExitCode;

use tce_flow::client::{run_process, takler};

fn main() -> ExitCode {
    run_process(takler::run)
}
