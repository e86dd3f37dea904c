//! Peers that are hostile or speak another protocol: they are refused, and other
//! connections are not affected.

use std::time::{Duration, Instant};

use tce_runtime::{
    ErrorCode,
    config::{ConnectionLimits, Options},
};

use crate::{
    common::{
        probe::{BLOB, ECHO, GROW, Server, serve, works},
        raw::{MAGIC, Message, PYTHON, Raw, deflate, frame, int, string},
        watching::{SOON, eventually, resident, soon, within},
    },
    faults::Log,
};

/// The inflated size of a bomb, in bytes: more than a message may have.
const BOMB: usize = 17 << 20;

const ATTACKS: usize = 60;

fn header(size: u32, compress: u8, encrypt: u8) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(size.to_be_bytes());
    bytes.extend([compress, encrypt]);
    bytes.extend(PYTHON);
    bytes
}

/// Streams after which the start of the next frame is unknown.
fn unreadable() -> Vec<(&'static str, Vec<u8>)> {
    let mut broken = deflate(&[7; 1000]);
    broken[5] ^= 0xFF;
    let cut = deflate(&[7; 1000]);
    let bomb = deflate(&vec![0; BOMB]);
    vec![
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("TLS", vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]),
        ("zeros", vec![0; 64]),
        ("4 GiB announced", header(u32::MAX, 0, 0)),
        ("one byte over the limit", header((4 << 20) + 1, 0, 0)),
        ("no payload", header(10, 0, 0)),
        ("no size", header(0, 0, 0)),
        ("bzip2", header(100, 2, 0)),
        ("DES", header(100, 0, 2)),
        ("a broken zlib stream", frame(1, &broken)),
        ("half a zlib stream", frame(1, &cut[..8])),
        ("no zlib stream", frame(1, &[0xAA; 50])),
        ("a zlib bomb", frame(1, &bomb)),
    ]
}

async fn is_refused(server: &Server, bytes: &[u8]) {
    let mut raw = Raw::connect(server.endpoint()).await;
    raw.send(bytes).await;
    soon(raw.closed()).await;
}

#[tokio::test]
async fn an_unreadable_stream_closes_its_own_connection_only() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    for (what, bytes) in unreadable() {
        println!("{what}");
        is_refused(&server, &bytes).await;
        soon(works(&proxy)).await;
    }
    eventually("only the proxy is left", || {
        server.adapter.connections() == 1
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_sends_no_tce_is_named_in_the_log() {
    let server = serve(Options::default()).await;
    let log = Log::default();
    let logging = tracing::subscriber::set_default(log.clone());
    for (bytes, logged) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "the peer is an HTTP client"),
        (
            &[22, 3, 1, 2, 0, 1],
            "the peer is a TLS client, at an endpoint without TLS",
        ),
        (
            &[0; 64],
            "is the peer a TCE program? wrong magic 0x00000000",
        ),
        (
            &header(100, 0, 2),
            "is the peer a TCE program? a frame has the unknown encryption 2",
        ),
    ] {
        is_refused(&server, bytes).await;
        let is_logged = || {
            let lines = log.0.lock().unwrap();
            lines
                .iter()
                .any(|line| line.contains(logged) && line.contains("127.0.0.1:"))
        };
        eventually(logged, is_logged).await;
    }
    drop(logging);
    assert_eq!(log.0.lock().unwrap().len(), 4, "a line each");
}

#[tokio::test]
async fn repeated_attacks_take_no_memory() {
    let server = serve(Options::default()).await;
    let attacks = unreadable();
    for (_, bytes) in &attacks {
        is_refused(&server, bytes).await;
    }
    let before = resident();
    for _ in 0..ATTACKS {
        for (_, bytes) in &attacks {
            is_refused(&server, bytes).await;
        }
    }
    // Other tests of this process allocate, too.
    let grown = resident().saturating_sub(before);
    assert!(grown < ATTACKS * BOMB / 2, "{grown} bytes more");
    works(&server.proxy().await).await;
}

