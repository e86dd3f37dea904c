//! Busy polling: a thread checks for the next message a little longer before it
//! sleeps.
//!
//! Waking a sleeping thread costs several microseconds, in a virtual machine
//! whose idle cores are given back to the host tens of them: more than the rest
//! of a call between two programs on one machine. Polling pays only while
//! messages follow one another within that time, so the time that is polled
//! adapts as in Linux's haltpoll governor (`drivers/cpuidle/governors/haltpoll.c`):
//! it doubles after short waits, halves after long ones, and has a cap.

use std::{
    cell::RefCell,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    runtime::{Handle, Id, RuntimeFlavor},
    sync::Notify,
    task,
};

/// The first limit after none is this part of the cap: four short waits in a
/// row reach the cap (haltpoll's `guest_halt_poll_grow_start`).
const GROW_START_DIVISOR: u32 = 16;

/// If `yield_now` takes this many times the cap, another process is using the
/// core: polling pauses.
const BUSY_CORE_FACTOR: u32 = 10;
/// How long polling pauses. A thread that yields a core which another process
/// uses gets it back only after the other's time slice.
const BUSY_CORE_PAUSE: Duration = Duration::from_millis(100);

thread_local! {
    /// The poller of the runtime that this thread runs. It ends with its last
    /// [`BusyPoll`].
    static POLLER: RefCell<Option<(Id, Weak<Poller>)>> = const { RefCell::new(None) };
}

/// Makes the calling thread's runtime poll for messages for a short time before
/// it sleeps, until this value is dropped. Messages are handled sooner, at the
/// price of processor time; the core is yielded to other processes in between.
///
/// Polling adapts to the traffic: it stops while messages arrive too far apart
/// to be polled for.
///
/// Clients and adapters over sockets and WebSocket do it by default
/// ([`Options::busy_poll_time`](crate::config::Options::busy_poll_time)). To poll for
/// longer, or in a program with other connections:
///
/// ```
/// # use std::time::Duration;
/// # use tce_runtime::BusyPoll;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let _busy_poll = BusyPoll::begin(Duration::from_micros(50));
/// // … listen, and wait for the shutdown.
/// # }
/// ```
///
/// All connections of the runtime share one poller. Where several values exist,
/// the longest time that was requested counts.
pub struct BusyPoll(Arc<Poller>);

impl BusyPoll {
    /// The longest time for which a thread polls before it sleeps: 10 ms.
    pub const LONGEST: Duration = Duration::from_millis(10);

    /// Begins to poll for up to `longest` before each sleep; a value above
    /// [`BusyPoll::LONGEST`] is reduced to that.
    ///
    /// Returns `None` outside a tokio runtime and in one of several threads:
    /// only `current_thread` runtimes can poll.
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
        poller.users.fetch_add(1, Ordering::AcqRel);
        poller.limit.lock().raise_cap(longest);
        Some(Self(poller))
    }
}

impl Drop for BusyPoll {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

/// Whether a [`BusyPoll`] of this thread's runtime exists.
pub(crate) fn is_polling() -> bool {
    POLLER.with_borrow(|current| {
        let poller = current.as_ref().map(|(_, poller)| poller);
        poller.is_some_and(|poller| poller.strong_count() > 0)
    })
}

/// Tells this thread's poller that bytes have been received and handled.
pub(crate) fn bytes_received() {
    let poller =
        POLLER.with_borrow(|current| current.as_ref().and_then(|(_, poller)| poller.upgrade()));
    if let Some(poller) = poller
        && poller.limit.lock().received(Instant::now())
    {
        poller.changed.notify_one();
    }
}

/// The task that polls, one for each runtime that has a [`BusyPoll`].
struct Poller {
    limit: Mutex<PollLimit>,
    /// The number of [`BusyPoll`]s.
    users: AtomicUsize,
    /// Notified when bytes were received, or `users` has become less.
    changed: Notify,
}

impl Poller {
    /// The poller of a runtime, called on the thread that runs it.
    fn of(handle: &Handle) -> Arc<Self> {
        let id = handle.id();
        POLLER.with_borrow_mut(|current| {
            let present = current.as_ref().filter(|(runtime, _)| *runtime == id);
            if let Some(poller) = present.and_then(|(_, poller)| poller.upgrade()) {
                return poller;
            }
            let new = Arc::new(Self {
                limit: Mutex::new(PollLimit::default()),
                users: AtomicUsize::new(0),
                changed: Notify::new(),
            });
            *current = Some((id, Arc::downgrade(&new)));
            handle.spawn(Arc::clone(&new).run());
            new
        })
    }

