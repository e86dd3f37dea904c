//! Oneway calls at a steady rate from two senders to two servers, while the
//! broker, a server and a sender's connection fail. Every accepted call is
//! executed.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

use tce_runtime::Proxy;
use tce_test_rabbitmq::Node;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{
    common::watching::within,
    process::{LONG, Line, Server},
    queues::Queues,
    recorder::RECORD,
    wire::Wire,
};

/// The interval between the calls of a sender.
const PACE: Duration = Duration::from_millis(5);
/// The number of calls that are executed between two failures.
const ROUND: usize = 200;

/// Waits until the servers have executed [`ROUND`] more calls.
async fn progress(servers: &[&Server]) {
    let executed = || -> usize { servers.iter().map(|server| server.executed()).sum() };
    let goal = executed() + ROUND;
    within(async {
        while executed() < goal {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// A call that was accepted, and when it began and ended.
#[derive(Debug, Clone, Copy)]
struct Accepted {
    number: i32,
    from: Instant,
    to: Instant,
}

/// Calls until `stop` is set; returns the accepted calls.
async fn send(proxy: Proxy, next: Arc<AtomicI32>, stop: Arc<AtomicBool>) -> Vec<Accepted> {
    let mut calls = JoinSet::new();
    let mut pace = tokio::time::interval(PACE);
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let number = next.fetch_add(1, Ordering::Relaxed);
        let proxy = proxy.clone();
        calls.spawn(async move {
            let from = Instant::now();
            let result = proxy.oneway(&RECORD, (number,)).await;
            let to = Instant::now();
            result.is_ok().then_some(Accepted { number, from, to })
        });
    }
    within(calls.join_all())
        .await
        .into_iter()
        .flatten()
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_call_is_executed_whatever_fails() {
    let mut node = Node::start();
    let folder = TempDir::new().unwrap();
    let queues = Queues::at(node.port());
    let wire = Wire::to(node.port()).await;
    let by_wire = Queues {
        port: wire.port(),
        ..queues.clone()
    };
    let mut servers = ["first", "second"].map(|name| Server::start(&queues, folder.path(), name));
    let (next, stop) = (Arc::default(), Arc::<AtomicBool>::default());
    let mut senders = JoinSet::new();
    for queues in [&queues, &by_wire] {
        let client = queues.open("writer").await;
        let proxy = queues.proxy(&client).await;
        senders.spawn(send(proxy, Arc::clone(&next), Arc::clone(&stop)));
    }

    progress(&[&servers[0], &servers[1]]).await;
    let client = queues.open("writer").await;
    let proxy = queues.proxy(&client).await;
    within(proxy.oneway(&RECORD, (LONG,))).await.unwrap();
    within(async {
        while !servers[0].has_begun(LONG) {
            servers.swap(0, 1);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let [mut first, second] = servers;
    first.kill();
    let third = Server::start(&queues, folder.path(), "third");
    progress(&[&second, &third]).await;
    let mut outages = vec![(Instant::now(), Instant::now())];
    wire.cut().await;
    wire.connections(2).await;
    progress(&[&second, &third]).await;
    let down = Instant::now();
    let node = tokio::task::spawn_blocking(move || {
        node.kill();
        node.restart();
        node
    });
    let node = node.await.unwrap();
    outages.push((down, Instant::now()));
    progress(&[&second, &third]).await;
    stop.store(true, Ordering::Relaxed);
    let accepted = senders.join_all().await.concat();

    let executed = || {
        let servers = [&first, &second, &third];
        let lines = servers.into_iter().flat_map(Server::lines);
        let mut executed: BTreeMap<i32, Vec<Line>> = BTreeMap::new();
        for line in lines {
            executed.entry(line.number).or_default().push(line);
        }
        executed
    };
    let is_executed = |executed: &BTreeMap<i32, Vec<Line>>, number: i32| {
        let lines = executed.get(&number);
        lines.is_some_and(|lines| lines.iter().any(|line| line.is_end))
    };
    within(async {
        loop {
            let executed = executed();
            let mut numbers = accepted.iter().map(|call| call.number);
            if numbers.all(|number| is_executed(&executed, number)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(accepted.len() > 4 * ROUND, "{}", accepted.len());

    // A call that was executed twice is marked, or was sent again because its
    // confirmation was lost with the connection.
    let calls: BTreeMap<_, _> = accepted.iter().map(|call| (call.number, call)).collect();
    let executed = executed();
    for (number, lines) in &executed {
        let begun: Vec<_> = lines.iter().filter(|line| !line.is_end).collect();
        let unmarked = begun.iter().filter(|line| !line.is_redelivered).count();
        if unmarked > 1 {
            let call = calls[number];
            let hit = |(from, to): &(Instant, Instant)| call.from <= *to && call.to >= *from;
            assert!(outages.iter().any(hit), "{number}: {begun:?}");
        }
    }
    let long = &executed[&LONG];
    assert!(long.iter().any(|line| line.is_redelivered), "{long:?}");
    assert!(is_executed(&executed, LONG), "{long:?}");
    assert!(
        !first
            .lines()
            .iter()
            .any(|line| line.is_end && line.number == LONG)
    );
    drop(node);
}
