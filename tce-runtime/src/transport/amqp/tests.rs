//! The frame filter against arbitrary brokers, and the adapter at a real one.

use std::{future::poll_fn, pin::Pin, time::Duration};

use bytes::{BufMut, BytesMut};
use futures_io::AsyncRead as _;
use futures_util::future::join_all;
use lapin::types::FieldTable;
use proptest::{collection::vec, prelude::*};
use tce_test_rabbitmq::Node;
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    connection::Declaration,
    control::StreamControl,
    filter::{FRAME_MAX, FrameFilter},
    publisher::properties,
    stream::BrokerStream,
    *,
};
use crate::{
    config::{MqConfig, NodeType, Options},
    transport::{
        ByteStream,
        delivery::{Publication, PublishError, Settlement},
    },
};

const START: [u8; 4] = [0, 10, 0, 10];
const CHANNEL: u16 = 1;

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap();
    let head = [&[kind][..], &channel.to_be_bytes(), &size.to_be_bytes()];
    [head.concat().as_slice(), payload, &[0xCE]].concat()
}

/// What lapin reads of a broker's bytes that arrive in pieces of this size, and
/// the violation that ends them.
fn filtered(control: &Arc<StreamControl>, bytes: &[u8], piece: usize) -> (Vec<u8>, Option<String>) {
    let mut filter = FrameFilter::new(Arc::clone(control));
    let (mut received, mut passed) = (BytesMut::new(), BytesMut::new());
    for piece in bytes.chunks(piece) {
        received.extend_from_slice(piece);
        if let Err(violation) = filter.pass(&mut received, &mut passed) {
            return (passed.to_vec(), Some(violation.to_string()));
        }
        let limit = FRAME_MAX as usize;
        assert!(
            received.len() <= limit,
            "the filter waits for too large a frame"
        );
    }
    (passed.to_vec(), None)
}

fn deliver() -> Vec<u8> {
    let arguments = [
        b"\x03tce".as_slice(),
        &1_u64.to_be_bytes(),
        &[0],
        b"\x01x\x01y",
    ]
    .concat();
    frame(1, CHANNEL, &[&[0, 60, 0, 60][..], &arguments].concat())
}

fn returned() -> Vec<u8> {
    let arguments = [&312_u16.to_be_bytes()[..], b"\x08NO_ROUTE\x00\x01q"].concat();
    frame(1, CHANNEL, &[&[0, 60, 0, 50][..], &arguments].concat())
}

/// A header with these flags and fields.
fn header(body_size: u64, flags: u16, fields: &[u8]) -> Vec<u8> {
    let payload = [
        &[0, 60, 0, 0][..],
        &body_size.to_be_bytes(),
        &flags.to_be_bytes(),
        fields,
    ];
    frame(2, CHANNEL, &payload.concat())
}

