//! How channels and connections begin and end, and what is confirmed.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use super::{
    super::{
        address::AmqpAddress,
        channel::Channel,
        confirms::{Confirmation, Confirms},
        connect::connect,
        error::AmqpError,
        session::Session,
    },
    frame, said, session,
};
use crate::{config::MqConfig, transport::ByteStream};

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
    assert!(matches!(error, AmqpError::Refused { code: 404, .. }));
    let error = channel.heard().await.unwrap_err();
    assert!(matches!(error, AmqpError::Lost(_)));
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
    let mut confirms = Confirms::default();
    let mut waiting: Vec<_> = (0..5).map(|_| confirms.next()).collect();
    let mut is_settled = |which: usize| {
        waiting[which]
            .try_recv()
            .map(|it| it.unwrap() == Confirmation::Taken)
    };
    confirms.settle(4, false, false);
    confirms.settle(2, true, true);
    confirms.settle(2, true, true);
    confirms.settle(9, false, true);
    assert_eq!(
        [0, 1, 3].map(|which| is_settled(which).unwrap()),
        [true, true, false]
    );
    assert!(is_settled(2).is_err() && is_settled(4).is_err());
    // 6 and 7 come back; one acknowledgement tells of all.
    let mut more: Vec<_> = (6..=9).map(|_| confirms.next()).collect();
    for number in [7, 6, 2, 0, 99] {
        confirms.came_back(number);
    }
    confirms.settle(6, false, false);
    confirms.settle(8, true, true);
    let mut became = |which: usize| more[which].try_recv().map(|it| it.unwrap());
    assert_eq!(
        [0, 1, 2].map(|which| became(which).unwrap()),
        [
            Confirmation::Refused,
            Confirmation::CameBack,
            Confirmation::Taken
        ]
    );
    assert!(became(3).is_err());
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
    let stream = ByteStream {
        source: Box::new(source),
        sink: Box::new(sink),
        peer: String::new(),
    };
    let session = connect(stream, &address()).await.unwrap();
    let begun = Instant::now();
    session.ended().await;
    assert!(session.has_ended());
    // Twice the ten seconds that were agreed on, and what a look may be late.
    let waited = begun.elapsed();
    assert!((20..30).contains(&waited.as_secs()), "{waited:?}");
    let mut said = Vec::new();
    broker.read_to_end(&mut said).await.unwrap();
    // One in ten seconds.
    assert!(said.ends_with(&frame(8, 0, &[]).repeat(2)), "{said:?}");
}
