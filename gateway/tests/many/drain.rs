//! Many clients that a gateway sends to the next one before it ends. The full run:
//! `TCE_DRAIN_CLIENTS=5000 cargo test --release -p tce-gateway --test many drain -- --nocapture`.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use tce_runtime::{Communicator, ConnectionEvent, Proxy, RpcError, config::Options};
use tokio::time::{interval, sleep};

use crate::gateway::{ECHO, Gateway, allow_files};

/// The configured rate.
const A_SECOND: usize = 250;
/// Each client makes a call this often.
const CALL_EVERY: Duration = Duration::from_secs(1);

/// 500, or what the environment says.
fn clients() -> usize {
    let count = std::env::var("TCE_DRAIN_CLIENTS").ok();
    count.and_then(|count| count.parse().ok()).unwrap_or(500)
}

/// When clients have connected.
type Arrivals = Arc<Mutex<Vec<Instant>>>;

#[tokio::test]
async fn no_call_fails_and_the_rate_of_connects_holds_when_a_gateway_is_drained() {
    let count = clients();
    allow_files(2 * count as u64 + 500);
    let drain_time = count / A_SECOND;
    let properties = [
        ("userid_check", "true".to_owned()),
        ("auth", "token".to_owned()),
        ("drain_time", drain_time.to_string()),
    ];
    let options = Options {
        token: Some("probe".to_owned()),
        ..Options::default()
    };
    let mut gateway = Gateway::start_with("socket", "tcp", &options, &properties).await;
    let arrivals = Arrivals::default();
    let endpoint = gateway.endpoint.clone();
    let clients = stream::iter(0..count).map(|number| connect(&endpoint, number, &arrivals));
    let clients: Result<Vec<_>, _> = clients.buffer_unordered(64).try_collect().await;
    let clients = clients.expect("each client is let in and answered");

    let stop = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for client in clients {
        load.spawn(keep_calling(client, Arc::clone(&stop)));
    }
    sleep(CALL_EVERY).await;
    let began = Instant::now();
    let old = gateway.restart().await;
    let taken_over = began.elapsed();
    while arrivals.lock().expect("it is not poisoned").len() < count {
        assert!(began.elapsed() < Duration::from_secs(120), "all go");
        sleep(Duration::from_millis(20)).await;
    }
    sleep(2 * CALL_EVERY).await;
    stop.store(true, Ordering::Relaxed);
    let (mut calls, mut longest) = (0, Duration::ZERO);
    for of_client in load.join_all().await {
        let (answered, slowest) = of_client.expect("no call fails");
        calls += answered;
        longest = longest.max(slowest);
    }
    let ended = old.ended().await;
    let mut arrivals = arrivals.lock().expect("it is not poisoned").clone();
    arrivals.sort_unstable();
    let most = most_a_second(&arrivals);
    let last = arrivals.last().map(|at| *at - began);
    println!(
        "{count} clients within {drain_time} s: at most {most} connects in a second, the last after \
         {last:?}; the next gateway was up after {taken_over:?}, the old one ended after {:?}; \
         {calls} calls, none failed, the slowest took {longest:?}",
        ended.duration_since(began)
    );
    assert!(most <= A_SECOND, "{most} connects in a second");
}

async fn connect(endpoint: &str, number: usize, arrivals: &Arrivals) -> Result<Proxy, RpcError> {
    let communicator = Communicator::with_options(Options {
        token: Some(format!("user{number}")),
        ..Options::default()
    });
    let client = Proxy::connect(&communicator, endpoint).await?;
    let answer: String = client.call(&ECHO, ("hello",)).await?;
    assert_eq!(answer, "hello");
    let arrivals = Arc::clone(arrivals);
    client.connection().on_event(move |_, event| {
        if matches!(event, ConnectionEvent::Connected) {
            let mut arrivals = arrivals.lock().expect("it is not poisoned");
            arrivals.push(Instant::now());
        }
    });
    Ok(client)
}

/// Returns the number of answers, and the longest time of one.
async fn keep_calling(client: Proxy, stop: Arc<AtomicBool>) -> Result<(usize, Duration), RpcError> {
    let mut due = interval(CALL_EVERY);
    let (mut answered, mut slowest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        due.tick().await;
        let began = Instant::now();
        let answer: String = client.call(&ECHO, ("x",)).await?;
        assert_eq!(answer, "x");
        answered += 1;
        slowest = slowest.max(began.elapsed());
    }
    Ok((answered, slowest))
}

/// The most arrivals within any second; `arrivals` are sorted.
fn most_a_second(arrivals: &[Instant]) -> usize {
    let counts = arrivals.iter().enumerate().map(|(position, at)| {
        let end = arrivals.partition_point(|later| *later - *at < Duration::from_secs(1));
        end - position
    });
    counts.max().unwrap_or_default()
}
