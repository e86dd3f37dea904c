//! The signals that end a program: SIGTERM, and SIGINT (Ctrl-C).

use std::{
    io, thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Builder,
    sync::{OnceCell, oneshot, watch},
};

/// Signals within this time after the first count as the same: `timeout` and
/// other supervisors signal a process and then its whole group.
const REPEAT_TIME: Duration = Duration::from_millis(100);

/// Whether the program has been told to end; watched by the signal thread.
static REQUESTED: OnceCell<watch::Receiver<bool>> = OnceCell::const_new();

/// Waits for SIGTERM or Ctrl-C, or returns at once if one has arrived since the
/// first call of this function.
///
/// The program then ends as it sees fit. Another such signal ends it at once, even
/// if it is blocked, with the exit status 128 + number of the signal.
///
/// ```no_run
/// # async fn run() -> std::io::Result<()> {
/// tce_runtime::termination_signal().await?;
/// println!("ending; press Ctrl-C again to end at once");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The system refuses to install a signal handler, or to start a thread.
pub async fn termination_signal() -> io::Result<()> {
    let mut requested = requested().await?;
    // The thread lives as long as the process.
    let _ = requested.wait_for(|is_requested| *is_requested).await;
    Ok(())
}

/// Begins to catch the signals: once this has returned, [`termination_signal`] misses
/// none. Servers call it before they listen: a call can arrive, and a signal with it,
/// before the program comes to wait for one.
///
/// # Errors
/// Those of [`termination_signal`].
pub async fn catch_termination() -> io::Result<()> {
    requested().await.map(drop)
}

async fn requested() -> io::Result<watch::Receiver<bool>> {
    REQUESTED.get_or_try_init(start).await.cloned()
}

/// Starts the thread that watches the signals. It has a runtime of its own: that of
/// the program may be blocked, or have ended.
async fn start() -> io::Result<watch::Receiver<bool>> {
    let (started, is_started) = oneshot::channel();
    thread::Builder::new()
        .name("tce signals".to_owned())
        .spawn(
            move || match Builder::new_current_thread().enable_io().build() {
                Ok(runtime) => runtime.block_on(watch_signals(started)),
                Err(error) => drop(started.send(Err(error))),
            },
        )?;
    is_started
        .await
        .unwrap_or_else(|_| Err(io::Error::other("the signal thread has ended")))
}

async fn watch_signals(started: oneshot::Sender<io::Result<watch::Receiver<bool>>>) {
    let mut signals = match TerminationSignals::new() {
        Ok(signals) => signals,
        Err(error) => return drop(started.send(Err(error))),
    };
    let (requested, receiver) = watch::channel(false);
    // Fails if the caller has gone; a signal has to end the program all the same.
    let _ = started.send(Ok(receiver));
    signals.next().await;
    requested.send_replace(true);
    let first = Instant::now();
    loop {
        let number = signals.next().await;
        if first.elapsed() >= REPEAT_TIME {
            end_now(128 + number);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the user ends a program whose orderly end takes too long"
)]
fn end_now(status: i32) -> ! {
    std::process::exit(status)
}

#[cfg(unix)]
struct TerminationSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl TerminationSignals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The number of the next signal.
    async fn next(&mut self) -> i32 {
        use tokio::signal::unix::SignalKind;
        let kind = tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        };
        kind.as_raw_value()
    }
}

#[cfg(windows)]
struct TerminationSignals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl TerminationSignals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    /// The number that SIGINT has elsewhere.
    async fn next(&mut self) -> i32 {
        self.0.recv().await;
        2
    }
}
