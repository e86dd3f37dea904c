//! More than the other side takes at the moment.

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

/// Neither side may stop reading for the reason that its own calls wait.
#[tokio::test]
async fn large_calls_with_large_answers_do_not_stop_each_other() {
    large_both_ways(&serve(Options::default()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_calls_with_large_answers_do_not_stop_each_other_on_many_threads() {
    large_both_ways(&serve(Options::default()).await).await;
}

#[tokio::test]
async fn large_calls_in_both_directions_end_too() {
    let server = serve(Options::default()).await;
    let (say, mut heard) = mpsc::channel(1);
    server.adapter.on_event(move |connection, event| {
        if *event == ConnectionEvent::Connected {
            say.try_send(connection.clone()).unwrap();
        }
    });
    let there = server.proxy().await;
    there.connection().add_servant(Probe::default());
    let back = Proxy::new(&within(heard.recv()).await.unwrap());
    tokio::join!(
        echo_blobs(&there, 16, 64 << 10),
        echo_blobs(&back, 16, 64 << 10)
    );
}

/// A million calls to a peer that reads when it likes: memory stays as it is,
/// and all arrive, in order.
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
async fn a_oneway_call_that_finds_no_room_until_its_timeout_says_so() {
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
    let _deaf = peer.accept().await;
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