/// Frames of a broker that keeps the rules of framing, and no others.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let method = (
        prop::sample::select(vec![10_u8, 20, 40, 50, 60, 85]),
        prop::sample::select(vec![10_u8, 11, 20, 30, 41, 50, 51, 60, 61, 80, 120]),
        vec(any::<u8>(), 0..24),
    );
    let method =
        method.prop_map(|(class, number, rest)| (1, [&[0, class, 0, number][..], &rest].concat()));
    let header = (0..8_u64, vec(any::<u8>(), 0..4));
    let header = header.prop_map(|(size, rest)| {
        let payload = [&[0, 60, 0, 0][..], &size.to_be_bytes(), &[0, 0], &rest];
        (2, payload.concat())
    });
    let payload = prop_oneof![
        method,
        header,
        vec(any::<u8>(), 0..8).prop_map(|payload| (3, payload)),
        Just((8, Vec::new())),
    ];
    let other =
        (0..3_u16, payload).prop_map(|(channel, (kind, payload))| frame(kind, channel, &payload));
    prop_oneof![
        4 => other,
        1 => Just(deliver()),
        1 => Just(returned()),
    ]
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..256)) {
        filtered(&StreamControl::new(), &bytes, 16);
    }

    #[test]
    fn frames_are_filtered_alike_in_pieces_of_any_size(
        frames in vec(any_frame(), 0..12),
        piece in 1..40_usize,
    ) {
        let bytes = [frame(1, 0, &START), frames.concat()].concat();
        prop_assert_eq!(
            filtered(&StreamControl::new(), &bytes, bytes.len()),
            filtered(&StreamControl::new(), &bytes, piece)
        );
    }

    #[test]
    fn properties_of_other_programs_are_harmless(
        content in "[a-z]{0,20}",
        headers in vec(any::<u8>(), 0..20),
        ids in (vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..20)),
        expiration in any::<u64>(),
        user in "[a-z]{0,20}",
    ) {
        let mut fields = BytesMut::new();
        let text = |fields: &mut BytesMut, text: &[u8]| {
            fields.put_u8(u8::try_from(text.len()).unwrap());
            fields.extend_from_slice(text);
        };
        text(&mut fields, content.as_bytes());
        text(&mut fields, &[0xFF, 0xFE]);
        fields.put_u32(u32::try_from(headers.len()).unwrap());
        fields.extend_from_slice(&headers);
        fields.extend_from_slice(&[2, 9]);
        text(&mut fields, &ids.0);
        text(&mut fields, &ids.1);
        text(&mut fields, expiration.to_string().as_bytes());
        text(&mut fields, &[0xFF]);
        fields.put_u64(7);
        text(&mut fields, &ids.0);
        text(&mut fields, user.as_bytes());
        text(&mut fields, &ids.1);
        text(&mut fields, &[0xFE]);
        let bytes = [frame(1, 0, &START), deliver(), header(0, 0xFFFC, &fields)].concat();
        let (passed, violation) = filtered(&StreamControl::new(), &bytes, bytes.len());
        prop_assert_eq!(violation, None);

        let mut kept = BytesMut::new();
        text(&mut kept, content.as_bytes());
        kept.put_u8(2);
        text(&mut kept, expiration.to_string().as_bytes());
        text(&mut kept, user.as_bytes());
        let flags = 1 << 15 | 1 << 12 | 1 << 8 | 1 << 4;
        prop_assert!(passed.ends_with(&header(0, flags, &kept)));
    }

    #[test]
    fn a_message_has_the_properties_of_its_publication(
        is_persistent: bool,
        is_batch: bool,
        millis in prop::option::of(any::<u32>()),
        number in prop::option::of(any::<u64>()),
    ) {
        let publication = Publication {
            is_persistent,
            is_batch,
            expires_in: millis.map(|millis| Duration::from_millis(millis.into())),
            ..publication("")
        };
        let properties = properties(&publication, number).unwrap();
        let text = |text: &Option<lapin::types::ShortString>| {
            text.as_ref().map(|text| text.as_str().to_owned())
        };
        let kind = is_batch.then(|| "application/vnd.tce.batch".to_owned());
        prop_assert_eq!(text(properties.content_type()), kind);
        let mode = if is_persistent { 2 } else { 1 };
        prop_assert_eq!(*properties.delivery_mode(), Some(mode));
        prop_assert_eq!(text(properties.expiration()), millis.map(|millis| millis.to_string()));
        prop_assert_eq!(text(properties.message_id()), number.map(|number| number.to_string()));
        prop_assert_eq!(text(properties.user_id()), None);
    }
}

#[test]
fn an_expiration_is_at_most_what_a_broker_accepts() {
    let publication = Publication {
        expires_in: Some(Duration::MAX),
        ..publication("")
    };
    let properties = properties(&publication, None).unwrap();
    let expiration = properties.expiration().as_ref().unwrap();
    assert_eq!(expiration.as_str(), u32::MAX.to_string());
}

#[test]
fn a_returned_message_is_dropped_and_its_number_recorded() {
    let number = b"\x0242";
    let returning = [
        frame(1, 0, &START),
        returned(),
        header(3, 1 << 7, number),
        frame(3, CHANNEL, &[1, 2]),
        frame(3, CHANNEL, &[3]),
        frame(8, 0, &[]),
    ];
    let control = StreamControl::new();
    let (passed, violation) = filtered(&control, &returning.concat(), 5);
    assert_eq!(violation, None);
    assert_eq!(passed, [frame(1, 0, &START), frame(8, 0, &[])].concat());
    assert!(!control.take_returned(CHANNEL, 41));
    assert!(!control.take_returned(CHANNEL + 1, 42));
    assert!(control.take_returned(CHANNEL, 42));
    assert!(!control.take_returned(CHANNEL, 42));
}

