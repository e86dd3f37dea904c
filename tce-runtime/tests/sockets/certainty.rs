//! What a caller learns when a call is interrupted, for each moment of a call over a
//! stream: the rows "tcp, ws" of `spec/certainty.md`.

use std::time::Duration;

use tce_runtime::{Communicator, ErrorCode, Proxy, config::Options};
use tce_test_faults::{Direction, FaultProxy};

use crate::common::{
    probe::{GATE, NOTE, Server, serve_at, works},
    watching::{soon, within},
};

/// A server, a client, and the network between them.
struct Scene {
    server: Server,
    network: FaultProxy,
    proxy: Proxy,
}

impl Scene {
    async fn over(scheme: &str) -> Self {
        let options = Options {
            deadline_tolerance: Duration::ZERO,
            ..Options::default()
        };
        let server = serve_at(&format!("{scheme}://127.0.0.1:0"), options).await;
        let port = server.endpoint().port;
        let network = FaultProxy::start(format!("127.0.0.1:{port}"));
        let endpoint = format!("{scheme}://127.0.0.1:{}", network.port());
        let proxy = Proxy::connect(&Communicator::new(), &endpoint)
            .await
            .unwrap();
        works(&proxy).await;
        Self {
            server,
            network,
            proxy,
        }
    }

    fn notes(&self) -> Vec<i32> {
        self.server.probe.notes.lock().unwrap().clone()
    }

    /// A call that works shows that what was sent before it has been executed.
    async fn settled(&self) {
        within(async {
            let works = || self.proxy.call::<_, ()>(&NOTE, (0,));
            while works().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

async fn not_sent(scheme: &str) {
    let scene = Scene::over(scheme).await;
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
    // A connection that was accepted and ended at once may have got the call.
    let codes = [
        ErrorCode::ConnectFailed,
        ErrorCode::ConnectUnreachable,
        ErrorCode::ConnectionLost,
    ];
    assert!(codes.contains(&error.code()), "{error}");
    assert!(error.can_retry());
    scene.network.set_refusing(false);
    scene.settled().await;
    assert!(!scene.notes().contains(&1));
}

async fn written_and_lost(scheme: &str) {
    let scene = Scene::over(scheme).await;
    scene.network.freeze(Direction::ToServer);
    let call = scene.proxy.call::<_, ()>(&NOTE, (1,));
    tokio::time::sleep(Duration::from_millis(50)).await;
    scene.network.cut();
    let error = soon(call).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost, "{error}");
    assert!(error.can_retry());
    scene.network.thaw();
    scene.settled().await;
    assert!(!scene.notes().contains(&1));
}

async fn written_and_held_up(scheme: &str) {
    let scene = Scene::over(scheme).await;
    scene.network.freeze(Direction::ToServer);
    let hasty = scene.proxy.with_timeout(Duration::from_millis(200));
    let error = soon(hasty.call::<_, ()>(&NOTE, (1,))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout, "{error}");
    scene.network.thaw();
    scene.settled().await;
    // It arrived after its deadline.
    assert!(!scene.notes().contains(&1));
}

async fn at_the_servant(scheme: &str) {
    let scene = Scene::over(scheme).await;
    let call = scene.proxy.call::<_, ()>(&GATE, ());
    scene.server.probe.gate_reached(1).await;
    scene.network.cut();
    let error = soon(call).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost, "{error}");
    scene.server.probe.gate.add_permits(1);
    scene.settled().await;
}

async fn answered(scheme: &str) {
    for is_lost in [true, false] {
        let scene = Scene::over(scheme).await;
        scene.network.freeze(Direction::ToClient);
        let hasty = scene.proxy.with_timeout(Duration::from_millis(500));
        let call = hasty.call::<_, ()>(&NOTE, (1,));
        soon(scene.server.probe.notes_reached(1)).await;
        let expected = if is_lost {
            scene.network.cut();
            ErrorCode::ConnectionLost
        } else {
            ErrorCode::Timeout
        };
        let error = soon(call).await.unwrap_err();
        assert_eq!(error.code(), expected, "{error}");
        scene.network.thaw();
        scene.settled().await;
        assert_eq!(scene.notes().iter().filter(|note| **note == 1).count(), 1);
    }
}

macro_rules! over_each_stream {
    ($($moment:ident)*) => {$(
        mod $moment {
            #[tokio::test]
            async fn over_tcp() {
                super::$moment("tcp").await;
            }

            #[cfg(feature = "websocket")]
            #[tokio::test]
            async fn over_ws() {
                super::$moment("ws").await;
            }
        }
    )*};
}

over_each_stream! {
    not_sent
    written_and_lost
    written_and_held_up
    at_the_servant
    answered
}
