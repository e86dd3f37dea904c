//! The programs `takler_client` and `ecflow_client`, which jobs and operators call.
//!
//! A module imports only from the modules before it in this list.

pub mod console;

pub mod address;

pub mod link;

pub mod child;

pub mod definition;

pub mod text;

pub mod takler;

pub mod ecflow;

use std::io;
use std::process::ExitCode;

use console::{Console, Environment};

/// The exit codes of the clients.
const SUCCESS: u8 = 0;
const FAILURE: u8 = 1;

/// Runs a client on the arguments, environment and streams of this process.
pub fn run_process(
    run: impl FnOnce(&[String], &Environment, &mut Console<'_>) -> io::Result<u8>,
) -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    let words: Vec<_> = arguments
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut console = Console {
        out: &mut io::stdout(),
        err: &mut io::stderr(),
        input: &mut io::stdin().lock(),
    };
    // A closed standard output is the only error of a stream that users cause, as with `| head`.
    let code = run(&words, &Environment::of_process(), &mut console);
    ExitCode::from(code.unwrap_or(FAILURE))
}
