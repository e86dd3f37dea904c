//! A broker that accepts no messages because its memory runs out.

use std::time::Duration;

use tce_runtime::{
    ErrorCode, Proxy,
    config::{ConnectionLimits, Options},
};
use tce_test_rabbitmq::Node;

use crate::{
    common::{
        probe::{ECHO, GROW, NOTE, works},
        raw::{Message, int},
        watching::{eventually_async, soon, within},
    },
    multi_calls::Topic,
    queues::Queues,
    raw::Raw,
};

/// Makes the broker accept messages only below this share of the machine's memory.
fn limit_memory(node: &Node, share: &str) {
    node.control(&["set_vm_memory_high_watermark", share]);
}

/// Calls until the outcome is this one: `None` for success.
async fn call_until(proxy: &Proxy, outcome: Option<ErrorCode>) -> String {
    let proxy = proxy.with_timeout(Duration::from_millis(200));
    within(async {
        loop {
            match proxy.call::<_, String>(&ECHO, ("again",)).await {
                Ok(answer) if outcome.is_none() => return answer,
                Err(error) if outcome == Some(error.code()) => return error.text().to_owned(),
                // The first calls time out: the broker says that it is blocked
                // in answer to a message.
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_to_a_blocked_broker_fails_at_once() {
    let node = Node::start();
    let queues = Queues::at(node.port());
    let _server = queues.serve("server").await;
    let client = queues.open("client").await;
    let proxy = queues.proxy(&client).await;
    works(&proxy).await;
    let every = Topic::at(node.port()).client().await;
    // A call that the broker has not read when it raises its alarm ends with its time.
    let every = every.all.with_timeout(Duration::from_millis(200));

    limit_memory(&node, "0");
    let text = call_until(&proxy, Some(ErrorCode::SendFailed)).await;
    assert!(text.contains("accepts no messages"), "{text}");
    assert!(text.contains("memory"), "{text}");
    let oneway = soon(proxy.oneway(&NOTE, (1,))).await;
    assert_eq!(oneway.unwrap_err().code(), ErrorCode::SendFailed);
    let is_told = async || {
        let call = every.call::<_, String>(&ECHO, ("x",));
        let error = soon(call.collect()).await.unwrap_err();
        error.text().contains("accepts no messages")
    };
    eventually_async("a multi-call is told of the alarm", is_told).await;

    limit_memory(&node, "0.4");
    assert_eq!(call_until(&proxy, None).await, "again");
}

/// RETURNs that the broker does not take wait in bounded memory: no further call is
/// taken from the queue meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_takes_no_calls_while_its_answers_can_not_leave() {
    const CALLS: u32 = 200;
    let node = Node::start();
    let queues = Queues {
        prefetch: 4,
        ..Queues::at(node.port())
    };
    let client = queues.open("client").await;
    let raw = Raw::connect(node.port()).await;
    for sequence in 0..CALLS {
        let call = Message::call(sequence, GROW.opidx(), int(64 << 10));
        let call = call.with_extra(&[("__mq_return__", &queues.replies)]);
        raw.publish(&queues.calls, &call.bytes()).await;
    }
    assert!(client.shutdown(Duration::from_secs(10)).await);
    tokio::task::block_in_place(|| limit_memory(&node, "0"));
    let options = Options {
        connection: ConnectionLimits {
            send_buffer: 256 << 10,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let _server = queues.serve_with("server", options).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    // A connection that has published is not read any more.
    let watcher = Raw::connect(node.port()).await;
    let waiting = watcher.waiting(&queues.calls).await;
    assert!(waiting > CALLS - 32, "{waiting}");
    tokio::task::block_in_place(|| limit_memory(&node, "0.4"));
    let mut returns = watcher.read(&queues.replies).await;
    for _ in 0..CALLS {
        assert_eq!(returns.message().await.params.len(), 4 + (64 << 10));
    }
}
