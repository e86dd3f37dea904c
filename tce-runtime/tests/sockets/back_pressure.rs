//! Back-pressure: more data than the peer reads at the moment.

use std::time::Duration;

use tce_runtime::{
    Communicator, ConnectionEvent, ErrorCode, Proxy,
    config::{ConnectionLimits, Options},
};
use tokio::sync::mpsc;

use crate::common::{
    probe::{BLOB, NOTE, Probe, Server, connect, serve},
    raw::RawServer,
    watching::{resident, within},
};

async fn echo_blobs(proxy: &Proxy, calls: usize, size: usize) {
    let tasks: Vec<_> = (0..calls)
        .map(|number| {
            let (proxy, data) = (proxy.clone(), vec![number as u8; size]);
            tokio::spawn(async move {
                let answer: Vec<u8> = proxy.call(&BLOB, (&data,)).await.unwrap();
                assert!(answer == data);
            })
        })
        .collect();
    for task in tasks {
        within(task).await.unwrap();
    }
}

async fn large_both_ways(server: &Server) {
    // 64 MiB each way: both send buffers and both sockets are full.
    echo_blobs(&server.proxy().await, 256, 256 << 10).await;
}

/// A side whose own calls wait for capacity must go on reading.
#[tokio::test]
async fn large_calls_with_large_answers_do_not_deadlock() {
    large_both_ways(&serve(Options::default()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_calls_with_large_answers_do_not_deadlock_on_many_threads() {
    large_both_ways(&serve(Options::default()).await).await;
}

#[tokio::test]
async fn large_calls_in_both_directions_complete() {
    let server = serve(Options::default()).await;
    let (sender, mut receiver) = mpsc::channel(1);
    server.adapter.on_event(move |connection, event| {
        if *event == ConnectionEvent::Connected {
            sender.try_send(connection.clone()).unwrap();
        }
    });
    let forward = server.proxy().await;
    forward.connection().add_servant(Probe::default());
    let back = Proxy::new(&within(receiver.recv()).await.unwrap());
    tokio::join!(
        echo_blobs(&forward, 16, 64 << 10),
        echo_blobs(&back, 16, 64 << 10)
    );
}

/// A million calls to a peer that pauses between reads: memory stays bounded,
/// and all calls arrive in order.
#[tokio::test]
async fn a_million_oneway_calls_to_a_slow_reader() {
    let count: i32 = 1_000_000;
    let peer = RawServer::listen().await;
    let proxy = connect(&Communicator::new(), &peer.endpoint()).await;
    let raw = peer.accept().await;
    let before = resident();
    let sending = tokio::spawn(async move {
        for number in 0..count {
            proxy.oneway(&NOTE, (number,)).await.unwrap();
        }
    });
    let frame_size = 14 + 21 + 4;
    let mut reader = tokio::io::BufReader::with_capacity(frame_size * 1024, raw.0);
    let mut frame = vec![0; frame_size];
    let mut most = 0;
    for number in 0..count {
        within(tokio::io::AsyncReadExt::read_exact(&mut reader, &mut frame))
            .await
            .unwrap();
        assert_eq!(frame[frame_size - 4..], number.to_be_bytes());
        if number % 50_000 == 0 {
            most = most.max(resident());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    within(sending).await.unwrap();
    let grown = most.saturating_sub(before);
    assert!(grown < 200 << 20, "{grown} bytes more");
}

#[tokio::test]
async fn a_call_without_capacity_until_its_timeout_fails_with_sendfailed() {
    let peer = RawServer::listen().await;
    let options = Options {
        connection: ConnectionLimits {
            send_buffer: 64 << 10,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let communicator = Communicator::with_options(options);
    let proxy = connect(&communicator, &peer.endpoint()).await;
    let _peer_that_never_reads = peer.accept().await;
    let proxy = proxy.with_timeout(Duration::from_millis(100));
    let data = vec![0_u8; 64 << 10];
    let error = loop {
        if let Err(error) = within(proxy.oneway(&BLOB, (&data,))).await {
            break error;
        }
    };
    assert_eq!(error.code(), ErrorCode::SendFailed);
    let error = within(proxy.call::<_, Vec<u8>>(&BLOB, (&data,)))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::SendFailed);
    assert_eq!(proxy.connection().calls_in_flight(), 0);
}
