//! Faults of a real broker under load: no confirmed call is lost, none runs after
//! its deadline, a second run is marked, and what was reported as not sent never
//! runs.
//!
//! `TCE_FAULT_ROUNDS=20 TCE_FAULT_RATE=3000` runs each fault that often, at that
//! many calls a second, and prints what happened.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI32, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tce_runtime::{
    Adapter, ErrorCode, IncomingCall, Proxy, RpcError, Servant, config::Options, wire::Operation,
};
use tce_test_rabbitmq::Node;
use tokio::{sync::watch, task::JoinSet, time::sleep};

use crate::{
    common::{
        probe::{ECHO, Probe},
        watching::within,
    },
    queues::Queues,
    raw::Raw,
};

/// `void run(int number)`
static RUN: Operation = Operation::new("faults::Runner::run", 8, 0);
/// The timeout of calls.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long the load runs before a fault and after it.
const CALM: Duration = Duration::from_millis(700);
/// The time between two bursts of calls.
const TICK: Duration = Duration::from_millis(10);
/// What may pass between the check of a deadline and the first line of a servant, on
/// a busy machine.
const CHECK_TIME: Duration = Duration::from_millis(150);

/// One run of a call by the servant.
#[derive(Debug, Clone, Copy)]
struct Run {
    is_redelivered: bool,
    /// How long after its deadline it ran.
    late_by: Option<Duration>,
}

#[derive(Clone, Default)]
struct Runner(Arc<Mutex<BTreeMap<i32, Vec<Run>>>>);

impl Servant for Runner {
    fn interfaces(&self) -> &[u16] {
        &[8]
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        call.run(&self.0, |runs, (number,): (i32,), ctx| async move {
            let late_by = ctx
                .deadline()
                .and_then(|at| SystemTime::now().duration_since(at).ok());
            let run = Run {
                is_redelivered: ctx.is_redelivered(),
                late_by,
            };
            runs.lock().unwrap().entry(number).or_default().push(run);
            (ctx, Ok(()))
        });
    }
}

/// What the caller of one call learned.
struct Outcome {
    number: i32,
    is_oneway: bool,
    begun: Instant,
    ended: Instant,
    result: Result<(), RpcError>,
}

/// What happens to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Killed,
    Stopped(Duration),
    MemoryAlarm,
    ConnectionsClosed,
    QueueDeleted,
}

impl Fault {
    /// Does it, and undoes it.
    fn happen(self, mut node: Node) -> Node {
        match self {
            Self::Killed => {
                node.kill();
                node.restart();
            }
            Self::Stopped(time) => {
                node.pause();
                std::thread::sleep(time);
                node.resume();
            }
            Self::MemoryAlarm => {
                node.control(&["set_vm_memory_high_watermark", "0"]);
                std::thread::sleep(Duration::from_secs(3));
                node.control(&["set_vm_memory_high_watermark", "0.4"]);
            }
            Self::ConnectionsClosed => {
                node.control(&["close_all_connections", "a test"]);
            }
            Self::QueueDeleted => {}
        }
        node
    }
}

/// The counts of one round.
#[derive(Debug, Default)]
struct Tally {
    calls: usize,
    succeeded: usize,
    failed: BTreeMap<String, usize>,
    runs: usize,
    /// Calls that ran more than once.
    repeated: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            calls,
            succeeded,
            failed,
            runs,
            repeated,
        } = self;
        write!(
            f,
            "{calls} calls, {succeeded} succeeded, {failed:?}, {runs} runs, {repeated} repeated"
        )
    }
}

fn setting(name: &str, default: u32) -> u32 {
    let value = std::env::var(name).ok();
    value.map_or(default, |text| text.parse().expect("a number"))
}

/// Calls at a steady rate until told to stop; every fourth call is twoway.
async fn load(proxy: Proxy, next: Arc<AtomicI32>, stop: watch::Receiver<bool>) -> Vec<Outcome> {
    let rate = setting("TCE_FAULT_RATE", 1_000);
    let burst = rate * u32::try_from(TICK.as_millis()).unwrap() / 1_000;
    let mut ticks = tokio::time::interval(TICK);
    let mut calls = JoinSet::new();
    while !*stop.borrow() {
        ticks.tick().await;
        for _ in 0..burst {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let is_oneway = number % 4 != 0;
            let begun = Instant::now();
            let proxy = proxy.clone();
            calls.spawn(async move {
                let result = match is_oneway {
                    true => proxy.oneway(&RUN, (number,)).await,
                    false => proxy.call::<_, ()>(&RUN, (number,)).await,
                };
                Outcome {
                    number,
                    is_oneway,
                    begun,
                    ended: Instant::now(),
                    result,
                }
            });
        }
    }
    calls.join_all().await
}

/// A broker, a server, and a client that loads it.
struct Bench {
    queues: Queues,
    runner: Runner,
    proxy: Proxy,
    next: Arc<AtomicI32>,
    _server: (tce_runtime::Communicator, Adapter),
    _client: tce_runtime::Communicator,
}

impl Bench {
    async fn at(node: &Node) -> Self {
        let queues = Queues::at(node.port());
        let options = Options {
            // One clock.
            deadline_tolerance: Duration::ZERO,
            ..Options::default()
        };
        let server = queues.open_with("server", options).await;
        let adapter = Adapter::listen(&server, &queues.endpoint()).await.unwrap();
        let runner = Runner::default();
        adapter
            .add_servant(runner.clone())
            .add_servant(Probe::default())
            .start();
        let client = queues.open("client").await;
        let proxy = queues.proxy(&client).await.with_timeout(TIMEOUT);
        Self {
            queues,
            runner,
            proxy,
            next: Arc::default(),
            _server: (server, adapter),
            _client: client,
        }
    }

