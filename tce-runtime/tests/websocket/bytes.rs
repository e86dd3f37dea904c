//! The bytes on a WebSocket (`spec/wire.md`, section 1).

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tce_runtime::{Communicator, Proxy, config::Options};
use tokio_tungstenite::tungstenite::{
    self,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::{
    common::{
        probe::{ECHO, NOTE, serve_at},
        raw::{self, Message, deflate, int, string},
        watching::within,
    },
    peer::{Peer, PeerServer},
};

const ECHO_INDEX: u16 = 0;
const GROW_INDEX: u16 = 10;

fn echo(sequence: u32, text: &str) -> Message {
    Message::call(sequence, ECHO_INDEX, string(text))
}

fn assert_echoed(answer: &Message, sequence: u32, text: &str) {
    assert_eq!((answer.calltype, answer.errcode), (0x02, 0));
    assert_eq!(answer.sequence, sequence);
    assert_eq!(answer.params, string(text));
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The existing JavaScript client sends header and payload as two messages, and
/// its first sequence is 0.
#[tokio::test]
async fn the_recorded_javascript_client_is_answered() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    let recorded: Value = serde_json::from_str(include_str!("javascript-client.json")).unwrap();
    let mut echoed = 0;
    for frame in recorded["frames"].as_array().unwrap() {
        for message in frame["websocket_messages"].as_array().unwrap() {
            peer.send_bytes(from_hex(message.as_str().unwrap())).await;
        }
        if frame["operation"] == "test::Server::echo" {
            let answer = peer.frame().await;
            let sequence = frame["sequence"].as_u64().unwrap();
            assert_echoed(
                &answer,
                sequence.try_into().unwrap(),
                frame["values"][0].as_str().unwrap(),
            );
            echoed += 1;
        }
    }
    assert_eq!(echoed, 2, "the recording has two calls of echo");
}

#[tokio::test]
async fn a_frame_may_arrive_in_messages_of_single_bytes() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    for byte in echo(5, "crumbs").frame() {
        peer.send_bytes([byte]).await;
        peer.send_bytes([]).await;
    }
    assert_echoed(&peer.frame().await, 5, "crumbs");
}

#[tokio::test]
async fn a_message_may_hold_many_frames_and_a_piece_of_another() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    let mut bytes: Vec<u8> = (1..=20)
        .flat_map(|number| echo(number, &number.to_string()).frame())
        .collect();
    let last = echo(21, "21").frame();
    bytes.extend(&last[..20]);
    peer.send_bytes(bytes).await;
    for number in 1..=20 {
        assert_echoed(&peer.frame().await, number, &number.to_string());
    }
    peer.send_bytes(&last[20..]).await;
    assert_echoed(&peer.frame().await, 21, "21");
}

#[tokio::test]
async fn a_message_may_arrive_in_fragments_with_a_ping_between() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    let bytes = echo(3, "fragments").frame();
    let fragment = |range: std::ops::Range<usize>, data| {
        let is_last = range.end == bytes.len();
        let frame = Frame::message(bytes[range].to_vec(), OpCode::Data(data), is_last);
        tungstenite::Message::Frame(frame)
    };
    peer.send(fragment(0..9, Data::Binary)).await;
    peer.send(tungstenite::Message::Ping("are you there?".into()))
        .await;
    peer.send(fragment(9..30, Data::Continue)).await;
    peer.send(fragment(30..bytes.len(), Data::Continue)).await;
    let pong = peer.next().await;
    assert_eq!(pong, tungstenite::Message::Pong("are you there?".into()));
    assert_echoed(&peer.frame().await, 3, "fragments");
}

#[tokio::test]
async fn a_ping_is_answered() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    for text in ["one", "two"] {
        peer.send(tungstenite::Message::Ping(text.into())).await;
        assert_eq!(peer.next().await, tungstenite::Message::Pong(text.into()));
    }
    let answer = peer.call(&echo(1, "and calls go on")).await;
    assert_echoed(&answer, 1, "and calls go on");
}

/// [`Peer::frame`] asserts it; the sizes lie around the limits of a WebSocket
/// header.
#[tokio::test]
async fn each_frame_of_a_server_is_one_message_and_never_compressed() {
    let server = serve_at("ws://127.0.0.1:0?compress=1", Options::default()).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    let sizes = [1, 5_000, 65_493, 65_494, 65_537, 200_000, 2_000_000];
    for (sequence, size) in (0..).zip(sizes) {
        peer.send_bytes(Message::call(sequence, GROW_INDEX, int(size)).frame())
            .await;
    }
    for (sequence, size) in (0..).zip(sizes) {
        let answer = peer.frame().await;
        assert_eq!(answer.sequence, sequence);
        assert_eq!(answer.params.len(), usize::try_from(size).unwrap() + 4);
    }
}

#[tokio::test]
async fn a_compressed_frame_of_the_peer_is_read() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    let text = "again and again ".repeat(100);
    peer.send_bytes(raw::frame(1, &deflate(&echo(1, &text).bytes())))
        .await;
    assert_echoed(&peer.frame().await, 1, &text);
}

#[tokio::test]
async fn each_frame_of_a_client_is_one_message_and_never_compressed() {
    let listener = PeerServer::listen().await;
    let endpoint = listener.endpoint("?compress=1");
    let communicator = Communicator::new();
    let (proxy, mut peer) =
        tokio::join!(Proxy::connect(&communicator, &endpoint), listener.accept());
    let proxy = proxy.unwrap();
    for number in 0..10 {
        proxy.oneway(&NOTE, (number,)).await.unwrap();
    }
    let large = "large ".repeat(50_000);
    let pending = proxy.call::<_, String>(&ECHO, (&large,));
    for number in 0..10 {
        assert_eq!(peer.frame().await.params, int(number));
    }
    let call = peer.frame().await;
    assert_eq!(call.params, string(&large));
    // A server, too, may split its frames at any byte.
    for piece in Message::returning(call.sequence, 0, string("seen"))
        .frame()
        .chunks(5)
    {
        peer.send_bytes(piece).await;
    }
    assert_eq!(within(pending).await.unwrap(), "seen");
}

/// Frames that arrive together are read together and answered in one write; none
/// is lost where they exceed the read buffer.
#[tokio::test]
async fn thousands_of_pipelined_calls_are_all_answered() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let (mut sink, stream) = Peer::connect(server.endpoint()).await.0.split();
    let sending = async {
        for number in 0..5_000 {
            let frame = echo(number, "one of many").frame();
            sink.feed(tungstenite::Message::Binary(frame.into()))
                .await
                .unwrap();
        }
        sink.flush().await.unwrap();
    };
    let answers = stream.take(5_000).collect::<Vec<_>>();
    let ((), answers) = within(async { tokio::join!(sending, answers) }).await;
    for (number, answer) in (0..).zip(answers) {
        let bytes = answer.unwrap().into_data();
        assert_echoed(&Message::parse(&bytes[14..]), number, "one of many");
    }
}
