//! A language server for TCE's `.idl` files: what the compiler knows, in editors.
//!
//! [`serve`] speaks the Language Server Protocol 3.17 over a pair of streams.
//! One thread reads, another does everything else, one message after the
//! other: what a client asks after a change is answered with that change, and
//! nothing is asked of a text that is half changed.

mod analysis;
mod convert;
mod feature;
mod files;
mod frame;
mod inbox;
mod project;
mod server;
mod world;

use std::{
    io::{self, BufReader, Read, Write},
    path::Path,
    sync::mpsc,
    thread,
};

use frame::Frame;
pub use project::Project;
pub use server::Ended;
use server::Server;

/// How many frames the reader is ahead.
const READ_AHEAD: usize = 64;

/// Serves one client until it ends. `project` tells what goes with a file; it
/// is asked again whenever that may have changed.
///
/// The thread that reads `input` goes on after an `exit` until `input` ends.
///
/// # Errors
/// `input` or `output` fail, or `input` is not in frames of the protocol.
pub fn serve(
    input: impl Read + Send + 'static,
    output: impl Write,
    project: impl Fn(&Path) -> Project + 'static,
) -> io::Result<Ended> {
    let (frames, received) = mpsc::sync_channel(READ_AHEAD);
    let reader = thread::Builder::new().spawn(move || read(input, &frames))?;
    let ended = Server::new(output, project).run(received)?;
    match ended {
        // The reader may wait for a client that stays silent.
        Some(ended) => Ok(ended),
        None => match reader.join() {
            Ok(Err(error)) => Err(error),
            _ => Ok(Ended::Abruptly),
        },
    }
}

/// Reads frames until the input ends or nobody wants them.
fn read(input: impl Read, frames: &mpsc::SyncSender<Frame>) -> io::Result<()> {
    let mut input = BufReader::new(input);
    while let Some(frame) = frame::read(&mut input)? {
        if frames.send(frame).is_err() {
            break;
        }
    }
    Ok(())
}
