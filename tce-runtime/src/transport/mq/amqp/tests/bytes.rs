//! What a broker's bytes may do, and what ours say.

use std::time::Duration;

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*};

use super::{
    super::{
        frame::{Content, Frame, Header, OVERHEAD, Way, put_message, put_request},
        octets::Octets,
        request::Request,
    },
    FRAME_MAX, frame, said, session,
};
use crate::transport::mq::Publication;

const PREFETCH: u16 = 4;

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
        number in prop::option::of(any::<u64>()),
    ) {
        let publication = Publication {
            body,
            queue: None,
            is_persistent,
            expires_in: millis.map(|millis| Duration::from_millis(millis.into())),
            is_batch,
        };
        let way = Way { exchange: "", key: &key, is_mandatory: true };
        let mut bytes = Vec::new();
        put_message(&mut bytes, 1, FRAME_MAX as usize, way, &publication, number).unwrap();
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
        prop_assert_eq!(header.body_size, publication.body.len() as u64);
        prop_assert_eq!(body, publication.body);
        let said = (header.properties.is_persistent, header.properties.is_batch, header.properties.expires_in);
        prop_assert_eq!(said, (is_persistent, is_batch, publication.expires_in));
        prop_assert_eq!(header.properties.number, number);
    }

    #[test]
    fn properties_of_strangers_are_read_over(
        content in "[a-z]{0,20}",
        headers in vec(any::<u8>(), 0..20),
        ids in ("[a-z]{0,20}", "[a-z]{0,20}", "[a-z]{0,20}"),
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
            &text(&ids.2),
            &rest,
        ]
        .concat();
        let properties = Header::parse(Octets(&header)).unwrap().properties;
        prop_assert!(properties.is_persistent && !properties.is_batch);
        prop_assert_eq!(properties.expires_in, Some(Duration::from_millis(expiration)));
        prop_assert_eq!(properties.number, None);
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
    let publication = Publication {
        body: vec![1],
        queue: None,
        is_persistent: false,
        expires_in: None,
        is_batch: false,
    };
    put_message(&mut bytes, 1, 4096, way, &publication, None).unwrap_err();
    put_request(&mut bytes, 1, &Request::Cancel { tag: &name }).unwrap_err();
    assert_eq!(bytes, [7]);
}

#[test]
fn no_message_outlives_what_a_broker_allows() {
    let publication = Publication {
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
    put_message(&mut bytes, 1, 4096, way, &publication, None).unwrap();
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