    /// A task that is ready keeps its runtime from sleeping; the runtime checks
    /// for I/O events each time the task yields.
    async fn run(self: Arc<Self>) {
        loop {
            self.changed.notified().await;
            while self.has_users() && self.poll_once() {
                task::yield_now().await;
            }
            if !self.has_users() {
                return;
            }
        }
    }

    fn has_users(&self) -> bool {
        self.users.load(Ordering::Acquire) > 0
    }

    /// Returns whether to poll again.
    fn poll_once(&self) -> bool {
        let began = Instant::now();
        let next = self.limit.lock().next(began);
        if next == Next::Yield {
            // The process that will send the next message may need this core.
            thread::yield_now();
            self.limit.lock().yielded(began, Instant::now());
        }
        next != Next::Sleep
    }
}

/// What an idle thread does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Checks for messages.
    Check,
    /// Lets other processes use the core, then checks for messages.
    Yield,
    Sleep,
}

/// Decides how long to poll, from nothing but times.
#[derive(Debug, Default)]
struct PollLimit {
    /// The longest time to poll.
    cap: Duration,
    /// How long the next idle time is polled; zero for not at all.
    limit: Duration,
    /// When the thread became idle; none while it handles messages.
    idle_since: Option<Instant>,
    /// Whether the poller's task runs, so that it need not be notified.
    is_running: bool,
    paused_until: Option<Instant>,
}

impl PollLimit {
    fn raise_cap(&mut self, cap: Duration) {
        self.cap = self.cap.max(cap);
    }

    /// A message was received and handled. Returns whether the poller's task
    /// has to be notified, which then asks [`PollLimit::next`].
    fn received(&mut self, now: Instant) -> bool {
        if let Some(since) = self.idle_since.take() {
            self.adjust(now.duration_since(since));
        }
        !std::mem::replace(&mut self.is_running, true)
    }

    fn adjust(&mut self, wait: Duration) {
        if self.cap.is_zero() {
            return;
        }
        // A wait that ended asleep includes the time to wake up, here and often
        // at the peer, and would have been shorter if polled: up to twice the
        // cap it counts as short.
        let is_short = if self.limit < self.cap {
            wait < 2 * self.cap
        } else {
            wait < self.cap
        };
        self.limit = if is_short {
            (2 * self.limit).clamp(self.cap / GROW_START_DIVISOR, self.cap)
        } else {
            // Halved once for each cap that the wait lasted. If it were halved
            // once a wait, messages at random times would keep it high as soon
            // as every other wait is short, and most of the polling would end
            // without a message.
            let halvings = wait.div_duration_f64(self.cap);
            self.limit.mul_f64((-halvings).exp2())
        };
        if self.limit < self.cap / GROW_START_DIVISOR {
            self.limit = Duration::ZERO;
        }
    }

    /// The thread is idle.
    fn next(&mut self, now: Instant) -> Next {
        let is_first = self.idle_since.is_none();
        let since = *self.idle_since.get_or_insert(now);
        let is_paused = self.paused_until.is_some_and(|end| now < end);
        if is_paused || now.duration_since(since) >= self.limit {
            self.is_running = false;
            return Next::Sleep;
        }
        if is_first { Next::Check } else { Next::Yield }
    }

