//! What a broker's bytes may do, and what ours say.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::Instant,
};

use super::{
    address::AmqpAddress,
    channel::Channel,
    connect::connect,
    frame::{Content, Frame, Header, OVERHEAD, Way, put_message, put_request},
    octets::Octets,
    request::{Request, Tuning},
    session::Session,
};
use crate::{
    config::MqConfig,
    transport::{Stream, mq::Parcel},
};

const FRAME_MAX: u32 = 4096;
const PREFETCH: u16 = 4;

fn session() -> Arc<Session> {
    Arc::new(Session::new(Tuning {
        channel_max: 2,
        frame_max: FRAME_MAX,
        heartbeat: 10,
    }))
}

/// Takes all that is written.
#[derive(Default)]
struct Paper(Vec<u8>);

impl AsyncWrite for Paper {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a session has to say.
fn said(session: &Session) -> Vec<u8> {
    let mut paper = Paper::default();
    let waker = Waker::noop();
    let _ = session.poll_write(&mut Context::from_waker(waker), &mut paper);
    paper.0
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap();
    let head = [&[kind][..], &channel.to_be_bytes(), &size.to_be_bytes()];
    [head.concat().as_slice(), payload, &[0xCE]].concat()
}

/// A frame of a broker that has read the specification, and does not care.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let number = prop::sample::select(vec![
        10_u8, 11, 20, 21, 30, 31, 40, 41, 50, 51, 60, 61, 80, 120,
    ]);
    let class = prop::sample::select(vec![10_u8, 20, 40, 50, 60, 85]);
    let method = (class, number, vec(any::<u8>(), 0..24))
        .prop_map(|(class, number, rest)| [&[0, class, 0, number][..], &rest].concat());
    let header = (0..8_u64, vec(any::<u8>(), 0..4)).prop_map(|(size, rest)| {
        [&[0, 60, 0, 0][..], &size.to_be_bytes(), &[0, 0], &rest].concat()
    });
    let delivery = Just([&[0, 60, 0, 60, 0][..], &[0; 8], &[0, 0, 0]].concat());
    let payload = prop_oneof![
        method.prop_map(|payload| (1, payload)),
        delivery.prop_map(|payload| (1, payload)),
        header.prop_map(|payload| (2, payload)),
        vec(any::<u8>(), 0..8).prop_map(|payload| (3, payload)),
        Just((8, Vec::new())),
    ];
    (0..3_u16, payload).prop_map(|(channel, (kind, payload))| frame(kind, channel, &payload))
}

/// How far a session gets with bytes that come in these pieces: what it says,
/// and why it ends.
fn outcome(bytes: &[u8], piece: usize) -> (Vec<u8>, Option<String>) {
    let session = session();
    let id = session.lock().begin().unwrap();
    let asked = session.lock().ask(id, &Request::Qos { prefetch: PREFETCH });
    asked.unwrap();
    let mut heard = BytesMut::new();
    let mut end = None;
    for piece in bytes.chunks(piece) {
        heard.extend_from_slice(piece);
        if let Err(error) = session.take(&mut heard) {
            end = Some(error.to_string());
            break;
        }
        assert!(
            heard.len() <= FRAME_MAX as usize,
            "a frame is waited for that never ends"
        );
    }
    (said(&session), end)
}

