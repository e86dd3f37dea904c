//! The pauses between attempts to reconnect.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tce_runtime::{ConnectionEvent, config::Options};
use tokio::time::sleep;

use crate::{
    SCHEMES,
    common::{
        probe::{ECHO, serve_at},
        raw::RawServer,
        watching::within,
    },
};

/// A server that closes each connection as soon as it is made; the times at which
/// clients have connected to it.
async fn closing_server(scheme: &str) -> (crate::common::probe::Server, Arc<Mutex<Vec<Instant>>>) {
    let server = serve_at(scheme, Options::default()).await;
    let times = Arc::new(Mutex::new(Vec::new()));
    let connected = Arc::clone(&times);
    server.adapter.on_event(move |connection, event| {
        if *event == ConnectionEvent::Connected {
            connected.lock().unwrap().push(Instant::now());
            connection.close();
        }
    });
    (server, times)
}

/// A connection that is made and lost at once counts as a failure.
#[tokio::test]
async fn pauses_grow_while_connections_do_not_last() {
    for scheme in SCHEMES {
        let (server, times) = closing_server(scheme).await;
        let _proxy = server.proxy().await;
        sleep(Duration::from_millis(3200)).await;
        let count = times.lock().unwrap().len();
        // 50 ms and the double each time make six in 3.15 s, jitter fewer.
        assert!(
            (3..=8).contains(&count),
            "{count} connections over {scheme}"
        );
    }
}

#[tokio::test]
async fn pauses_are_short_again_after_a_connection_that_lasts() {
    let listener = RawServer::listen().await;
    let _proxy =
        crate::common::probe::connect(&tce_runtime::Communicator::new(), &listener.endpoint())
            .await;
    for _ in 0..5 {
        drop(listener.accept().await);
    }
    // The next pause is between 0.8 s and 1.6 s.
    let closed_at = Instant::now();
    let lasting = listener.accept().await;
    assert!(closed_at.elapsed() > Duration::from_millis(400));
    sleep(Duration::from_millis(5200)).await;
    drop(lasting);
    let closed_at = Instant::now();
    drop(listener.accept().await);
    assert!(closed_at.elapsed() < Duration::from_millis(400));
}

/// Calls that ask for attempts do not turn them into a storm.
#[tokio::test]
async fn calls_ask_for_a_bounded_number_of_attempts() {
    let (server, times) = closing_server(SCHEMES[0]).await;
    let proxy = server.proxy().await;
    let until = Instant::now() + Duration::from_secs(1);
    let callers: Vec<_> = (0..10)
        .map(|_| {
            let proxy = proxy.clone();
            tokio::spawn(async move {
                while Instant::now() < until {
                    let _ = proxy.call::<_, String>(&ECHO, ("x",)).await;
                }
            })
        })
        .collect();
    for caller in callers {
        within(caller).await.unwrap();
    }
    let count = times.lock().unwrap().len();
    assert!(count <= 22, "{count} connections in a second");
}
