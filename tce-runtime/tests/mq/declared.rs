//! Only nodes that RabbitMQ 4 accepts are declared.

use std::collections::BTreeMap;

use tce_runtime::{Adapter, Communicator, config::MqConfig};
use tce_test_rabbitmq::Node;

use crate::{common::probe::works, queues::Queues, raw::Raw};

/// Durable, exclusive, auto-delete.
type Flags = [bool; 3];

const DURABLE: Flags = [true, false, false];
const OWN: Flags = [false, true, true];

fn declared(node: &Node) -> BTreeMap<String, Flags> {
    let columns = ["list_queues", "name", "durable", "exclusive", "auto_delete"];
    let rows = node.control(&columns).into_iter();
    rows.map(|row| {
        (
            row[0].clone(),
            [1, 2, 3].map(|column| row[column] == "true"),
        )
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_are_durable_or_exclusive() {
    let node = Node::start();
    let queues = Queues {
        // An address that is not durable says how messages are sent: a queue
        // that is neither durable nor exclusive is one that RabbitMQ 4 refuses.
        is_durable: false,
        ..Queues::at(node.port())
    };
    let server = queues.serve("reader").await;
    let client = queues.open("writer").await;
    works(&queues.proxy(&client).await).await;
    let topic = Communicator::new();
    let config = queues.text().replace("type:queue", "type:topic");
    let config = config.replace(&queues.calls, "news");
    let config = MqConfig::parse(&config, "config.yml", "reader").unwrap();
    topic.open_mq(config).await.unwrap();
    let adapter = Adapter::listen(&topic, "mq:news").await.unwrap();

    let declared = declared(&node);
    let (own, shared): (Vec<_>, Vec<_>) = declared
        .iter()
        .partition(|(name, _)| **name != queues.calls);
    assert_eq!(shared, [(&queues.calls, &DURABLE)]);
    // The writer's reply queue, and the queue of the topic's consumer.
    assert_eq!(own.len(), 2, "{declared:?}");
    assert!(own.iter().all(|(_, flags)| **flags == OWN), "{declared:?}");
    let exchanges = node.control(&["list_exchanges", "name", "type", "durable"]);
    assert!(exchanges.contains(&["news", "topic", "true"].map(str::to_owned).to_vec()));
    // The prefetch is per consumer, not per channel.
    let columns = ["list_channels", "prefetch_count", "global_prefetch_count"];
    let channels = node.control(&columns);
    assert!(channels.iter().all(|row| row[1] == "0"), "{channels:?}");
    let consumers = node.control(&["list_consumers", "prefetch_count"]);
    assert_eq!(consumers.len(), 3);
    assert!(consumers.iter().all(|row| row[0] == "64"), "{consumers:?}");
    drop((server, adapter));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_exists_with_other_properties_is_used_as_it_is() {
    let queues = Queues::at(Node::shared().port());
    let raw = Raw::connect(queues.port).await;
    let options = lapin::options::QueueDeclareOptions::default();
    raw.declare(&queues.calls, options).await.unwrap();
    let _server = queues.serve("reader").await;
    let client = queues.open("writer").await;
    works(&queues.proxy(&client).await).await;
}
