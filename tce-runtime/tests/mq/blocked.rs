//! A broker that accepts no messages because its memory runs out.

use std::time::Duration;

use tce_runtime::{ErrorCode, Proxy};
use tce_test_rabbitmq::Node;

use crate::{
    common::{
        probe::{ECHO, NOTE, works},
        watching::{soon, within},
    },
    queues::Queues,
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

    limit_memory(&node, "0");
    let text = call_until(&proxy, Some(ErrorCode::SendFailed)).await;
    assert!(text.contains("accepts no messages"), "{text}");
    assert!(text.contains("memory"), "{text}");
    let oneway = soon(proxy.oneway(&NOTE, (1,))).await;
    assert_eq!(oneway.unwrap_err().code(), ErrorCode::SendFailed);

    limit_memory(&node, "0.4");
    assert_eq!(call_until(&proxy, None).await, "again");
}
