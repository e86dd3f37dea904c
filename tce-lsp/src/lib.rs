//! A language server for TCE's `.idl` files.
//!
//! [`serve`] speaks the Language Server Protocol 3.17 over a pair of streams.
//! One thread reads messages, another handles them one after the other, so that
//! the answer to a request reflects all changes that the client sent before it.

mod settings;
mod uris;
mod documents;
mod analysis;
mod workspace;
mod feature;
mod frame;
mod inbox;
mod server;

use std::{
    io::{self, BufReader, Read, Write},
    path::Path,
    sync::mpsc,
    thread,
};

pub use analysis::Project;
use frame::ClientFrame;
use server::LanguageServer;
pub use server::SessionEnd;

/// The most frames that the reader queues for the server.
const READ_AHEAD: usize = 64;

/// Serves one client until the session ends. `project` gives the settings of a
/// file; it is called again whenever they may have changed.
///
/// After an `exit`, the thread that reads `input` runs until `input` ends.
///
/// # Errors
/// `input` or `output` fail, or a header in `input` is malformed.
pub fn serve(
    input: impl Read + Send + 'static,
    output: impl Write,
    project: impl Fn(&Path) -> Project + 'static,
) -> io::Result<SessionEnd> {
    let (frames, received) = mpsc::sync_channel(READ_AHEAD);
    let reader = thread::Builder::new().spawn(move || read(input, &frames))?;
    let ended = LanguageServer::new(output, project).run(received)?;
    match ended {
        // Not joined: the reader may be blocked in a read.
        Some(ended) => Ok(ended),
        None => match reader.join() {
            Ok(Err(error)) => Err(error),
            _ => Ok(SessionEnd::Abrupt),
        },
    }
}

/// Reads frames until the input ends or the server has stopped.
fn read(input: impl Read, frames: &mpsc::SyncSender<ClientFrame>) -> io::Result<()> {
    let mut input = BufReader::new(input);
    while let Some(frame) = frame::read(&mut input)? {
        if frames.send(frame).is_err() {
            break;
        }
    }
    Ok(())
}
