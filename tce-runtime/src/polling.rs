//! Looking for the next message a moment longer before a thread sleeps.
//!
//! To be woken costs a thread, and whoever wakes it, several microseconds; in
//! a virtual machine, whose idle cores go back to the host, tens of them: more
//! than all else that a call takes between two programs on one machine. So
//! while messages come in quick succession the thread looks instead. Whether
//! they do it learns from the last wait, as hypervisors do before they halt a
//! core: waits too long to be looked through cost nothing from the second one
//! on.

mod eagerness;

use std::{
    cell::RefCell,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Notify,
    task,
};

use eagerness::{Eagerness, Next};

thread_local! {
    /// The poller of this thread's runtime, for as long as that lives.
    static POLLER: RefCell<Weak<Poller>> = const { RefCell::new(Weak::new()) };
}

/// Has this thread look for the next message for up to `longest` before it
/// sleeps, while messages come as quickly as that (busy polling). Answers come
/// sooner, and more of the processor is used; other programs that want the core
/// get it.
///
/// Clients do it by themselves
/// ([`Options::busy_poll_time`](crate::config::Options::busy_poll_time)). A
/// server that others wait for, and that has a core of its own, may as well:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// tce_runtime::busy_poll(std::time::Duration::from_micros(50));
/// # }
/// ```
///
/// It holds for the current-thread runtime that it is called in, as long as
/// that lives; the longest time counts that was asked for. With a runtime of
/// several threads it does nothing, and likewise outside of one.
pub fn busy_poll(longest: Duration) {
    let Ok(handle) = Handle::try_current() else {
        return;
    };
    if handle.runtime_flavor() != RuntimeFlavor::CurrentThread {
        return;
    }
    POLLER.with_borrow_mut(|here| {
        if let Some(poller) = here.upgrade() {
            return poller.eagerness().extend(longest);
        }
        let poller = Arc::new(Poller {
            eagerness: Mutex::new(Eagerness::new(longest, Instant::now())),
            wanted: Notify::new(),
        });
        *here = Arc::downgrade(&poller);
        handle.spawn(poller.run());
    });
}

/// Tells this thread's poller that something has been read.
pub(crate) fn bytes_came() {
    let poller = POLLER.with_borrow(Weak::upgrade);
    if let Some(poller) = poller
        && poller.eagerness().came(Instant::now())
    {
        poller.wanted.notify_one();
    }
}

struct Poller {
    eagerness: Mutex<Eagerness>,
    wanted: Notify,
}

impl Poller {
    fn eagerness(&self) -> MutexGuard<'_, Eagerness> {
        self.eagerness
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A runtime with a task that is about to run looks for what has come, but
    /// does not sleep.
    async fn run(self: Arc<Self>) {
        loop {
            self.wanted.notified().await;
            loop {
                let began = Instant::now();
                let next = self.eagerness().next(began);
                match next {
                    Next::Sleep => break,
                    Next::Work => {}
                    Next::Poll => {
                        // Who sends what we wait for may need this very core.
                        thread::yield_now();
                        self.eagerness().yielded(began, Instant::now());
                    }
                }
                task::yield_now().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{runtime::Builder, time::sleep};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    async fn waits() {
        sleep(Duration::from_millis(5)).await;
    }

    #[test]
    fn while_it_polls_the_thread_does_not_sleep_and_all_else_goes_on() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let slept = || runtime.metrics().worker_park_count(0);
        runtime.block_on(async {
            busy_poll(HOUR);
            waits().await;
            assert!(slept() > 0);
            bytes_came();
            let before = slept();
            let other = tokio::spawn(waits());
            waits().await;
            other.await.unwrap();
            assert_eq!(slept(), before);
        });
    }

    #[test]
    fn each_runtime_of_a_thread_asks_for_itself() {
        for asks in [true, false, true] {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let before = runtime.block_on(async {
                if asks {
                    busy_poll(HOUR);
                }
                bytes_came();
                task::yield_now().await;
                let before = Handle::current().metrics().worker_park_count(0);
                waits().await;
                before
            });
            assert_eq!(runtime.metrics().worker_park_count(0) == before, asks);
        }
    }

    #[test]
    fn a_runtime_of_several_threads_has_none() {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async { busy_poll(HOUR) });
        assert_eq!(runtime.metrics().num_alive_tasks(), 0);
    }
}
