//! The program's runtime: it looks for the next message a moment longer before
//! its thread sleeps (busy polling).
//!
//! To be woken costs a thread, and whoever wakes it, several microseconds; in
//! a virtual machine, whose idle cores go back to the host, tens of them: more
//! than all else that a gateway does for a message. So while messages come in
//! quick succession the runtime polls instead. Whether they do, it learns from
//! the last wait, as hypervisors do before they halt a core: waits that are
//! too long to be polled through cost nothing from the second one on.

mod eagerness;

use std::{
    cell::Cell,
    io,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
};

use eagerness::{Eagerness, Next};

thread_local! {
    static MESSAGE_CAME: Cell<bool> = const { Cell::new(false) };
}

/// Tells the runtime of this thread that a message has been read.
pub(crate) fn message_came() {
    MESSAGE_CAME.set(true);
}

/// A runtime on this thread that polls for up to `busy_poll_time` after each
/// message.
pub(crate) fn runtime(busy_poll_time: Option<Duration>) -> io::Result<Runtime> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    let Some(longest) = busy_poll_time else {
        return builder.build();
    };
    let poller = Arc::new(Poller::new(longest));
    let (before, after) = (Arc::clone(&poller), Arc::clone(&poller));
    builder
        .on_thread_park(move || before.before_sleep())
        .on_thread_unpark(move || after.after_sleep());
    let runtime = builder.build()?;
    runtime.spawn(async move {
        loop {
            poller.turn.notified().await;
        }
    });
    Ok(runtime)
}

struct Poller {
    eagerness: Mutex<Eagerness>,
    /// Wakes a task that does nothing. A runtime with a task to run looks for
    /// what has come, but does not sleep.
    turn: Notify,
}

impl Poller {
    fn new(longest: Duration) -> Self {
        Self {
            eagerness: Mutex::new(Eagerness::new(longest, Instant::now())),
            turn: Notify::new(),
        }
    }

    fn before_sleep(&self) {
        let came = MESSAGE_CAME.take();
        let mut eagerness = self
            .eagerness
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        if eagerness.next(began, came) == Next::Sleep {
            return;
        }
        // A server or client on the same core may be about to send what we wait for.
        thread::yield_now();
        eagerness.yielded(began, Instant::now());
        self.turn.notify_one();
    }

    fn after_sleep(&self) {
        let mut eagerness = self
            .eagerness
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if eagerness.is_asleep() {
            eagerness.woke(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_and_tasks_go_on_while_it_polls() {
        let runtime = runtime(Some(Duration::from_secs(3600))).unwrap();
        let slept = || runtime.metrics().worker_park_count(0);
        runtime.block_on(async {
            // The first wait teaches that waits are short.
            tokio::time::sleep(Duration::from_millis(5)).await;
            message_came();
            let before = slept();
            let other = tokio::spawn(tokio::time::sleep(Duration::from_millis(5)));
            tokio::time::sleep(Duration::from_millis(5)).await;
            other.await.unwrap();
            assert_eq!(slept(), before);
        });
    }

    #[test]
    fn it_sleeps_where_it_may_not_poll() {
        let runtime = runtime(None).unwrap();
        runtime.block_on(async {
            message_came();
            tokio::time::sleep(Duration::from_millis(5)).await;
        });
        assert!(runtime.metrics().worker_park_count(0) > 0);
    }
}
