//! What a caller learns when a call is interrupted, for each moment of a call over a
//! queue: the rows "queue" of `spec/certainty.md`.

use std::time::Duration;

use lapin::{
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable},
};
use tce_runtime::{Communicator, ErrorCode, Proxy, config::Options};
use tce_test_faults::{Direction, FaultProxy};
use tce_test_rabbitmq::Node;

use crate::{
    common::{
        probe::{GATE, NOTE, Server, works},
        watching::{soon, within},
    },
    queues::Queues,
    raw::Raw,
};

/// A server at the broker, and a client with a network between it and the broker.
struct Scene {
    at_broker: Queues,
    network: FaultProxy,
    proxy: Proxy,
    _client: Communicator,
}

impl Scene {
    async fn new() -> Self {
        let at_broker = Queues::at(Node::shared().port());
        let network = FaultProxy::start(format!("127.0.0.1:{}", at_broker.port));
        let by_network = Queues {
            port: network.port(),
            ..at_broker.clone()
        };
        let client = by_network.open("client").await;
        let proxy = by_network.proxy(&client).await;
        Self {
            at_broker,
            network,
            proxy,
            _client: client,
        }
    }

    async fn serve(&self) -> Server {
        let options = Options {
            deadline_tolerance: Duration::ZERO,
            ..Options::default()
        };
        self.at_broker.serve_with("server", options).await
    }

    /// A call that works shows that what was sent before it has been executed.
    async fn settled(&self) {
        let hasty = self.proxy.with_timeout(Duration::from_secs(1));
        within(async {
            while hasty.call::<_, ()>(&NOTE, (0,)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

fn times(server: &Server, number: i32) -> usize {
    let notes = server.probe.notes.lock().unwrap();
    notes.iter().filter(|note| **note == number).count()
}

#[tokio::test]
async fn not_sent() {
    let scene = Scene::new().await;
    let server = scene.serve().await;
    works(&scene.proxy).await;
    scene.network.set_refusing(true);
    scene.network.cut();
    within(async {
        while scene.proxy.connection().is_connected() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    let error = soon(scene.proxy.call::<_, ()>(&NOTE, (1,)))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::SendFailed, "{error}");
    let hasty = scene.proxy.with_timeout(Duration::from_millis(100));
    let error = soon(hasty.oneway(&NOTE, (2,))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SendFailed, "{error}");
    scene.network.set_refusing(false);
    scene.settled().await;
    assert_eq!((times(&server, 1), times(&server, 2)), (0, 0));
}

#[tokio::test]
async fn the_queue_is_missing_or_full() {
    let scene = Scene::new().await;
    let raw = Raw::connect(scene.at_broker.port).await;
    // Full: the broker confirms nothing more.
    let name = format!("{}_full", scene.at_broker.calls);
    raw.declare_full(&name).await;
    let full = Queues {
        calls: name,
        ..scene.at_broker.clone()
    };
    let client = full.open("client").await;
    let proxy = full.proxy(&client).await;
    let error = soon(proxy.call::<_, ()>(&NOTE, (1,))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SendFailed, "{error}");
    assert!(error.text().contains("takes no more"), "{error}");
    let error = soon(proxy.oneway(&NOTE, (2,))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SendFailed, "{error}");
}

#[tokio::test]
async fn written_and_lost() {
    let scene = Scene::new().await;
    let server = scene.serve().await;
    works(&scene.proxy).await;
    scene.network.freeze(Direction::ToServer);
    let call = scene.proxy.call::<_, ()>(&NOTE, (1,));
    let proxy = scene.proxy.clone();
    let oneway = tokio::spawn(async move { proxy.oneway(&NOTE, (2,)).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    scene.network.cut();
    let error = soon(call).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost, "{error}");
    scene.network.thaw();
    // A oneway call is sent again.
    within(oneway).await.unwrap().unwrap();
    scene.settled().await;
    assert_eq!((times(&server, 1), times(&server, 2)), (0, 1));
}

#[tokio::test]
async fn written_and_held_up() {
    let scene = Scene::new().await;
    let server = scene.serve().await;
    works(&scene.proxy).await;
    scene.network.freeze(Direction::ToServer);
    let hasty = scene.proxy.with_timeout(Duration::from_millis(300));
    let twoway = hasty.call::<_, ()>(&NOTE, (1,));
    let oneway = hasty.oneway(&NOTE, (2,));
    let error = soon(oneway).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout, "{error}");
    let error = soon(twoway).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout, "{error}");
    scene.network.thaw();
    scene.settled().await;
    // The twoway call arrived after its deadline; the oneway call has none.
    assert_eq!((times(&server, 1), times(&server, 2)), (0, 1));
}

#[tokio::test]
async fn at_the_broker() {
    let scene = Scene::new().await;
    let hasty = scene.proxy.with_timeout(Duration::from_millis(300));
    let error = soon(hasty.call::<_, ()>(&NOTE, (1,))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout, "{error}");
    scene.proxy.oneway(&NOTE, (2,)).await.unwrap();
    let server = scene.serve().await;
    scene.settled().await;
    assert_eq!((times(&server, 1), times(&server, 2)), (0, 1));
}

#[tokio::test]
async fn at_the_servant() {
    let scene = Scene::new().await;
    let first = scene.serve().await;
    let call = scene.proxy.call::<_, ()>(&GATE, ());
    first.probe.gate_reached(1).await;
    // Its process ends: the broker delivers the call to another server.
    assert!(!first.communicator.shutdown(Duration::ZERO).await);
    let second = scene.serve().await;
    second.probe.gate.add_permits(1);
    within(call).await.unwrap();
}

#[tokio::test]
async fn answered() {
    let scene = Scene::new().await;
    let server = scene.serve().await;
    works(&scene.proxy).await;
    scene.network.freeze(Direction::ToClient);
    let hasty = scene.proxy.with_timeout(Duration::from_millis(500));
    let error = soon(hasty.call::<_, ()>(&NOTE, (1,))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout, "{error}");
    scene.network.thaw();
    // The RETURN waits in its queue while the connection is made again.
    let call = scene.proxy.call::<_, ()>(&GATE, ());
    server.probe.gate_reached(1).await;
    within(scene.proxy.connection().flush()).await;
    scene.network.cut();
    server.probe.gate.add_permits(1);
    within(call).await.unwrap();
    assert_eq!(times(&server, 1), 1);
}

impl Raw {
    /// Declares a durable queue that accepts no message.
    async fn declare_full(&self, queue: &str) {
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(0));
        let overflow = AMQPValue::LongString("reject-publish".into());
        arguments.insert("x-overflow".into(), overflow);
        let options = QueueDeclareOptions::durable();
        self.declare_with(queue, options, arguments).await.unwrap();
    }
}