proptest! {
    #[test]
    fn no_bytes_of_a_broker_do_harm(bytes in vec(any::<u8>(), 0..256)) {
        outcome(&bytes, 16);
    }

    #[test]
    fn frames_mean_the_same_in_whatever_pieces_they_come(
        frames in vec(any_frame(), 0..12),
        piece in 1..40_usize,
    ) {
        let bytes = frames.concat();
        prop_assert_eq!(outcome(&bytes, bytes.len().max(1)), outcome(&bytes, piece));
    }

    #[test]
    fn a_message_says_what_it_was_given(
        body in vec(any::<u8>(), 0..20_000),
        key in "[a-z]{0,255}",
        is_persistent: bool,
        is_batch: bool,
        millis in prop::option::of(any::<u32>()),
    ) {
        let parcel = Parcel {
            body,
            queue: None,
            is_persistent,
            expires_in: millis.map(|millis| Duration::from_millis(millis.into())),
            is_batch,
        };
        let way = Way { exchange: "", key: &key, is_mandatory: true };
        let mut bytes = Vec::new();
        put_message(&mut bytes, 1, FRAME_MAX as usize, way, &parcel).unwrap();
        let (mut rest, mut body, mut header) = (bytes.as_slice(), Vec::new(), None);
        while let Some((frame, size)) = Frame::split(rest, FRAME_MAX as usize).unwrap() {
            prop_assert_eq!(frame.channel, 1);
            match frame.content {
                Content::Method(octets) => prop_assert!(octets.0.ends_with(&[1])),
                Content::Header(octets) => header = Some(Header::parse(octets).unwrap()),
                Content::Body(part) => body.extend_from_slice(part),
                Content::Heartbeat => prop_assert!(false),
            }
            rest = &rest[size..];
        }
        let header = header.unwrap();
        prop_assert!(rest.is_empty());
        prop_assert_eq!(header.body_size, parcel.body.len() as u64);
        prop_assert_eq!(body, parcel.body);
        let said = (header.properties.is_persistent, header.properties.is_batch, header.properties.expires_in);
        prop_assert_eq!(said, (is_persistent, is_batch, parcel.expires_in));
    }

    #[test]
    fn properties_of_strangers_are_read_over(
        content in "[a-z]{0,20}",
        headers in vec(any::<u8>(), 0..20),
        ids in ("[a-z]{0,20}", "[a-z]{0,20}"),
        expiration in 0..u64::MAX,
        rest in vec(any::<u8>(), 0..20),
    ) {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
        let size = u32::try_from(headers.len()).unwrap().to_be_bytes();
        let header = [
            &[0, 60, 0, 0][..],
            &[0; 8],
            // All flags but that more follow.
            &0xFFFE_u16.to_be_bytes(),
            &text(&content),
            &[2, 0xFF, 0xFE],
            &size,
            &headers,
            &[2, 9],
            &text(&ids.0),
            &text(&ids.1),
            &text(&expiration.to_string()),
            &rest,
        ]
        .concat();
        let properties = Header::parse(Octets(&header)).unwrap().properties;
        prop_assert!(properties.is_persistent && !properties.is_batch);
        prop_assert_eq!(properties.expires_in, Some(Duration::from_millis(expiration)));
    }
}

#[test]
fn a_name_that_does_not_fit_leaves_no_trace() {
    let mut bytes = vec![7];
    let name = "q".repeat(256);
    let way = Way {
        exchange: "",
        key: &name,
        is_mandatory: false,
    };
    let parcel = Parcel {
        body: vec![1],
        queue: None,
        is_persistent: false,
        expires_in: None,
        is_batch: false,
    };
    put_message(&mut bytes, 1, 4096, way, &parcel).unwrap_err();
    put_request(&mut bytes, 1, &Request::Cancel { tag: &name }).unwrap_err();
    assert_eq!(bytes, [7]);
}

#[test]
fn no_message_outlives_what_a_broker_allows() {
    let parcel = Parcel {
        body: Vec::new(),
        queue: None,
        is_persistent: false,
        expires_in: Some(Duration::MAX),
        is_batch: false,
    };
    let way = Way {
        exchange: "",
        key: "calls",
        is_mandatory: false,
    };
    let mut bytes = Vec::new();
    put_message(&mut bytes, 1, 4096, way, &parcel).unwrap();
    assert!(bytes.ends_with(b"\x0a4294967295\xCE"));
}

#[test]
fn a_frame_is_as_large_as_was_agreed_on_and_no_larger() {
    let payload = |size| frame(3, 1, &vec![0; size]);
    let fits = payload(FRAME_MAX as usize - OVERHEAD);
    let (_, size) = Frame::split(&fits, FRAME_MAX as usize).unwrap().unwrap();
    assert_eq!(size, FRAME_MAX as usize);
    // What it says is enough: nobody waits for the rest.
    let larger = payload(FRAME_MAX as usize - OVERHEAD + 1);
    Frame::split(&larger[..7], FRAME_MAX as usize).unwrap_err();
}

/// Has the broker say these frames.
fn hear(session: &Session, frames: &[Vec<u8>]) {
    session
        .take(&mut BytesMut::from(frames.concat().as_slice()))
        .unwrap();
}

/// "Opened", "the channel is closed".
const OPENED: [u8; 8] = [0, 20, 0, 11, 0, 0, 0, 0];
const CLOSED: [u8; 4] = [0, 20, 0, 41];
/// 404, "no", of no method.
const CLOSE: [u8; 13] = [0, 20, 0, 40, 1, 148, 2, b'n', b'o', 0, 0, 0, 0];

async fn opened(session: &Arc<Session>) -> Channel {
    let opening = Channel::open(session);
    let opened = async { hear(session, &[frame(1, 1, &OPENED)]) };
    tokio::join!(biased; opening, opened).0.unwrap()
}

#[tokio::test]
async fn the_number_of_a_channel_is_free_when_both_sides_have_left() {
    let session = session();
    let channel = opened(&session).await;
    drop(channel);
    // The broker has not answered yet.
    assert_eq!(session.lock().begin().unwrap(), 2);
    hear(&session, &[frame(1, 1, &CLOSED)]);
    assert_eq!(session.lock().begin().unwrap(), 1);
    session.lock().begin().unwrap_err();
}