#[tokio::test]
async fn an_undecodable_message_leaves_the_connection_open() {
    let server = serve(Options::default()).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    let mut million_pairs = Message::call(1, ECHO.opidx(), string("x")).bytes();
    million_pairs[17..21].copy_from_slice(&1_000_000_u32.to_be_bytes());
    million_pairs.extend(vec![0; 2 << 20]);
    raw.send(&frame(0, &million_pairs)).await;
    let answer = raw.message().await;
    assert_eq!(answer.errcode, ErrorCode::DataDirty.to_wire());
    assert!(answer.extra("__error__").unwrap().contains("entries"));

    let mut endless_string = Message::call(2, ECHO.opidx(), vec![]);
    endless_string.params = vec![0xFF; 8];
    let answer = raw.call(&endless_string).await;
    assert_eq!(answer.errcode, ErrorCode::UnserializeFailed.to_wire());

    raw.send(&frame(0, b"too short")).await;
    let answer = raw
        .call(&Message::call(3, ECHO.opidx(), string("on")))
        .await;
    assert_eq!((answer.sequence, answer.params), (3, string("on")));
}

#[tokio::test]
async fn frame_time_limits_a_frame_but_not_the_time_between_frames() {
    let frame_time = Duration::from_millis(200);
    let options = Options {
        connection: ConnectionLimits {
            frame_time,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let server = serve(options).await;
    let mut idle = Raw::connect(server.endpoint()).await;
    let mut slow = Raw::connect(server.endpoint()).await;
    let call = Message::call(1, ECHO.opidx(), string("x"));
    slow.call(&call).await;
    slow.send(&header(1000, 0, 0)[..7]).await;
    let start = Instant::now();
    soon(slow.closed()).await;
    assert!(start.elapsed() >= frame_time / 2);
    idle.call(&call).await;
}

/// Single bytes do not extend the time limit of a frame.
#[tokio::test]
async fn a_frame_sent_byte_by_byte_is_cut_off_at_its_time_limit() {
    let options = Options {
        connection: ConnectionLimits {
            frame_time: Duration::from_millis(200),
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let server = serve(options).await;
    let raw = Raw::connect(server.endpoint()).await;
    let bytes = Message::call(1, BLOB.opidx(), vec![0; 4000]).frame();
    let (_, mut writer) = raw.0.into_split();
    let start = Instant::now();
    for byte in bytes {
        if tokio::io::AsyncWriteExt::write_all(&mut writer, &[byte])
            .await
            .is_err()
        {
            break;
        }
        assert!(start.elapsed() < SOON, "the frame is never cut off");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_peer_that_never_reads_is_cut_off_and_takes_little_memory() {
    let options = Options {
        connection: ConnectionLimits {
            stall_time: Duration::from_millis(300),
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let server = serve(options).await;
    let proxy = server.proxy().await;
    let peer = Raw::connect(server.endpoint()).await;
    let (_reader, mut writer) = peer.0.into_split();
    let before = resident();
    // The answers would take a gigabyte.
    let calls = tokio::spawn(async move {
        let call = Message::call(1, GROW.opidx(), int(1 << 20)).frame();
        for _ in 0..1024 {
            if tokio::io::AsyncWriteExt::write_all(&mut writer, &call)
                .await
                .is_err()
            {
                break;
            }
        }
        writer
    });
    eventually("the peer that never reads is disconnected", || {
        server.adapter.connections() == 1
    })
    .await;
    // Other tests of this process allocate, too.
    let grown = resident().saturating_sub(before);
    assert!(grown < 512 << 20, "{grown} bytes more");
    soon(works(&proxy)).await;
    within(calls).await.unwrap();
}

/// A peer that reads slowly but steadily does not count as stalled.
#[tokio::test]
async fn a_slow_reader_stays_connected() {
    let stall_time = Duration::from_millis(600);
    let options = Options {
        connection: ConnectionLimits {
            stall_time,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let server = serve(options).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    let (calls, size) = (12, 3_i32 << 20);
    let call = Message::call(1, GROW.opidx(), int(size)).frame();
    raw.send(&call.repeat(calls)).await;
    let mut left = calls * (size.unsigned_abs() as usize + 4 + 14 + 21);
    let mut buffer = vec![0; 64 << 10];
    let start = Instant::now();
    while left > 0 {
        let read = within(tokio::io::AsyncReadExt::read(&mut raw.0, &mut buffer)).await;
        let read = read.expect("it is still connected");
        assert!(read > 0, "{left} bytes are missing");
        left -= read;
        if start.elapsed() < 4 * stall_time {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert!(start.elapsed() > 3 * stall_time, "it was not slow enough");
}
