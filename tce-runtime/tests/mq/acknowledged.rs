//! Exactly the calls that have ended are acknowledged, whatever the order in
//! which they end.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use tce_runtime::{Adapter, Communicator, IncomingCall, Proxy, Servant, wire::Operation};
use tce_test_rabbitmq::Node;
use tokio::sync::{mpsc, oneshot};

use crate::{common::watching::within, queues::Queues, raw::Raw, wire::Wire};

/// `void work(int number)`: ends when the test says so
static WORK: Operation = Operation::new("worker::Worker::work", 9, 0);

/// The calls that run at once: enough that some acknowledgements are sent because
/// a batch is full, and others because the gather time has passed.
const AT_WORK: usize = 64;

/// A call that is running.
#[derive(Debug)]
struct Begun {
    number: i32,
    is_redelivered: bool,
    end: oneshot::Sender<()>,
}

struct Worker(Arc<mpsc::Sender<Begun>>);

impl Servant for Worker {
    fn interfaces(&self) -> &[u16] {
        &[9]
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        call.run(&self.0, |begun, (number,): (i32,), ctx| async move {
            let (end, ended) = oneshot::channel();
            let is_redelivered = ctx.is_redelivered();
            let call = Begun {
                number,
                is_redelivered,
                end,
            };
            begun.send(call).await.expect("the test receives");
            ended.await.expect("the test ends it");
            (ctx, Ok(()))
        });
    }
}

/// A server behind a wire, with as many running calls as its prefetch allows.
struct Bench {
    wire: Wire,
    raw: Raw,
    queues: Queues,
    writer: Proxy,
    published: i32,
    server: Communicator,
    _adapter: Adapter,
    begun: mpsc::Receiver<Begun>,
    at_work: Vec<Begun>,
    /// The running calls of lost connections; they are delivered again.
    stale: Vec<Begun>,
}

impl Bench {
    async fn new(is_durable: bool) -> Self {
        let port = Node::shared().port();
        let wire = Wire::to(port).await;
        let queues = Queues {
            is_durable,
            prefetch: u16::try_from(AT_WORK).unwrap(),
            // Without copies that count the deliveries: where the broker is slow to
            // confirm one, the original is delivered beside it.
            delivery_limit: 0,
            ..Queues::at(port)
        };
        let by_wire = Queues {
            port: wire.port(),
            ..queues.clone()
        };
        let server = by_wire.open("reader").await;
        let adapter = Adapter::listen(&server, &queues.endpoint()).await.unwrap();
        let (sender, begun) = mpsc::channel(10 * AT_WORK);
        adapter.add_servant(Worker(Arc::new(sender))).start();
        let client = queues.open("writer").await;
        let mut bench = Self {
            raw: Raw::connect(port).await,
            writer: queues.proxy(&client).await,
            wire,
            queues,
            published: 0,
            server,
            _adapter: adapter,
            begun,
            at_work: Vec::new(),
            stale: Vec::new(),
        };
        bench.fill_up().await;
        bench
    }

    /// Publishes until the server runs as many calls as its prefetch allows. The
    /// broker delivers another only when one is acknowledged.
    async fn fill_up(&mut self) {
        let numbers = self.published..;
        let numbers: Vec<_> = numbers.take(AT_WORK - self.at_work.len()).collect();
        let calls = numbers
            .iter()
            .map(|number| self.writer.oneway(&WORK, (*number,)));
        for call in within(join_all(calls)).await {
            call.unwrap();
        }
        for number in numbers {
            let begun = within(self.begun.recv()).await.unwrap();
            assert_eq!((begun.number, begun.is_redelivered), (number, false));
            self.at_work.push(begun);
            self.published = number + 1;
        }
    }

    /// Ends some of the running calls, in this order and all at once.
    fn end(&mut self, places: &[usize]) {
        let mut at_work: Vec<_> = self.at_work.drain(..).map(Some).collect();
        for &place in places {
            let call = at_work[place].take().expect("each call ends once");
            call.end.send(()).expect("the call is running");
        }
        self.at_work = at_work.into_iter().flatten().collect();
    }

    /// Cuts the connection. The broker delivers the messages of the running calls
    /// on the next one.
    async fn lose(&mut self) -> BTreeSet<i32> {
        self.wire.cut().await;
        let numbers = self.at_work.iter().map(|call| call.number).collect();
        self.stale.append(&mut self.at_work);
        numbers
    }

    /// Receives a call that was delivered before.
    async fn redelivered(&mut self) -> i32 {
        let begun = within(self.begun.recv()).await.unwrap();
        assert!(begun.is_redelivered, "{}", begun.number);
        let number = begun.number;
        self.at_work.push(begun);
        number
    }

    /// Ends the calls of lost connections. They must not be acknowledged: the
    /// current channel uses the same delivery numbers.
    fn end_stale(&mut self) {
        for call in self.stale.drain(..) {
            call.end.send(()).expect("the call is running");
        }
    }

    /// Asserts that no message is left once all calls have ended.
    async fn ends(mut self) {
        self.end_stale();
        self.end(&(0..self.at_work.len()).collect::<Vec<_>>());
        assert!(self.server.shutdown(Duration::from_secs(10)).await);
        assert!(self.begun.try_recv().is_err(), "another call was delivered");
        self.raw.publish(&self.queues.calls, b"the last").await;
        let mut rest = self.raw.read(&self.queues.calls).await;
        assert_eq!(rest.next().await.data, b"the last");
    }
}

/// Orders in which calls end.
fn endings() -> Vec<Vec<usize>> {
    let mut endings = vec![
        // One acknowledgement covers all.
        (0..AT_WORK / 2).collect(),
        (0..AT_WORK / 2).rev().collect(),
        // Without the first, each is acknowledged by itself.
        (1..AT_WORK).rev().collect(),
        // Fewer than a full batch, with gaps.
        vec![3, 1, 0, 5],
        (0..AT_WORK).filter(|place| place % 7 != 3).collect(),
    ];
    let random = (
        Just((0..AT_WORK).collect::<Vec<_>>()).prop_shuffle(),
        1..AT_WORK,
    );
    // The same orders in each run.
    let mut runner = TestRunner::deterministic();
    for _ in 0..3 {
        let tree = random.new_tree(&mut runner).expect("nothing is rejected");
        let (mut places, count) = tree.current();
        places.truncate(count);
        endings.push(places);
    }
    endings
}

async fn unfinished_calls_are_redelivered(is_durable: bool) {
    let mut bench = Bench::new(is_durable).await;
    for ending in endings() {
        // First, so that a wrong acknowledgement would be sent with the others.
        bench.end_stale();
        bench.end(&ending);
        bench.fill_up().await;
        let mut unended = bench.lose().await;
        while !unended.is_empty() {
            let number = bench.redelivered().await;
            assert!(unended.remove(&number), "{number} had ended: {ending:?}");
        }
    }
    bench.ends().await;
}

#[tokio::test]
async fn exactly_the_unfinished_calls_are_redelivered() {
    unfinished_calls_are_redelivered(true).await;
}

#[tokio::test]
async fn exactly_the_unfinished_calls_are_redelivered_with_batched_acknowledgements() {
    unfinished_calls_are_redelivered(false).await;
}

#[tokio::test]
async fn unfinished_calls_are_redelivered_if_acknowledgements_are_lost() {
    for is_durable in [true, false] {
        for ending in endings() {
            let mut bench = Bench::new(is_durable).await;
            bench.end(&ending);
            // The broker may have received the acknowledgements or not.
            let mut unended = bench.lose().await;
            while !unended.is_empty() {
                unended.remove(&bench.redelivered().await);
            }
        }
    }
}