    /// `yield_now` was called at `began` and has returned now.
    fn yielded(&mut self, began: Instant, now: Instant) {
        if now.duration_since(began) > BUSY_CORE_FACTOR * self.cap {
            self.paused_until = Some(now + BUSY_CORE_PAUSE);
        }
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

    /// A limit with a cap of 50 µs, and times in microseconds from its start.
    struct Clock(Instant, PollLimit);

    impl Clock {
        fn new() -> Self {
            let mut limit = PollLimit::default();
            limit.raise_cap(Duration::from_micros(50));
            Self(Instant::now(), limit)
        }

        /// After `waits` waits of 90 µs, which the thread slept; with the time
        /// at which the last one ended.
        fn after(waits: u64) -> (Self, u64) {
            let mut clock = Self::new();
            for nth in 0..waits {
                clock.message(100 * nth);
            }
            clock.received(100 * waits);
            (clock, 100 * waits)
        }

        fn at(&self, micros: u64) -> Instant {
            self.0 + Duration::from_micros(micros)
        }

        fn received(&mut self, micros: u64) -> bool {
            let at = self.at(micros);
            self.1.received(at)
        }

        fn next(&mut self, micros: u64) -> Next {
            let at = self.at(micros);
            self.1.next(at)
        }

        /// Receives a message at `micros`, handles it for 10 µs and returns
        /// what the thread does then.
        fn message(&mut self, micros: u64) -> Next {
            self.received(micros);
            self.next(micros + 10)
        }

        fn limit(&self) -> Duration {
            self.1.limit
        }
    }

    #[test]
    fn short_waits_double_the_limit_up_to_the_cap() {
        for (waits, nanos) in [(0, 0), (1, 3125), (2, 6250), (4, 25_000), (5, 50_000)] {
            let (clock, _) = Clock::after(waits);
            assert_eq!(clock.limit(), Duration::from_nanos(nanos), "{waits}");
        }
        let (mut clock, at) = Clock::after(5);
        for nth in 1..100 {
            clock.message(at + 50 * nth);
            assert_eq!(clock.limit(), Duration::from_micros(50));
        }
    }

    #[test]
    fn an_idle_thread_polls_for_the_limit_and_then_sleeps() {
        let (mut clock, at) = Clock::after(5);
        // The message took 200 µs: the wait begins when the thread is idle.
        assert_eq!(clock.next(at + 200), Next::Check);
        assert_eq!(clock.next(at + 249), Next::Yield);
        // A message begins the time anew.
        assert!(!clock.received(at + 249));
        assert_eq!(clock.next(at + 250), Next::Check);
        assert_eq!(clock.next(at + 299), Next::Yield);
        assert_eq!(clock.next(at + 300), Next::Sleep);
        assert!(clock.received(at + 310));
    }

    #[test]
    fn a_wait_of_one_cap_halves_the_limit_and_a_long_one_ends_polling() {
        let (mut clock, at) = Clock::after(5);
        clock.next(at + 10);
        clock.received(at + 60);
        assert_eq!(clock.limit(), Duration::from_micros(25));
        clock.next(at + 70);
        clock.received(at + 5000);
        assert_eq!(clock.limit(), Duration::ZERO);
    }

    #[test]
    fn a_cap_of_zero_never_polls() {
        let mut limit = PollLimit::default();
        let now = Instant::now();
        for wait in [0, 0, 1, 1000] {
            assert_eq!(limit.next(now), Next::Sleep);
            limit.received(now + Duration::from_micros(wait));
        }
    }

    #[test]
    fn messages_received_at_once_are_one_wait() {
        let mut clock = Clock::new();
        for nth in 1..100 {
            for more in 0..20 {
                clock.received(1000 * nth + more);
            }
            assert_eq!(clock.next(1000 * nth + 30), Next::Sleep);
        }
    }

    #[test]
    fn alternating_short_and_long_waits_are_hardly_polled() {
        let mut clock = Clock::new();
        for nth in 1..100 {
            clock.message(1000 * nth);
            clock.message(1000 * nth + 50);
            assert!(clock.limit() <= Duration::from_micros(4), "{nth}");
        }
    }

    /// Messages at random times are polled for briefly at most, however close
    /// to the cap the mean of their distances comes.
    #[test]
    fn random_arrivals_cost_little() {
        // xorshift64*: the same times in every run.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut uniform = move || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let bits = u32::try_from(state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap();
            (f64::from(bits) + 1.0) / f64::from(u32::MAX >> 1)
        };
        for (rate, most) in [
            (500.0, 0.002),
            (2000.0, 0.01),
            (5000.0, 0.03),
            (10_000.0, 0.12),
        ] {
            let mut limit = Clock::new().1;
            let (mut now, mut polled, mut passed) = (Instant::now(), 0.0, 0.0);
            for _ in 0..20_000 {
                limit.next(now);
                let wait = Duration::from_secs_f64(-uniform().min(1.0).ln() / rate);
                polled += wait.min(limit.limit).as_secs_f64();
                passed += wait.as_secs_f64();
                now += wait;
                limit.received(now);
            }
            let share = polled / passed;
            assert!(
                share < most,
                "{share} of the time at {rate} messages a second"
            );
        }
    }

