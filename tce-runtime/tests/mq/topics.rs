//! Broadcasts.

use tce_runtime::{Adapter, Communicator, MemoryBroker, Proxy, config::MqConfig};
use tce_test_rabbitmq::Node;

use crate::{
    common::watching::within,
    recorder::{RECORD, Recorder, Records},
};

use std::sync::Arc;

fn config(name: &str, process: &str) -> MqConfig {
    let port = Node::shared().port();
    let endpoint = |endpoint: &str, subject: &str| {
        format!(
            "    - {{name: {endpoint}, host: 127.0.0.1, port: {port}, type: mq, address: \
             \"{name}{subject};{{create:always,node:{{type:topic,durable:true}}}}\"}}\n"
        )
    };
    let text = format!(
        "common_defs:\n  endpoints:\n{}{}{}{}
reader:
  endpoints:
    - {{name: all, af_mode: AF_READ}}
    - {{name: weather, af_mode: AF_READ}}
writer:
  endpoints:
    - {{name: rain, af_mode: AF_WRITE}}
    - {{name: sport, af_mode: AF_WRITE}}
",
        endpoint("all", ""),
        endpoint("weather", "/weather.#"),
        endpoint("rain", "/weather.rain"),
        endpoint("sport", "/sport"),
    );
    MqConfig::parse(&text, "config.yml", process).unwrap()
}

async fn open(name: &str, process: &str, memory: Option<&MemoryBroker>) -> Communicator {
    let communicator = Communicator::new();
    let config = config(name, process);
    match memory {
        Some(broker) => communicator.open_mq_in_memory(config, broker).await,
        None => communicator.open_mq(config).await,
    }
    .unwrap();
    communicator
}

async fn listen(communicator: &Communicator, endpoint: &str) -> (Adapter, Arc<Records>) {
    let adapter = Adapter::listen(communicator, endpoint).await.unwrap();
    let recorder = Recorder::default();
    adapter.add_servant(recorder.clone()).start();
    (adapter, recorder.0)
}

async fn every_consumer_gets_the_subjects_that_it_wants(name: &str, memory: Option<MemoryBroker>) {
    let memory = memory.as_ref();
    let (one, other) = (
        open(name, "reader", memory).await,
        open(name, "reader", memory).await,
    );
    let (_one, all) = listen(&one, "mq:all").await;
    // Two endpoints, one adapter.
    let (_other, both) = listen(&other, "mq:all, weather").await;
    let writer = open(name, "writer", memory).await;
    let rain = Proxy::connect(&writer, "mq:rain").await.unwrap();
    let sport = Proxy::connect(&writer, "mq:sport").await.unwrap();
    within(rain.oneway(&RECORD, (1,))).await.unwrap();
    within(sport.oneway(&RECORD, (2,))).await.unwrap();
    within(rain.oneway(&RECORD, (3,))).await.unwrap();
    let mut came = all.reached(3).await;
    came.sort_unstable();
    assert_eq!(came, [(1, false), (2, false), (3, false)]);
    let mut came = both.reached(5).await;
    came.sort_unstable();
    let expected = [1, 1, 2, 3, 3].map(|number| (number, false));
    assert_eq!(came, expected);
}

#[tokio::test]
async fn every_consumer_of_a_topic_at_a_broker_gets_the_subjects_that_it_wants() {
    every_consumer_gets_the_subjects_that_it_wants("topic_at_broker", None).await;
}

#[tokio::test]
async fn every_consumer_of_a_topic_in_memory_gets_the_subjects_that_it_wants() {
    every_consumer_gets_the_subjects_that_it_wants("topic_in_memory", Some(MemoryBroker::new()))
        .await;
}

#[tokio::test]
async fn a_broadcast_without_a_consumer_is_no_error() {
    for (name, memory) in [("unheard", None), ("unheard", Some(MemoryBroker::new()))] {
        let writer = open(name, "writer", memory.as_ref()).await;
        let rain = Proxy::connect(&writer, "mq:rain").await.unwrap();
        within(rain.oneway(&RECORD, (1,))).await.unwrap();
    }
}
