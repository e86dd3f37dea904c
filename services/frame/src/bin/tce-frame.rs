//! The program `tce-frame`: the commands of `tce frame`.

use std::process::ExitCode;

use clap::Parser;
use tce_frame::command::{FrameArgs, run};

#[derive(Debug, Parser)]
#[command(name = "tce-frame", version, arg_required_else_help = true)]
struct Program {
    #[command(flatten)]
    args: FrameArgs,
}

fn main() -> ExitCode {
    tce_frame::log_to_stderr();
    run(&Program::parse().args, &mut |text| println!("{text}"))
}