#[test]
fn sizes_are_limited_before_the_bytes_arrive() {
    let start = frame(1, 0, &START);
    let limit = FRAME_MAX as usize - 8;
    let largest = frame(3, CHANNEL, &vec![0; limit]);
    let too_large = frame(3, CHANNEL, &vec![0; limit + 1]);
    let message = |size| [deliver(), header(size, 0, &[])].concat();
    for (bytes, expected) in [
        (largest, None),
        (too_large[..7].to_vec(), Some("larger than was agreed on")),
        (message(128 << 20), None),
        (message((128 << 20) + 1), Some("more than 128 MiB")),
    ] {
        let bytes = [&start[..], &bytes].concat();
        let (_, violation) = filtered(&StreamControl::new(), &bytes, bytes.len());
        let is_expected = match (&violation, expected) {
            (Some(violation), Some(expected)) => violation.contains(expected),
            (violation, expected) => violation.is_none() && expected.is_none(),
        };
        assert!(is_expected, "{violation:?}");
    }
}

fn publication(body: &str) -> Publication {
    Publication {
        body: body.as_bytes().to_vec(),
        queue: None,
        is_persistent: false,
        expires_in: None,
        is_batch: false,
        is_mandatory: false,
        user_id: None,
        deliveries: 0,
    }
}