    #[test]
    fn polling_pauses_while_another_process_uses_the_core() {
        let (mut clock, at) = Clock::after(5);
        let (began, now) = (clock.at(at), clock.at(at + 3000));
        clock.1.yielded(began, now);
        assert_eq!(clock.next(at + 3000), Next::Sleep);
        assert_eq!(clock.message(at + 3010), Next::Sleep);
        let resumed = at + 103_000;
        assert_eq!(clock.message(resumed - 90), Next::Sleep);
        for nth in 0..5 {
            clock.message(resumed + 50 * nth);
        }
        assert_eq!(clock.message(resumed + 300), Next::Check);
    }

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    async fn short_sleep() {
        sleep(Duration::from_millis(5)).await;
    }

    /// Receives enough to raise the limit to the cap.
    async fn receive_much() {
        for _ in 0..100 {
            bytes_received();
            task::yield_now().await;
        }
    }

    #[test]
    fn a_polling_thread_does_not_sleep_and_other_tasks_run() {
        let runtime = runtime();
        let sleeps = || runtime.metrics().worker_park_count(0);
        runtime.block_on(async {
            let _busy_poll = BusyPoll::begin_for(HOUR);
            short_sleep().await;
            assert!(sleeps() > 0);
            receive_much().await;
            let before = sleeps();
            let other = tokio::spawn(short_sleep());
            short_sleep().await;
            other.await.unwrap();
            assert_eq!(sleeps(), before);
        });
    }

    #[test]
    fn each_runtime_of_a_thread_has_its_own_poller() {
        let earlier = runtime();
        let _busy_poll = earlier.block_on(async { BusyPoll::begin_for(HOUR) });
        for polls in [true, false, true] {
            let runtime = runtime();
            let before = runtime.block_on(async {
                let _busy_poll = polls.then(|| BusyPoll::begin_for(HOUR));
                receive_much().await;
                let before = Handle::current().metrics().worker_park_count(0);
                short_sleep().await;
                before
            });
            assert_eq!(runtime.metrics().worker_park_count(0) == before, polls);
        }
    }

    #[test]
    fn the_poller_ends_with_its_last_user() {
        let runtime = runtime();
        let tasks = || runtime.metrics().num_alive_tasks();
        runtime.block_on(async {
            let (first, second) = (BusyPoll::begin_for(HOUR), BusyPoll::begin_for(HOUR));
            receive_much().await;
            drop(first);
            short_sleep().await;
            assert_eq!(tasks(), 1);
            drop(second);
            short_sleep().await;
            assert_eq!(tasks(), 0);
            let _again = BusyPoll::begin_for(HOUR);
            assert_eq!(tasks(), 1);
        });
    }

    #[test]
    fn a_runtime_of_several_threads_does_not_poll() {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        assert!(runtime.block_on(async { BusyPoll::begin(HOUR) }).is_none());
        assert!(BusyPoll::begin(HOUR).is_none());
    }
}
