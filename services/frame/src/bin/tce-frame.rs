//! The program `tce-frame`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tce_frame::command::main()
}
