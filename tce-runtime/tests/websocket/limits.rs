//! What a peer may not do.

use std::time::Duration;

use tce_runtime::{
    config::{ConnectionLimits, Options},
    wire::Limits,
};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::{
    self,
    protocol::frame::{
        Frame,
        coding::{CloseCode, Data, OpCode},
    },
};

use crate::{
    common::{
        probe::{Server, serve_at},
        raw::{Message, int, string},
        watching::{eventually, peak_resident, within},
    },
    peer::Peer,
};

/// What a test may wait for.
const SHORT: Duration = Duration::from_millis(200);

async fn impatient_server() -> Server {
    let connection = ConnectionLimits {
        frame_time: SHORT,
        stall_time: SHORT,
        ..ConnectionLimits::default()
    };
    let options = Options {
        connection,
        ..Options::default()
    };
    serve_at("ws://127.0.0.1:0", options).await
}

async fn gone(server: &Server) {
    eventually("it is gone", || server.adapter.connections() == 0).await;
}

#[tokio::test]
async fn a_text_message_is_refused() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    // What came before it is still answered.
    peer.send_bytes(Message::call(1, 0, string("before")).frame())
        .await;
    peer.send(tungstenite::Message::Text("hello".into())).await;
    assert_eq!(peer.frame().await.params, string("before"));
    assert_eq!(peer.close_code().await, Some(CloseCode::Unsupported));
    peer.ended().await;
    gone(&server).await;
}

#[tokio::test]
async fn a_frame_that_makes_no_sense_ends_the_connection() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    peer.send_bytes(*b"no frame of TCE").await;
    peer.ended().await;
    gone(&server).await;
}

#[tokio::test]
async fn a_violation_of_websocket_is_told() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    let stray = Frame::message("x", OpCode::Data(Data::Continue), true);
    peer.send(tungstenite::Message::Frame(stray)).await;
    assert_eq!(peer.close_code().await, Some(CloseCode::Protocol));
    gone(&server).await;
}

#[tokio::test]
async fn an_oversized_message_is_refused_before_it_is_read() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    let before = peak_resident();
    // Binary, masked, with an announced length of 1 GiB.
    let head = [0x82, 0xFF, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4];
    let socket = peer.0.get_mut();
    socket.write_all(&head).await.unwrap();
    socket.write_all(&[0; 1000]).await.unwrap();
    assert_eq!(peer.close_code().await, Some(CloseCode::Size));
    assert!(peak_resident() < before + (64 << 20));
    gone(&server).await;
}

#[tokio::test]
async fn fragments_count_together() {
    let limits = Limits {
        max_frame: 10_000,
        ..Limits::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    let server = serve_at("ws://127.0.0.1:0", options).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    for number in 0..20 {
        let data = if number == 0 {
            Data::Binary
        } else {
            Data::Continue
        };
        let fragment = Frame::message(vec![0; 9_000], OpCode::Data(data), false);
        // The last ones may find nobody any more.
        let _ =
            futures_util::SinkExt::send(&mut peer.0, tungstenite::Message::Frame(fragment)).await;
    }
    assert_eq!(peer.close_code().await, Some(CloseCode::Size));
    gone(&server).await;
}

/// The largest frame fits, though its message is a little larger.
#[tokio::test]
async fn a_message_may_be_as_large_as_the_largest_frame() {
    let limits = Limits {
        max_frame: 10_000,
        ..Limits::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    let server = serve_at("ws://127.0.0.1:0", options).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    let largest = "x".repeat(10_000 - 14 - 17 - 4 - 4);
    let answer = peer.call(&Message::call(1, 0, string(&largest))).await;
    assert_eq!(answer.params.len(), 4 + largest.len());
}

#[tokio::test]
async fn a_message_that_never_ends_is_given_up() {
    let server = impatient_server().await;
    let mut peer = Peer::connect(server.endpoint()).await;
    let answer = peer.call(&Message::call(1, 0, string("first"))).await;
    assert_eq!(answer.params, string("first"));
    // An idle connection may wait as long as it likes.
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(server.adapter.connections(), 1);
    // Binary, masked, 100 bytes announced, 10 sent.
    let begun = [0x82, 0x80 | 100, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    peer.0.get_mut().write_all(&begun).await.unwrap();
    gone(&server).await;
}

#[tokio::test]
async fn a_frame_that_never_ends_is_given_up() {
    let server = impatient_server().await;
    let mut peer = Peer::connect(server.endpoint()).await;
    // Whole messages, and still no whole frame.
    let frame = Message::call(1, 0, string("never ends")).frame();
    peer.send_bytes(&frame[..20]).await;
    assert_eq!(peer.close_code().await, Some(CloseCode::Normal));
    gone(&server).await;
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_given_up() {
    let server = impatient_server().await;
    let mut peer = Peer::connect(server.endpoint()).await;
    for sequence in 0..40 {
        peer.send_bytes(Message::call(sequence, 10, int(1 << 20)).frame())
            .await;
    }
    gone(&server).await;
}

/// A peer that reads, though slowly, is left in peace: also while one large
/// frame takes longer than nothing at all may.
#[tokio::test]
async fn a_peer_that_reads_slowly_gets_its_large_frame() {
    let server = impatient_server().await;
    let mut peer = Peer::connect(server.endpoint()).await;
    let size = 3 << 20;
    peer.send_bytes(Message::call(1, 10, int(size)).frame())
        .await;
    let mut seen = 0;
    while seen < usize::try_from(size).unwrap() {
        let socket = peer.0.get_mut();
        within(socket.readable()).await.unwrap();
        let mut piece = vec![0; 96 << 10];
        seen += socket.try_read(&mut piece).unwrap_or_default();
        tokio::time::sleep(SHORT / 8).await;
    }
    assert_eq!(server.adapter.connections(), 1);
}

/// A peer that ends its side alone has gone.
#[tokio::test]
async fn a_half_open_connection_is_closed() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    peer.0.get_mut().shutdown().await.unwrap();
    gone(&server).await;
}
