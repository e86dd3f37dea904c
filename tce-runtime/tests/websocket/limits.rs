//! Protocol violations, limits and timeouts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tce_runtime::{
    Communicator, ConnectionEvent,
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
        probe::{SLEEP, Server, connect, serve_at},
        raw::{Message, int, string},
        watching::{eventually, peak_resident, within},
    },
    peer::Peer,
};

/// The timeouts of [`impatient_server`].
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

async fn ended(server: &Server) {
    eventually("the connection has ended", || {
        server.adapter.connections() == 0
    })
    .await;
}

/// The time limit of a message begins with the message: neither the handshake nor
/// an earlier message starts it.
#[tokio::test]
async fn a_quiet_client_stays_connected() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let mut options = Options::default();
    options.connection.frame_time = SHORT;
    let proxy = connect(&Communicator::with_options(options), server.endpoint()).await;
    let is_lost = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_lost);
    proxy.connection().on_event(move |_, event| {
        flag.store(*event != ConnectionEvent::Connected, Ordering::Relaxed);
    });
    for _ in 0..2 {
        let time = i32::try_from(4 * SHORT.as_millis()).unwrap();
        within(proxy.call::<_, ()>(&SLEEP, (time,))).await.unwrap();
    }
    assert!(!is_lost.load(Ordering::Relaxed), "the connection was lost");
}

#[tokio::test]
async fn a_text_message_is_refused() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    // A call before it is still answered.
    peer.send_bytes(Message::call(1, 0, string("before")).frame())
        .await;
    peer.send(tungstenite::Message::Text("hello".into())).await;
    assert_eq!(peer.frame().await.params, string("before"));
    assert_eq!(peer.close_code().await, Some(CloseCode::Unsupported));
    peer.ended().await;
    ended(&server).await;
}

#[tokio::test]
async fn a_malformed_frame_ends_the_connection() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    peer.send_bytes(*b"no frame of TCE").await;
    peer.ended().await;
    ended(&server).await;
}

#[tokio::test]
async fn a_websocket_violation_is_answered_with_a_protocol_error() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    let stray = Frame::message("x", OpCode::Data(Data::Continue), true);
    peer.send(tungstenite::Message::Frame(stray)).await;
    assert_eq!(peer.close_code().await, Some(CloseCode::Protocol));
    ended(&server).await;
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
    // Other tests of this process allocate, too.
    assert!(peak_resident() < before + (512 << 20));
    ended(&server).await;
}

#[tokio::test]
async fn the_size_limit_holds_for_all_fragments_together() {
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
        // The server may have closed before the last ones.
        let _ =
            futures_util::SinkExt::send(&mut peer.0, tungstenite::Message::Frame(fragment)).await;
    }
    assert_eq!(peer.close_code().await, Some(CloseCode::Size));
    ended(&server).await;
}

/// `max_frame` limits the frame; the WebSocket message is slightly larger.
#[tokio::test]
async fn a_message_with_the_largest_frame_is_accepted() {
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
async fn a_message_past_frame_time_ends_the_connection() {
    let server = impatient_server().await;
    let mut peer = Peer::connect(server.endpoint()).await;
    let answer = peer.call(&Message::call(1, 0, string("first"))).await;
    assert_eq!(answer.params, string("first"));
    // The time between messages is not limited.
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(server.adapter.connections(), 1);
    // Binary, masked, 100 bytes announced, 10 sent.
    let begun = [0x82, 0x80 | 100, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    peer.0.get_mut().write_all(&begun).await.unwrap();
    ended(&server).await;
}

/// Pings between the fragments of a message do not prolong its time, and neither does a
/// message before it that arrives with its beginning.
#[tokio::test]
async fn a_message_past_frame_time_ends_the_connection_whatever_comes_beside_it() {
    let begun = [0x02, 0x80 | 3, 0, 0, 0, 0, 1, 2, 3];
    let ping = [0x89, 0x80, 0, 0, 0, 0];
    let message = Message::call(1, 0, string("first")).frame();
    let size = u8::try_from(message.len()).unwrap();
    assert!(size < 126);
    let whole = [&[0x82, 0x80 | size, 0, 0, 0, 0], message.as_slice()].concat();
    for (first, later) in [
        (begun.to_vec(), ping.as_slice()),
        ([whole.as_slice(), &begun].concat(), &[]),
        ([whole.as_slice(), &begun[..1]].concat(), &[]),
    ] {
        let server = impatient_server().await;
        let mut peer = Peer::connect(server.endpoint()).await;
        let socket = peer.0.get_mut();
        socket.write_all(&first).await.unwrap();
        let ending = async {
            // It fails once the server has closed the connection.
            while socket.write_all(later).await.is_ok() {
                tokio::time::sleep(SHORT / 4).await;
            }
        };
        tokio::select! {
            () = ending => {}
            () = ended(&server) => {}
        }
    }
}

#[tokio::test]
async fn a_frame_past_frame_time_ends_the_connection() {
    let server = impatient_server().await;
    let mut peer = Peer::connect(server.endpoint()).await;
    // A whole WebSocket message, but half a frame.
    let frame = Message::call(1, 0, string("never ends")).frame();
    peer.send_bytes(&frame[..20]).await;
    assert_eq!(peer.close_code().await, Some(CloseCode::Normal));
    ended(&server).await;
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_disconnected() {
    let server = impatient_server().await;
    let mut peer = Peer::connect(server.endpoint()).await;
    for sequence in 0..40 {
        peer.send_bytes(Message::call(sequence, 10, int(1 << 20)).frame())
            .await;
    }
    ended(&server).await;
}

/// A peer that reads slowly stays connected, even where one large frame takes
/// longer than `stall_time`.
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

/// A peer that ends its sending side only is disconnected.
#[tokio::test]
async fn a_half_open_connection_is_closed() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    peer.0.get_mut().shutdown().await.unwrap();
    ended(&server).await;
}
