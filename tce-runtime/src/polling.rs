//! Looking for the next message a moment longer before a thread sleeps.
//!
//! To be woken costs a thread, and whoever wakes it, several microseconds; in
//! a virtual machine, whose idle cores go back to the host, tens of them: more
//! than all else that a call takes between two programs on one machine. So
//! while messages come in quick succession the thread looks instead. Whether
//! they do it learns from the waits before, as hypervisors do before they halt
//! a core: where many are too long to be looked through, it sleeps at once.

mod eagerness;

use std::{
    cell::RefCell,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
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
    // Counted among those who want it, for good.
    let _ = poller(longest);
}

/// Who wants this thread to poll, until it is dropped.
pub(crate) struct BusyPoll(Arc<Poller>);

impl BusyPoll {
    /// As [`busy_poll`]; nothing where that does nothing.
    pub(crate) fn begin(longest: Duration) -> Option<Self> {
        poller(longest).map(Self)
    }
}

impl Drop for BusyPoll {
    fn drop(&mut self) {
        self.0.wanted_by.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

/// The poller of this thread's runtime, wanted by one more.
fn poller(longest: Duration) -> Option<Arc<Poller>> {
    let handle = Handle::try_current().ok()?;
    if handle.runtime_flavor() != RuntimeFlavor::CurrentThread {
        return None;
    }
    let poller = POLLER.with_borrow_mut(|here| {
        here.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Poller::new());
            *here = Arc::downgrade(&new);
            handle.spawn(Arc::clone(&new).run());
            new
        })
    });
    poller.wanted_by.fetch_add(1, Ordering::AcqRel);
    poller.eagerness().extend(longest);
    Some(poller)
}

/// Tells this thread's poller that something has been read.
pub(crate) fn bytes_came() {
    let poller = POLLER.with_borrow(Weak::upgrade);
    if let Some(poller) = poller
        && poller.eagerness().came(Instant::now())
    {
        poller.changed.notify_one();
    }
}

struct Poller {
    eagerness: Mutex<Eagerness>,
    wanted_by: AtomicUsize,
    /// Polling begins, or one fewer wants it.
    changed: Notify,
}

impl Poller {
    fn new() -> Self {
        Self {
            eagerness: Mutex::new(Eagerness::new(Instant::now())),
            wanted_by: AtomicUsize::new(0),
            changed: Notify::new(),
        }
    }

    fn eagerness(&self) -> MutexGuard<'_, Eagerness> {
        self.eagerness
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A runtime with a task that is about to run looks for what has come, but
    /// does not sleep.
    async fn run(self: Arc<Self>) {
        loop {
            self.changed.notified().await;
            while self.is_wanted() && self.turn() {
                task::yield_now().await;
            }
            if !self.is_wanted() {
                return;
            }
        }
    }

    fn is_wanted(&self) -> bool {
        self.wanted_by.load(Ordering::Acquire) > 0
    }

    /// Says whether to look once more.
    fn turn(&self) -> bool {
        let began = Instant::now();
        let next = self.eagerness().next(began);
        if next == Next::Poll {
            // Who sends what we wait for may need this very core.
            thread::yield_now();
            self.eagerness().yielded(began, Instant::now());
        }
        next != Next::Sleep
    }
}

#[cfg(test)]
mod tests {
    use tokio::{runtime::Builder, time::sleep};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// As much as makes it poll.
    fn much_came() {
        for _ in 0..100 {
            bytes_came();
        }
    }

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
            much_came();
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
                much_came();
                task::yield_now().await;
                let before = Handle::current().metrics().worker_park_count(0);
                waits().await;
                before
            });
            assert_eq!(runtime.metrics().worker_park_count(0) == before, asks);
        }
    }

    #[test]
    fn it_ends_with_the_last_who_wants_it() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let tasks = || runtime.metrics().num_alive_tasks();
        runtime.block_on(async {
            let (one, other) = (BusyPoll::begin(HOUR), BusyPoll::begin(HOUR));
            much_came();
            drop(one);
            waits().await;
            assert_eq!(tasks(), 1);
            drop(other);
            waits().await;
            assert_eq!(tasks(), 0);
            let again = BusyPoll::begin(HOUR);
            assert_eq!(tasks(), 1);
            drop(again);
        });
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