    async fn round(&self, node: Node, fault: Fault) -> (Node, Tally) {
        self.works().await;
        let (stop, stopped) = watch::channel(false);
        let load = tokio::spawn(load(self.proxy.clone(), Arc::clone(&self.next), stopped));
        sleep(CALM).await;
        let begun = Instant::now();
        if fault == Fault::QueueDeleted {
            Raw::connect(node.port())
                .await
                .delete(&self.queues.calls)
                .await;
        }
        let happening = tokio::task::spawn_blocking(move || fault.happen(node));
        let node = happening.await.unwrap();
        let ended = Instant::now();
        // The end of the fault and what follows it, under load. Whether it works again
        // is seen without the load, which a slow machine can't catch up with.
        sleep(3 * CALM).await;
        stop.send_replace(true);
        let outcomes = tokio::time::timeout(Duration::from_secs(60), load).await;
        let outcomes = outcomes.expect("every call ends").unwrap();
        self.works().await;
        let raw = Raw::connect(node.port()).await;
        raw.wait_for(&self.queues.calls, 0).await;
        self.works().await;
        let tally = self.check(fault, (begun, ended), &outcomes).await;
        (node, tally)
    }

    /// Waits until the broker works again.
    async fn works(&self) {
        let mut last = None;
        let working = tokio::time::timeout(Duration::from_secs(60), async {
            while let Err(error) = self.proxy.call::<_, String>(&ECHO, ("x",)).await {
                last = Some(error);
                sleep(Duration::from_millis(50)).await;
            }
        });
        let is_working = working.await.is_ok();
        assert!(is_working, "the broker does not work again: {last:?}");
    }

    async fn check(&self, fault: Fault, at: (Instant, Instant), outcomes: &[Outcome]) -> Tally {
        // What the broker delivers again is published again, and comes a little later.
        let is_lost = |outcome: &Outcome, runs: &BTreeMap<i32, Vec<Run>>| {
            // With the queue its messages are deleted.
            let near = Duration::from_secs(1);
            let is_exempt = fault == Fault::QueueDeleted
                && outcome.begun < at.1 + near
                && outcome.ended + near > at.0;
            outcome.result.is_ok() && !is_exempt && !runs.contains_key(&outcome.number)
        };
        let lost = || {
            let runs = self.runner.0.lock().unwrap();
            let lost = outcomes.iter().filter(|outcome| is_lost(outcome, &runs));
            lost.map(|outcome| outcome.number).collect::<Vec<_>>()
        };
        let start = Instant::now();
        while !lost().is_empty() && start.elapsed() < Duration::from_secs(10) {
            sleep(Duration::from_millis(50)).await;
        }
        let lost = lost();
        assert!(
            lost.is_empty(),
            "{fault:?}: confirmed and never run: {lost:?}"
        );

        let runs = self.runner.0.lock().unwrap();
        let mut tally = Tally::default();
        for outcome in outcomes {
            let number = outcome.number;
            let runs = runs.get(&number).map_or(&[][..], Vec::as_slice);
            tally.calls += 1;
            tally.runs += runs.len();
            tally.repeated += usize::from(runs.len() > 1);
            let took = outcome.ended - outcome.begun;
            assert!(took < 2 * TIMEOUT, "{fault:?}: call {number} took {took:?}");
            for (place, run) in runs.iter().enumerate() {
                let late_by = run.late_by.unwrap_or_default();
                assert!(
                    late_by < CHECK_TIME,
                    "{fault:?}: {number} ran late: {run:?}"
                );
                let is_marked = place == 0 || run.is_redelivered;
                assert!(
                    is_marked,
                    "{fault:?}: {number} ran twice unmarked: {runs:?}"
                );
            }
            match &outcome.result {
                Ok(()) => tally.succeeded += 1,
                Err(error) => {
                    let code = error.code();
                    *tally.failed.entry(code.to_string()).or_default() += 1;
                    assert!(error.can_retry(), "{fault:?}: {error}");
                    let is_oneway = outcome.is_oneway;
                    let was_sent = code != ErrorCode::SendFailed;
                    assert!(
                        was_sent || runs.is_empty(),
                        "{fault:?}: {number} ran, oneway {is_oneway}: {error}"
                    );
                }
            }
        }
        tally
    }
}

async fn survive(fault: Fault) {
    let mut node = Node::start();
    let bench = Bench::at(&node).await;
    // A queue that was declared a moment before the broker is killed may be lost.
    within(bench.works()).await;
    sleep(Duration::from_secs(1)).await;
    for round in 1..=setting("TCE_FAULT_ROUNDS", 1) {
        let tally;
        (node, tally) = bench.round(node, fault).await;
        eprintln!("{fault:?} {round}: {tally}");
        assert!(tally.succeeded > 0);
        bench.runner.0.lock().unwrap().clear();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_under_load() {
    survive(Fault::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stops_for_longer_than_the_deadlines() {
    survive(Fault::Stopped(Duration::from_secs(4))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_of_the_broker_under_load() {
    survive(Fault::MemoryAlarm).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_broker_closes_under_load() {
    survive(Fault::ConnectionsClosed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_deleted_under_load() {
    survive(Fault::QueueDeleted).await;
}
