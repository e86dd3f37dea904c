//! `tce frame`: the program `tce-frame` as a subcommand.

use std::{io::Write as _, process::ExitCode};

use crate::console::{CommandError, Console};

pub(crate) use tce_frame::command::FrameArgs as Args;

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, CommandError> {
    tce_frame::log_to_stderr();
    let mut written = Ok(());
    let status = tce_frame::command::run(args, &mut |text| {
        written = writeln!(console.out, "{text}");
    });
    written?;
    Ok(status)
}
