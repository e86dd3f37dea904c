//! Back-pressure: more data than the peer reads at the moment.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use tce_runtime::{
    Communicator, ConnectionEvent, ErrorCode, Pending, Proxy,
    config::{ConnectionLimits, Options},
};
use tokio::sync::mpsc;

use crate::common::{
    probe::{BLOB, CALL_BACK, GROW, NOTE, Probe, Server, both_directions, connect, serve},
    raw::RawServer,
    watching::within,
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

const SCHEMES: [&str; 2] = ["tcp://127.0.0.1:0", "ws://127.0.0.1:0/"];

async fn grow(proxy: &Proxy, calls: usize, size: i32) {
    let pending: Vec<Pending<Vec<u8>>> = (0..calls).map(|_| proxy.call(&GROW, (size,))).collect();
    for pending in pending {
        let answer = within(pending).await.unwrap();
        assert_eq!(answer.len(), size.unsigned_abs() as usize);
    }
}

/// Both sides have more large RETURNs to send than their buffers hold, and each
/// goes on reading those of the other.
#[tokio::test]
async fn large_answers_in_both_directions_complete() {
    for scheme in SCHEMES {
        for (calls, size) in [(256, 256 << 10), (1024, 16 << 10), (8192, 4 << 10)] {
            let (_server, forward, back) = both_directions(Options::default(), scheme).await;
            tokio::join!(grow(&forward, calls, size), grow(&back, calls, size));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_in_both_directions_complete_on_many_threads() {
    let (_server, forward, back) = both_directions(Options::default(), SCHEMES[0]).await;
    tokio::join!(grow(&forward, 256, 256 << 10), grow(&back, 256, 256 << 10));
}

async fn call_back(proxy: &Proxy, calls: usize) {
    let pending: Vec<Pending<String>> =
        (0..calls).map(|_| proxy.call(&CALL_BACK, ("x",))).collect();
    for pending in pending {
        assert_eq!(within(pending).await.unwrap(), "x");
    }
}

/// Servants that wait for a RETURN on the connection of their CALL, more of them
/// than are served at once.
#[tokio::test]
async fn nested_calls_complete_at_the_limit_of_served_calls() {
    for scheme in SCHEMES {
        for limit in [1, 2, 1024] {
            let mut options = Options::default();
            options.connection.served_calls = limit;
            let (_server, forward, back) = both_directions(options, scheme).await;
            call_back(&forward, 2500).await;
            call_back(&back, 2500).await;
        }
    }
}

/// While this side waits for a RETURN it reads on, and refuses what exceeds the
/// limit of deferred calls. The rest is served, and nothing hangs.
#[tokio::test]
async fn calls_beyond_the_limit_of_deferred_bytes_are_refused() {
    let mut options = Options::default();
    options.connection.served_calls = 1;
    options.connection.send_buffer = 16 << 10;
    let (_server, forward, _back) = both_directions(options, SCHEMES[0]).await;
    let nested: Pending<String> = forward.call(&CALL_BACK, ("x",));
    let text = "y".repeat(1 << 10);
    let more: Vec<Pending<String>> = (0..500)
        .map(|_| forward.call(&CALL_BACK, (&text,)))
        .collect();
    assert_eq!(within(nested).await.unwrap(), "x");
    let mut served = 0;
    for pending in more {
        match within(pending).await {
            Ok(answer) => {
                assert_eq!(answer, text);
                served += 1;
            }
            Err(error) => assert_eq!(error.code(), ErrorCode::ConnectReject, "{error}"),
        }
    }
    assert!(served > 0);
}

/// A million calls to a peer that pauses between reads: those on their way fill the buffers of the
/// program and of both sockets at most, and all arrive in order.
#[tokio::test]
async fn a_million_oneway_calls_to_a_slow_reader() {
    let count: i32 = 1_000_000;
    let peer = RawServer::listen().await;
    let proxy = connect(&Communicator::new(), &peer.endpoint()).await;
    let raw = peer.accept().await;
    let sent = Arc::new(AtomicI32::new(0));
    let sending = tokio::spawn({
        let sent = Arc::clone(&sent);
        async move {
            for number in 0..count {
                proxy.oneway(&NOTE, (number,)).await.unwrap();
                sent.store(number + 1, Ordering::Relaxed);
            }
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
            most = most.max(sent.load(Ordering::Relaxed) - number);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    within(sending).await.unwrap();
    // 20 MB; the sockets hold 10 MB at most, as Linux is set up.
    assert!(most < count / 2, "{most} calls on their way");
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
