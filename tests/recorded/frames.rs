//! Frames to messages and back.

use crate::{
    typed,
    vectors::{self, Recorded},
};
use tce_runtime::wire::{
    CallType, Compression, Deframer, Extra, FRAME_HEADER_SIZE, FrameHeader, Header, Limits,
    Marshal, Message, Writer, begin_frame, finish_frame,
};

fn header_of(recorded: &Recorded) -> Header {
    Header {
        msgtype: recorded.number("msgtype"),
        sequence: recorded.number("sequence"),
        calltype: CallType(recorded.number("calltype")),
        ifidx: recorded.number("ifidx"),
        opidx: recorded.number("opidx"),
        errcode: recorded.number("errcode"),
        paramsize: recorded.number("paramsize"),
        call_id: recorded.number("call_id"),
    }
}

/// Encodes a message.
fn encode(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut out = Writer::new(&mut bytes);
    message.header.marshal(&mut out);
    message.extra.marshal(&mut out);
    out.put(message.params);
    bytes
}

fn framed(payload: &[u8], version: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let start = begin_frame(&mut bytes);
    bytes.extend_from_slice(payload);
    finish_frame(&mut bytes, start, Compression::None, version);
    bytes
}

fn check(recorded: &Recorded) {
    let bytes = recorded.frame();
    let mut input = bytes.as_slice();
    let mut deframer = Deframer::new(Limits::default());
    let frame = deframer.next(&mut input).unwrap().unwrap();
    let expected = FrameHeader {
        payload_size: bytes.len() - FRAME_HEADER_SIZE,
        compressed: recorded.number::<u8>("compress") == 1,
        version: recorded.number("version"),
    };
    assert_eq!(frame.header, expected);

    let message = Message::parse(frame.payload, &Limits::default()).unwrap();
    assert_eq!(message.header, header_of(recorded));
    let pairs: Vec<_> = message.extra.iter().collect();
    assert_eq!(pairs, recorded.extra(), "pairs and their order");
    assert_eq!(message.params, recorded.params());
    typed::check(recorded, message.params);

    assert_eq!(encode(&message), frame.payload);
    if !expected.compressed {
        assert_eq!(framed(frame.payload, expected.version), bytes);
    }
    assert!(input.is_empty());
    assert_eq!(deframer.next(&mut input).unwrap(), None);
}

#[test]
fn python_frames_decode_and_encode() {
    vectors::all("python-client").iter().for_each(check);
}

#[test]
fn java_frames_decode_and_encode() {
    let recorded = vectors::all("java-client");
    recorded.iter().for_each(check);
    let padded = |frame: &&Recorded| frame.number::<u32>("trailing_bytes_after_zlib") == 195;
    assert!(recorded.iter().any(|frame| padded(&frame)));
}

#[test]
fn javascript_frames_decode_and_encode() {
    vectors::all("javascript-client").iter().for_each(check);
}

/// All recorded frames as one stream, read in pieces of several sizes.
#[test]
fn a_stream_of_frames_may_be_split_at_any_byte() {
    let names = ["python-client", "java-client", "javascript-client"];
    let recorded: Vec<_> = names.into_iter().flat_map(vectors::all).collect();
    let stream: Vec<u8> = recorded.iter().flat_map(Recorded::frame).collect();
    for size in [1, 2, 3, 7, 13, 14, 15, 64, 1000, stream.len()] {
        let mut deframer = Deframer::new(Limits::default());
        let mut params = Vec::new();
        for mut piece in stream.chunks(size) {
            while let Some(frame) = deframer.next(&mut piece).unwrap() {
                let message = Message::parse(frame.payload, &Limits::default()).unwrap();
                params.push(message.params.to_vec());
            }
        }
        let expected: Vec<_> = recorded.iter().map(Recorded::params).collect();
        assert_eq!(params, expected, "in pieces of {size}");
    }
}

/// The last value of a repeated key replaces the first in its place.
#[test]
fn an_extra_keeps_the_order_of_its_pairs() {
    let extra = Extra::from_iter([("z", "1"), ("a", "2"), ("z", "3")]);
    assert_eq!(extra.iter().collect::<Vec<_>>(), [("z", "3"), ("a", "2")]);
}
