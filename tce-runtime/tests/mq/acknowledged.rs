//! In whatever order calls end: what is acknowledged is what was done, and
//! nothing else.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use tce_runtime::{Adapter, Communicator, IncomingCall, Proxy, Servant, wire::Operation};
use tce_test_rabbitmq::Node;
use tokio::sync::{mpsc, oneshot};

use crate::{common::watching::within, queues::Queues, raw::Raw, wire::Wire};

/// `void work(int number)`: ends when the test says so
static WORK: Operation = Operation::new("worker::Worker::work", 9, 0);

/// The calls that are at work at once: so many that some acknowledgements leave
/// because enough have gathered, and others because they have waited.
const AT_WORK: usize = 64;

/// A call that is at work.
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
            begun.send(call).await.expect("the test is there");
            ended.await.expect("the test says so");
            (ctx, Ok(()))
        });
    }
}

/// A server behind a wire, with as many calls at work as it takes.
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
    /// Those at work that came by a connection that is lost: they come again.
    stale: Vec<Begun>,
}

impl Bench {
    async fn new(is_durable: bool) -> Self {
        let port = Node::shared().port();
        let wire = Wire::to(port).await;
        let queues = Queues {
            is_durable,
            prefetch: u16::try_from(AT_WORK).unwrap(),
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

    /// Publishes until there are as many calls at work as the server takes. The
    /// broker gives it one more only for one that is acknowledged.
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

    /// Ends some of the calls at work, in that order and all at once.
    fn end(&mut self, places: &[usize]) {
        let mut at_work: Vec<_> = self.at_work.drain(..).map(Some).collect();
        for &place in places {
            let call = at_work[place].take().expect("each ends once");
            call.end.send(()).expect("it waits");
        }
        self.at_work = at_work.into_iter().flatten().collect();
    }

    /// Loses the connection. The broker gives the messages of those at work to
    /// the next one.
    async fn lose(&mut self) -> BTreeSet<i32> {
        self.wire.cut().await;
        let numbers = self.at_work.iter().map(|call| call.number).collect();
        self.stale.append(&mut self.at_work);
        numbers
    }

    /// The next call, which was delivered before.
    async fn comes_again(&mut self) -> i32 {
        let begun = within(self.begun.recv()).await.unwrap();
        assert!(begun.is_redelivered, "{}", begun.number);
        let number = begun.number;
        self.at_work.push(begun);
        number
    }

    /// Ends the calls of lost connections, of which the broker must not hear:
    /// the numbers of their deliveries are others' now.
    fn end_stale(&mut self) {
        for call in self.stale.drain(..) {
            call.end.send(()).expect("it waits");
        }
    }

    /// That nothing is left when all has ended.
    async fn ends(mut self) {
        self.end_stale();
        self.end(&(0..self.at_work.len()).collect::<Vec<_>>());
        assert!(self.server.shutdown(Duration::from_secs(10)).await);
        assert!(self.begun.try_recv().is_err(), "something else came");
        self.raw.publish(&self.queues.calls, b"the last").await;
        let mut rest = self.raw.read(&self.queues.calls).await;
        assert_eq!(rest.next().await.data, b"the last");
    }
}

/// Which calls end, and in which order.
fn endings() -> Vec<Vec<usize>> {
    let mut endings = vec![
        // One acknowledgement tells of all.
        (0..AT_WORK / 2).collect(),
        (0..AT_WORK / 2).rev().collect(),
        // The first is missing: each tells of itself.
        (1..AT_WORK).rev().collect(),
        // Fewer than gather, with gaps.
        vec![3, 1, 0, 5],
        (0..AT_WORK).filter(|place| place % 7 != 3).collect(),
    ];
    let random = (
        Just((0..AT_WORK).collect::<Vec<_>>()).prop_shuffle(),
        1..AT_WORK,
    );
    // The same ones in each run.
    let mut runner = TestRunner::deterministic();
    for _ in 0..3 {
        let tree = random.new_tree(&mut runner).expect("nothing is rejected");
        let (mut places, count) = tree.current();
        places.truncate(count);
        endings.push(places);
    }
    endings
}

async fn what_has_not_ended_comes_again(is_durable: bool) {
    let mut bench = Bench::new(is_durable).await;
    for ending in endings() {
        // First, so that what must not be told would be told with the others.
        bench.end_stale();
        bench.end(&ending);
        bench.fill_up().await;
        let mut unended = bench.lose().await;
        while !unended.is_empty() {
            let number = bench.comes_again().await;
            assert!(unended.remove(&number), "{number} had ended: {ending:?}");
        }
    }
    bench.ends().await;
}

#[tokio::test]
async fn exactly_what_has_not_ended_comes_again() {
    what_has_not_ended_comes_again(true).await;
}

#[tokio::test]
async fn exactly_what_has_not_ended_comes_again_where_acknowledgements_gather() {
    what_has_not_ended_comes_again(false).await;
}

#[tokio::test]
async fn what_has_not_ended_comes_again_though_acknowledgements_were_on_their_way() {
    for is_durable in [true, false] {
        for ending in endings() {
            let mut bench = Bench::new(is_durable).await;
            bench.end(&ending);
            // Of what has ended the broker may have heard or not.
            let mut unended = bench.lose().await;
            while !unended.is_empty() {
                unended.remove(&bench.comes_again().await);
            }
        }
    }
}