fn endpoint(address: &str) -> MqEndpoint {
    let port = Node::shared().port();
    let text = format!(
        "common_defs:
  endpoints:
    - {{name: e, host: 127.0.0.1, port: {port}, address: \"{address}\"}}
p:
  endpoints:
    - {{name: e, af_mode: AF_READ|AF_WRITE}}
"
    );
    let config = MqConfig::parse(&text, "config.yml", "p").unwrap();
    config.endpoints.into_iter().next().unwrap()
}

fn broker() -> AmqpBroker {
    AmqpBroker::new(&Arc::new(SharedOptions::new(Options::default())))
}

/// The arguments of a node, all of them texts or numbers.
fn arguments<const N: usize>(
    arguments: [(&'static str, lapin::types::AMQPValue); N],
) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert(name.into(), value);
    }
    table
}

fn text(text: &str) -> lapin::types::AMQPValue {
    lapin::types::AMQPValue::LongString(text.into())
}

#[tokio::test]
async fn a_queue_has_the_arguments_that_it_was_declared_with() {
    let (broker, endpoint) = (broker(), endpoint("limited;{node:{durable:true}}"));
    let connection = broker.connection(&endpoint, ConnectionRole::Publish);
    let declaration = Declaration {
        name: "limited",
        node: NodeType::Queue,
        arguments: arguments([
            ("x-max-length", 1.into()),
            ("x-overflow", text("reject-publish")),
        ]),
    };
    connection.declare(&declaration).await.unwrap();
    let publisher = broker.publisher(&endpoint).await.unwrap();
    publisher.publish(&publication("fits")).await.unwrap();
    let rejected = publisher.publish(&publication("does not fit")).await;
    assert!(
        matches!(rejected, Err(PublishError::Rejected)),
        "{rejected:?}"
    );
}

#[tokio::test]
async fn an_alternate_exchange_receives_what_no_queue_of_a_topic_does() {
    let broker = broker();
    let topic = endpoint("primary/unbound;{node:{type:topic}}");
    let alternate = endpoint("alternate;{create:always,node:{type:topic}}");
    let mut consumer = broker
        .consumer(&alternate, ConsumeMode::Shared)
        .await
        .unwrap();
    let connection = broker.connection(&topic, ConnectionRole::Publish);
    let declaration = Declaration {
        name: "primary",
        node: NodeType::Topic,
        arguments: arguments([("alternate-exchange", text("alternate"))]),
    };
    connection.declare(&declaration).await.unwrap();
    let publisher = broker.publisher(&topic).await.unwrap();
    publisher.publish(&publication("unroutable")).await.unwrap();
    let delivery = consumer.next().await.unwrap();
    assert_eq!(delivery.body, b"unroutable");
    consumer.tell(&[Settlement::Acknowledge(delivery.tag)]);
    consumer.close().await;
}

#[tokio::test]
async fn the_broker_checks_the_user_id() {
    let (broker, endpoint) = (
        broker(),
        endpoint("users;{create:always,node:{durable:true}}"),
    );
    let mut publisher = broker.publisher(&endpoint).await.unwrap();
    let by = |user: &str| Publication {
        user_id: Some(user.into()),
        ..publication("signed")
    };
    publisher.publish(&by("guest")).await.unwrap();
    let refused = publisher.publish(&by("somebody")).await;
    assert!(
        matches!(&refused, Err(PublishError::Refused(text)) if text.contains("user_id")),
        "{refused:?}"
    );
    // The broker has closed the channel.
    let lost = publisher.publish(&by("guest")).await;
    assert!(matches!(lost, Err(PublishError::Lost(_))), "{lost:?}");
    publisher.recovered().await;
    publisher.publish(&by("guest")).await.unwrap();
}

#[tokio::test]
async fn each_returned_message_fails_alone() {
    let (broker, endpoint) = (
        broker(),
        endpoint("present;{create:always,node:{durable:true}}"),
    );
    let publisher = broker.publisher(&endpoint).await.unwrap();
    let publications: Vec<_> = (0..100)
        .map(|number| Publication {
            queue: (number % 3 == 0).then(|| "missing".into()),
            ..publication("text")
        })
        .collect();
    let results = join_all(
        publications
            .iter()
            .map(|publication| publisher.publish(publication)),
    );
    for (number, result) in results.await.into_iter().enumerate() {
        let is_expected = match result {
            Ok(()) => number % 3 != 0,
            Err(PublishError::Unroutable(queue)) => number % 3 == 0 && queue == "missing",
            Err(_) => false,
        };
        assert!(is_expected, "{number}");
    }
}

#[tokio::test]
async fn an_own_queue_is_consumed_without_acknowledgements() {
    let broker = broker();
    let endpoint = MqEndpoint {
        prefetch: 2,
        ..endpoint("own;{node:{type:queue}}")
    };
    let mut consumer = broker
        .consumer(&endpoint, ConsumeMode::Exclusive)
        .await
        .unwrap();
    let publisher = broker.publisher(&endpoint).await.unwrap();
    for number in 0..10 {
        publisher
            .publish(&publication(&number.to_string()))
            .await
            .unwrap();
        let delivery = consumer.next().await.unwrap();
        assert_eq!(delivery.body, number.to_string().as_bytes());
        consumer.tell(&[Settlement::Requeue(delivery.tag)]);
    }
}

#[tokio::test]
async fn a_name_that_is_too_long_is_refused() {
    let (broker, endpoint) = (
        broker(),
        endpoint("names;{create:always,node:{durable:true}}"),
    );
    let publisher = broker.publisher(&endpoint).await.unwrap();
    let publication = Publication {
        queue: Some("q".repeat(256).into()),
        ..publication("text")
    };
    let refused = publisher.publish(&publication).await;
    assert!(
        matches!(refused, Err(PublishError::Refused(_))),
        "{refused:?}"
    );
}

/// A stream whose broker sends deliveries of this body size without end.
fn flood(control: &Arc<StreamControl>, body_size: usize) -> BrokerStream {
    let (ours, mut broker) = tokio::io::duplex(1 << 20);
    let (source, sink) = tokio::io::split(ours);
    let stream = ByteStream {
        source: Box::new(source),
        sink: Box::new(sink),
        peer: String::new(),
        control: None,
    };
    let body = frame(3, CHANNEL, &[0; 16 << 10]).repeat(body_size / (16 << 10));
    let message = [deliver(), header(body_size as u64, 0, &[]), body].concat();
    tokio::spawn(async move {
        broker.write_all(&frame(1, 0, &START)).await.unwrap();
        while broker.write_all(&message).await.is_ok() {}
    });
    BrokerStream::new(stream, Arc::clone(control))
}

/// Reads until nothing is ready, or this number of mebibytes; returns how many.
async fn read(stream: &mut BrokerStream, limit: usize) -> usize {
    let (mut buffer, mut count) = (vec![0; 64 << 10], 0);
    while count < limit << 20 {
        let reading = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer));
        match timeout(Duration::from_millis(1), reading).await {
            Ok(size) => count += size.unwrap(),
            Err(_) => break,
        }
    }
    count >> 20
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_takes_nothing_stops_the_reading() {
    let control = StreamControl::new();
    control.limit_unread(CHANNEL);
    let mut stream = flood(&control, 1 << 20);
    let all = read(&mut stream, 100).await;
    assert!((16..=18).contains(&all), "{all}");
    assert_eq!(read(&mut stream, 100).await, 0);
    for _ in 0..8 {
        control.taken(CHANNEL, 1 << 20);
    }
    let more = read(&mut stream, 100).await;
    assert!((6..=9).contains(&more), "{more}");
    control.forget(CHANNEL);
    assert_eq!(read(&mut stream, 40).await, 40);
}

#[tokio::test(start_paused = true)]
async fn a_large_delivery_is_read_to_its_end() {
    let control = StreamControl::new();
    control.limit_unread(CHANNEL);
    let mut stream = flood(&control, 40 << 20);
    let first = read(&mut stream, 100).await;
    assert!((40..=42).contains(&first), "{first}");
    control.taken(CHANNEL, 40 << 20);
    let second = read(&mut stream, 100).await;
    assert!((38..=42).contains(&second), "{second}");
}
