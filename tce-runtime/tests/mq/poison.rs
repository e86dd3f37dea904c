//! Messages that end the process that reads them, and brokers that end each
//! connection.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tce_runtime::{Adapter, IncomingCall, Servant, wire::Operation};
use tce_test_faults::FaultProxy;
use tce_test_rabbitmq::Node;

use crate::{
    common::{
        probe::{ECHO, works},
        raw::{Message, int},
        watching::{PATIENCE, within},
    },
    queues::Queues,
    raw::Raw,
    recorder::record,
};

/// The environment variable that makes this program a server that a call ends: port,
/// queue, and how often a message is delivered.
const VICTIM: &str = "TCE_TEST_VICTIM";
/// `void end()` and `void record(int number)` on interface 9
static END: Operation = Operation::new("victim::Victim::end", 9, 7);
const LIMIT: u16 = 3;

struct Victim;

impl Servant for Victim {
    fn interfaces(&self) -> &[u16] {
        &[9]
    }

    fn dispatch(&self, _: IncomingCall<'_>) {
        std::process::abort();
    }
}

fn queues(port: u16, calls: &str) -> Queues {
    Queues {
        calls: calls.to_owned(),
        delivery_limit: LIMIT,
        ..Queues::at(port)
    }
}

fn serve(what: &str) {
    let (port, calls) = what.split_once(' ').unwrap();
    let queues = queues(port.parse().unwrap(), calls);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _adapter = runtime.block_on(async {
        let communicator = queues.open("reader").await;
        let adapter = Adapter::listen(&communicator, &queues.endpoint()).await;
        let adapter = adapter.unwrap();
        adapter.add_servant(std::sync::Arc::new(Victim)).start();
        adapter
    });
    std::thread::sleep(PATIENCE);
}

fn victim(queues: &Queues) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "poison::a_message_that_ends_its_process_goes_to_the_dead_letter_queue",
        ])
        .env(VICTIM, format!("{} {}", queues.port, queues.calls))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("this program runs")
}

/// Restarts the server as often as the call ends it, until the call is in the
/// dead-letter queue. Returns how often.
async fn restarts_until_dead(queues: &Queues, raw: &Raw) -> usize {
    let call = Message {
        ifidx: 9,
        calltype: 0x21,
        ..Message::call(0, END.opidx(), Vec::new())
    };
    raw.publish(&queues.calls, &call.bytes()).await;
    let dead = format!("{}.dead", queues.calls);
    let start = Instant::now();
    let mut ended = 0;
    let mut process = victim(queues);
    loop {
        if process.try_wait().unwrap().is_some() {
            ended += 1;
            process = victim(queues);
        }
        if raw.exists(&dead).await && raw.waiting(&dead).await == 1 {
            break;
        }
        assert!(start.elapsed() < 2 * PATIENCE, "ended {ended} times");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The acknowledgement of the original follows the confirmation of its copy.
    tokio::time::sleep(Duration::from_secs(1)).await;
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(raw.get(&dead).await.data, call.bytes());
    raw.wait_for(&queues.calls, 0).await;
    ended
}

#[test]
fn a_message_that_ends_its_process_goes_to_the_dead_letter_queue() {
    if let Ok(what) = std::env::var(VICTIM) {
        return serve(&what);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let port = Node::shared().port();
        for kind in ["classic", "quorum"] {
            let queues = queues(port, &format!("poisoned_{kind}"));
            let raw = Raw::connect(port).await;
            raw.declare_kind(&queues.calls, kind).await;
            let ended = restarts_until_dead(&queues, &raw).await;
            assert_eq!(ended, usize::from(LIMIT), "{kind}");
            // The messages after it are read.
            let server = record(&queues).await;
            let after = Message {
                ifidx: 9,
                calltype: 0x21,
                ..Message::call(0, 0, int(5))
            };
            raw.publish(&queues.calls, &after.bytes()).await;
            assert_eq!(server.records.reached(1).await, [(5, false)]);
        }
    });
}

/// A broker that ends each connection soon after it is open.
#[tokio::test]
async fn a_broker_that_ends_each_connection_is_tried_at_growing_pauses() {
    let proxy = FaultProxy::start(format!("127.0.0.1:{}", Node::shared().port()));
    let queues = Queues::at(proxy.port());
    let _server = within(queues.serve("reader")).await;
    let client = within(queues.open("writer")).await;
    let caller = queues.proxy(&client).await;
    works(&caller).await;
    let before = proxy.accepted();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(8) {
        proxy.cut();
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    // Two programs with two connections each. Without pauses there would be 50 of
    // each.
    let attempts = proxy.accepted() - before;
    assert!((4..=40).contains(&attempts), "{attempts}");
    let caller = caller.with_timeout(Duration::from_secs(1));
    within(async {
        while caller.call::<_, String>(&ECHO, ("again",)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}
