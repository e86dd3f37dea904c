//! Connections on which nothing is said for long.

use std::time::{Duration, Instant};

use tce_runtime::{
    Communicator, Proxy,
    config::{ConnectionLimits, Options},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    common::{
        probe::{BLOB, CALL_BACK, NOTE, Probe, connect, serve_at, works},
        watching::{PATIENCE, eventually, within},
    },
    peer::{Peer, PeerServer},
};

const INTERVAL: Duration = Duration::from_millis(200);

fn pinging(ping_interval: Option<Duration>) -> Options {
    Options {
        connection: ConnectionLimits {
            ping_interval,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    }
}

#[test]
fn the_default_interval_is_25_seconds() {
    let interval = Options::default().connection.ping_interval;
    assert_eq!(interval, Some(Duration::from_secs(25)));
}

/// The longest time between two pings within two seconds, and their number.
async fn pings(peer: &mut Peer) -> (Duration, u32) {
    let start = Instant::now();
    let (mut last, mut longest, mut count) = (start, Duration::ZERO, 0);
    while start.elapsed() < Duration::from_secs(2) {
        let next = timeout(
            Duration::from_secs(1),
            futures_util::StreamExt::next(&mut peer.0),
        );
        match next.await {
            Ok(Some(Ok(Message::Ping(_)))) => {
                longest = longest.max(last.elapsed());
                last = Instant::now();
                count += 1;
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => break,
        }
    }
    (longest, count)
}

#[tokio::test]
async fn each_side_of_a_silent_websocket_pings() {
    let server = PeerServer::listen().await;
    let communicator = Communicator::with_options(pinging(Some(INTERVAL)));
    let endpoint = server.endpoint("");
    let (made, mut peer) = tokio::join!(communicator.connect(&endpoint), server.accept());
    let _connection = made.unwrap();
    let (longest, count) = pings(&mut peer).await;
    assert!((7..=12).contains(&count), "{count}");
    assert!(longest < INTERVAL * 2, "{longest:?}");

    let server = serve_at("ws://127.0.0.1:0/", pinging(Some(INTERVAL))).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    let (longest, count) = pings(&mut peer).await;
    assert!((7..=12).contains(&count), "{count}");
    assert!(longest < INTERVAL * 2, "{longest:?}");

    let server = serve_at("ws://127.0.0.1:0/", pinging(None)).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    assert_eq!(pings(&mut peer).await.1, 0);
}

#[tokio::test]
async fn a_websocket_that_is_used_is_not_pinged() {
    let server = PeerServer::listen().await;
    let communicator = Communicator::with_options(pinging(Some(INTERVAL)));
    let endpoint = server.endpoint("");
    let (made, mut peer) = tokio::join!(Proxy::connect(&communicator, &endpoint), server.accept());
    let proxy = made.unwrap();
    for number in 0..40 {
        proxy.oneway(&NOTE, (number,)).await.unwrap();
        assert!(matches!(peer.next().await, Message::Binary(_)));
        sleep(INTERVAL / 5).await;
    }
}

/// Intervals that no one would choose end neither the connection nor the thread.
#[tokio::test]
async fn any_interval_is_accepted() {
    for interval in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let server = serve_at("ws://127.0.0.1:0/", pinging(Some(interval))).await;
        let proxy = server.proxy_with(pinging(Some(interval))).await;
        for _ in 0..3 {
            works(&proxy).await;
            sleep(Duration::from_millis(30)).await;
        }
    }
}

/// A relay that closes a pair of connections after `patience` without a byte.
async fn relay(target: u16, patience: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
            tokio::spawn(async move {
                let (mut up, mut down) = ([0; 4096], [0; 4096]);
                loop {
                    tokio::select! {
                        read = client.read(&mut up) => match read {
                            Ok(count @ 1..) => server.write_all(&up[..count]).await.unwrap(),
                            _ => return,
                        },
                        read = server.read(&mut down) => match read {
                            Ok(count @ 1..) => client.write_all(&down[..count]).await.unwrap(),
                            _ => return,
                        },
                        () = sleep(patience) => return,
                    }
                }
            });
        }
    });
    port
}

/// Behind a proxy that ends what is silent for longer than the interval, whichever
/// side pings.
#[tokio::test]
async fn a_silent_websocket_outlives_a_proxy_that_ends_silence() {
    for (of_server, of_client) in [(Some(INTERVAL), None), (None, Some(INTERVAL))] {
        let server = serve_at("ws://127.0.0.1:0/", pinging(of_server)).await;
        let mut endpoint = server.endpoint().clone();
        endpoint.port = relay(endpoint.port, INTERVAL * 2).await;
        let communicator = Communicator::with_options(pinging(of_client));
        let proxy = connect(&communicator, &endpoint).await;
        proxy.connection().add_servant(Probe::default());
        proxy.connection().on_event(|_, event| panic!("{event:?}"));
        let answer: String = proxy.call(&CALL_BACK, ("x",)).await.unwrap();
        assert_eq!(answer, "x");
        sleep(INTERVAL * 12).await;
        assert_eq!(server.adapter.connections(), 1);
        works(&proxy).await;
    }
    // Without pings the same connection is lost.
    let server = serve_at("ws://127.0.0.1:0/", pinging(None)).await;
    let mut endpoint = server.endpoint().clone();
    endpoint.port = relay(endpoint.port, INTERVAL * 2).await;
    let proxy = connect(&Communicator::with_options(pinging(None)), &endpoint).await;
    eventually("the relay ends the connection", || {
        !proxy.connection().is_connected()
    })
    .await;
}

/// Pings also pass while a large message is sent in pieces to a slow reader.
#[tokio::test]
async fn pings_do_not_break_a_message_in_pieces() {
    let server = PeerServer::listen().await;
    let communicator = Communicator::with_options(pinging(Some(Duration::from_millis(40))));
    let endpoint = server.endpoint("");
    let (made, mut peer) = tokio::join!(Proxy::connect(&communicator, &endpoint), server.accept());
    let proxy = made.unwrap();
    let data = vec![7_u8; 3 << 20];
    let _kept: Vec<_> = (0..5).map(|_| proxy.oneway(&BLOB, (&data,))).collect();
    sleep(Duration::from_millis(300)).await;
    let (start, mut received) = (Instant::now(), 0);
    while received < 5 {
        assert!(start.elapsed() < PATIENCE);
        match within(futures_util::StreamExt::next(&mut peer.0)).await {
            Some(Ok(Message::Binary(bytes))) => {
                assert!(bytes.len() > 3 << 20);
                received += 1;
            }
            Some(Ok(Message::Ping(_))) => {}
            other => panic!("{other:?}"),
        }
    }
}