#[tokio::test]
async fn a_channel_that_the_broker_ends_says_why_once_and_is_lost_then() {
    let session = session();
    let channel = opened(&session).await;
    said(&session);
    let asking = channel.heard();
    let ended = async { hear(&session, &[frame(1, 1, &CLOSE)]) };
    let (answer, ()) = tokio::join!(biased; asking, ended);
    let error = answer.unwrap_err();
    assert_eq!(error.to_string(), "no");
    assert!(matches!(
        error,
        super::error::AmqpError::Refused { code: 404, .. }
    ));
    let error = channel.heard().await.unwrap_err();
    assert!(matches!(error, super::error::AmqpError::Lost(_)));
    assert!(said(&session).ends_with(&frame(1, 1, &CLOSED)));
    // Nobody says farewell to a channel that has ended.
    drop(channel);
    assert!(said(&session).is_empty());
    assert_eq!(session.lock().begin().unwrap(), 1);
}

#[tokio::test]
async fn who_leaves_while_the_broker_ends_the_channel_still_gets_an_answer() {
    let session = session();
    let channel = opened(&session).await;
    let leaving = channel.close();
    hear(&session, &[frame(1, 1, &CLOSE), frame(1, 1, &CLOSED)]);
    leaving.await;
    assert!(said(&session).ends_with(&frame(1, 1, &CLOSED)));
    drop(channel);
    assert_eq!(session.lock().begin().unwrap(), 1);
}

#[test]
fn one_confirmation_settles_all_before_it_and_none_twice() {
    let mut confirms = super::confirms::Confirms::default();
    let mut waiting: Vec<_> = (0..5).map(|_| confirms.next()).collect();
    let mut is_settled = |which: usize| waiting[which].try_recv().map(|it| it.unwrap().is_taken);
    confirms.settle(4, false, false);
    confirms.settle(2, true, true);
    confirms.settle(2, true, true);
    confirms.settle(9, false, true);
    assert_eq!(
        [0, 1, 3].map(|which| is_settled(which).unwrap()),
        [true, true, false]
    );
    assert!(is_settled(2).is_err() && is_settled(4).is_err());
    confirms.came_back(super::confirms::Returned {
        key: "gone".to_owned(),
        properties: super::frame::Properties {
            is_batch: false,
            is_persistent: false,
            expires_in: None,
        },
        body: Vec::new(),
    });
    let mut refused = confirms.next();
    let mut came_back = confirms.next();
    confirms.settle(6, false, false);
    confirms.settle(7, false, true);
    let refused = refused.try_recv().unwrap().unwrap();
    assert!(!refused.is_taken && refused.returned.is_none());
    assert!(came_back.try_recv().unwrap().unwrap().returned.is_some());
    confirms.settle(0, true, true);
    assert_eq!([2, 4].map(|which| is_settled(which).unwrap()), [true, true]);
}

/// "Start, by PLAIN", "nothing is limited", "it is open".
const START: &[u8] = b"\0\x0a\0\x0a\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05en_US";
const TUNE: [u8; 12] = [0, 10, 0, 30, 0, 0, 0, 0, 0, 0, 0, 0];
const OPEN: [u8; 5] = [0, 10, 0, 41, 0];

fn address() -> AmqpAddress {
    let config = "common_defs:
  endpoints:
    - name: calls
      host: localhost
      port: 5672
      address: calls
      type: qpid
reader:
  endpoints:
    - {name: calls, af_mode: AF_READ}
";
    let config = MqConfig::parse(config, "config.yml", "reader").unwrap();
    AmqpAddress::of(&config.endpoints[0])
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_falls_silent_is_lost_and_has_heard_of_us_until_then() {
    let (ours, mut broker) = tokio::io::duplex(64 << 10);
    let answers = [START, &TUNE, &OPEN].map(|payload| frame(1, 0, payload));
    broker.write_all(&answers.concat()).await.unwrap();
    let (source, sink) = tokio::io::split(ours);
    let stream = Stream {
        source: Box::new(source),
        sink: Box::new(sink),
        peer: String::new(),
    };
    let (session, life) = connect(stream, &address()).await.unwrap();
    let begun = Instant::now();
    life.end().await;
    assert!(session.has_ended());
    // Twice the ten seconds that were agreed on, and what a look may be late.
    let waited = begun.elapsed();
    assert!((20..30).contains(&waited.as_secs()), "{waited:?}");
    let mut said = Vec::new();
    broker.read_to_end(&mut said).await.unwrap();
    // One in ten seconds.
    assert!(said.ends_with(&frame(8, 0, &[]).repeat(2)), "{said:?}");
}
