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
    runtime::{Handle, Id, RuntimeFlavor},
    sync::Notify,
    task,
};

use eagerness::{Next, PollLimit};

thread_local! {
    /// The poller of the runtime that this thread runs, for as long as that lives.
    static POLLER: RefCell<Option<(Id, Weak<Poller>)>> = const { RefCell::new(None) };
}

/// Has a thread look for the next message before it sleeps, while nearly all
/// come at once (busy polling); until it is dropped. Answers come sooner, and
/// more of the processor is used; other programs that want the core get it.
///
/// Clients do it by themselves, over sockets and WebSocket
/// ([`Options::busy_poll_time`](crate::config::Options::busy_poll_time)). A
/// server that others wait for, and that has a core of its own, may as well:
///
/// ```
/// # use std::time::Duration;
/// # use tce_runtime::BusyPoll;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let _polls = BusyPoll::begin(Duration::from_micros(50));
/// // … listen, and wait for the shutdown.
/// # }
/// ```
///
/// The thread looks for all that its connections read, whoever asked for it,
/// and for the longest time that was asked for.
pub struct BusyPoll(Arc<Poller>);

impl BusyPoll {
    /// The most that is polled at a time: 10 ms.
    pub const LONGEST: Duration = Duration::from_millis(10);

    /// Begins to poll for up to `longest` at a time; of more than
    /// [`BusyPoll::LONGEST`], that counts. Nothing, unless called in a runtime
    /// of one thread (`current_thread`).
    #[must_use]
    pub fn begin(longest: Duration) -> Option<Self> {
        Self::begin_for(longest.min(Self::LONGEST))
    }

    fn begin_for(longest: Duration) -> Option<Self> {
        let handle = Handle::try_current().ok()?;
        if handle.runtime_flavor() != RuntimeFlavor::CurrentThread {
            return None;
        }
        let poller = Poller::of(&handle);
        poller.wanted_by.fetch_add(1, Ordering::AcqRel);
        poller.eagerness().extend(longest);
        Some(Self(poller))
    }
}

impl Drop for BusyPoll {
    fn drop(&mut self) {
        self.0.wanted_by.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

/// Tells this thread's poller that something has been read, and handled.
pub(crate) fn bytes_received() {
    let poller = POLLER.with_borrow(|here| here.as_ref().and_then(|(_, poller)| poller.upgrade()));
    if let Some(poller) = poller
        && poller.eagerness().came(Instant::now())
    {
        poller.changed.notify_one();
    }
}

struct Poller {
    eagerness: Mutex<PollLimit>,
    wanted_by: AtomicUsize,
    /// Something has come, or one fewer wants it.
    changed: Notify,
}

impl Poller {
    /// The one of a runtime, on the thread that runs it.
    fn of(handle: &Handle) -> Arc<Self> {
        let id = handle.id();
        POLLER.with_borrow_mut(|here| {
            let present = here.as_ref().filter(|(of, _)| *of == id);
            if let Some(poller) = present.and_then(|(_, poller)| poller.upgrade()) {
                return poller;
            }
            let new = Arc::new(Self {
                eagerness: Mutex::new(PollLimit::new()),
                wanted_by: AtomicUsize::new(0),
                changed: Notify::new(),
            });
            *here = Some((id, Arc::downgrade(&new)));
            handle.spawn(Arc::clone(&new).run());
            new
        })
    }

    fn eagerness(&self) -> MutexGuard<'_, PollLimit> {
        self.eagerness
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A task that is to run keeps its runtime from sleeping, but not from
    /// looking for what has come.
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
        if next == Next::Yield {
            // Who sends what we wait for may need this very core.
            thread::yield_now();
            self.eagerness().yielded(began, Instant::now());
        }
        next != Next::Sleep
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        runtime::{Builder, Runtime},
        time::sleep,
    };

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    async fn waits() {
        sleep(Duration::from_millis(5)).await;
    }

    /// As much as makes it poll.
    async fn much_came() {
        for _ in 0..100 {
            bytes_received();
            task::yield_now().await;
        }
    }

    #[test]
    fn while_it_polls_the_thread_does_not_sleep_and_all_else_goes_on() {
        let runtime = runtime();
        let slept = || runtime.metrics().worker_park_count(0);
        runtime.block_on(async {
            let _polls = BusyPoll::begin_for(HOUR);
            waits().await;
            assert!(slept() > 0);
            much_came().await;
            let before = slept();
            let other = tokio::spawn(waits());
            waits().await;
            other.await.unwrap();
            assert_eq!(slept(), before);
        });
    }

    #[test]
    fn each_runtime_of_a_thread_asks_for_itself() {
        let earlier = runtime();
        let _polls = earlier.block_on(async { BusyPoll::begin_for(HOUR) });
        for asks in [true, false, true] {
            let runtime = runtime();
            let before = runtime.block_on(async {
                let _polls = asks.then(|| BusyPoll::begin_for(HOUR));
                much_came().await;
                let before = Handle::current().metrics().worker_park_count(0);
                waits().await;
                before
            });
            assert_eq!(runtime.metrics().worker_park_count(0) == before, asks);
        }
    }

    #[test]
    fn it_ends_with_the_last_who_wants_it() {
        let runtime = runtime();
        let tasks = || runtime.metrics().num_alive_tasks();
        runtime.block_on(async {
            let (one, other) = (BusyPoll::begin_for(HOUR), BusyPoll::begin_for(HOUR));
            much_came().await;
            drop(one);
            waits().await;
            assert_eq!(tasks(), 1);
            drop(other);
            waits().await;
            assert_eq!(tasks(), 0);
            let _again = BusyPoll::begin_for(HOUR);
            assert_eq!(tasks(), 1);
        });
    }

    #[test]
    fn a_runtime_of_several_threads_has_none() {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        assert!(runtime.block_on(async { BusyPoll::begin(HOUR) }).is_none());
        assert!(BusyPoll::begin(HOUR).is_none());
    }
}
