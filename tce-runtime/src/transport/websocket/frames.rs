//! Where the frames of a WebSocket begin and end in the bytes that arrive.
//!
//! The library reports messages only. What it holds of the next one decides whether a
//! peer is slow, and whether the library's buffers can be freed.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Data, OpCode},
};

/// The largest header: two bytes, a length of eight, a mask of four.
const MAX_HEADER: usize = 14;

/// Follows the frames of one direction.
#[derive(Debug)]
pub(super) struct FrameTracker {
    expected: Expected,
    /// Whether further frames belong to the message of the last one.
    is_fragmented: bool,
    /// The bytes of a message that is not complete.
    unfinished: usize,
    /// The size of the frame that is being read, and since the last
    /// [`FrameTracker::take_largest`] of the largest one.
    payload: usize,
    largest: usize,
}

#[derive(Debug)]
enum Expected {
    /// The rest of an HTTP response, which ends with an empty line.
    Response { is_line_empty: bool },
    /// The rest of a frame's header.
    Header {
        bytes: [u8; MAX_HEADER],
        count: usize,
    },
    /// The rest of a frame's payload.
    Payload {
        left: u64,
        is_data: bool,
        is_final: bool,
    },
    /// Nothing that the library will read.
    Nothing,
}

impl Expected {
    const FRAME: Self = Self::Header {
        bytes: [0; MAX_HEADER],
        count: 0,
    };
}

impl FrameTracker {
    /// Expects the response to a client's handshake.
    pub(super) fn client() -> Self {
        Self::new(Expected::Response {
            is_line_empty: false,
        })
    }

    /// Expects a frame.
    pub(super) fn server() -> Self {
        Self::new(Expected::FRAME)
    }

    fn new(expected: Expected) -> Self {
        Self {
            expected,
            is_fragmented: false,
            unfinished: 0,
            payload: 0,
            largest: 0,
        }
    }

    /// The bytes of the message that is not complete.
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Whether the last byte has ended a message.
    pub(super) fn is_between_messages(&self) -> bool {
        self.unfinished == 0 && matches!(self.expected, Expected::Header { .. })
    }

    /// The payload size of the largest frame since the last call, in bytes.
    pub(super) fn take_largest(&mut self) -> usize {
        std::mem::take(&mut self.largest)
    }

    /// Follows the next bytes.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = match &mut self.expected {
                Expected::Response { .. } => self.follow_response(bytes),
                Expected::Header { .. } => self.follow_header(bytes),
                Expected::Payload { left, .. } => {
                    let count = usize::try_from(*left)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len());
                    *left -= count as u64;
                    self.unfinished = self.unfinished.saturating_add(count);
                    self.end_frame();
                    count
                }
                Expected::Nothing => {
                    self.unfinished = self.unfinished.saturating_add(bytes.len());
                    bytes.len()
                }
            };
            bytes = &bytes[count..];
        }
    }

    /// Returns how many of the bytes belong to the response.
    fn follow_response(&mut self, bytes: &[u8]) -> usize {
        let Expected::Response { is_line_empty } = &mut self.expected else {
            return 0;
        };
        for (place, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if *is_line_empty => {
                    self.expected = Expected::FRAME;
                    return place + 1;
                }
                b'\n' => *is_line_empty = true,
                b'\r' => {}
                _ => *is_line_empty = false,
            }
        }
        bytes.len()
    }

    /// Returns how many of the bytes belong to the header.
    fn follow_header(&mut self, bytes: &[u8]) -> usize {
        let Expected::Header {
            bytes: header,
            count,
        } = &mut self.expected
        else {
            return 0;
        };
        let before = *count;
        let added = bytes.len().min(MAX_HEADER - before);
        header[before..before + added].copy_from_slice(&bytes[..added]);
        let mut cursor = Cursor::new(&header[..before + added]);
        match FrameHeader::parse(&mut cursor) {
            Ok(None) => {
                *count += added;
                self.unfinished += added;
                added
            }
            Ok(Some((header, left))) => {
                let size = usize::try_from(cursor.position()).unwrap_or(MAX_HEADER);
                self.unfinished += size - before;
                let is_data = matches!(header.opcode, OpCode::Data(_));
                self.is_fragmented |= is_data && !header.is_final
                    || matches!(header.opcode, OpCode::Data(Data::Continue));
                self.payload = usize::try_from(left).unwrap_or(usize::MAX);
                self.expected = Expected::Payload {
                    left,
                    is_data,
                    is_final: header.is_final,
                };
                self.end_frame();
                size - before
            }
            Err(_) => {
                self.expected = Expected::Nothing;
                0
            }
        }
    }

    /// Expects a new frame once the payload is complete.
    fn end_frame(&mut self) {
        let Expected::Payload {
            left: 0,
            is_data,
            is_final,
        } = self.expected
        else {
            return;
        };
        self.largest = self.largest.max(self.payload);
        self.is_fragmented &= !(is_data && is_final);
        if !self.is_fragmented {
            self.unfinished = 0;
        }
        self.expected = Expected::FRAME;
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;

    use super::*;

    fn bytes(size: usize, code: OpCode, is_final: bool, is_masked: bool) -> Vec<u8> {
        let header = FrameHeader {
            is_final,
            opcode: code,
            mask: is_masked.then_some([1, 2, 3, 4]),
            ..FrameHeader::default()
        };
        let mut bytes = Vec::new();
        header.format(size as u64, &mut bytes).unwrap();
        bytes.resize(bytes.len() + size, 7);
        bytes
    }

    /// The messages of a stream, and where each of them ends.
    fn messages(is_masked: bool) -> (Vec<u8>, Vec<usize>) {
        let (binary, more) = (OpCode::Data(Data::Binary), OpCode::Data(Data::Continue));
        let ping = OpCode::Control(Control::Ping);
        let messages: [&[(usize, OpCode, bool)]; 8] = [
            &[(0, binary, true)],
            &[(1, binary, true)],
            &[(125, binary, true)],
            &[(126, binary, true)],
            &[(70_000, binary, true)],
            &[(9, ping, true)],
            &[
                (3, binary, false),
                (0, more, false),
                (2, ping, true),
                (300, more, true),
            ],
            &[(0, binary, false), (0, more, true)],
        ];
        let (mut stream, mut ends) = (Vec::new(), Vec::new());
        for message in messages {
            for (size, code, is_final) in message {
                stream.extend(bytes(*size, *code, *is_final, is_masked));
            }
            ends.push(stream.len());
        }
        (stream, ends)
    }

    #[test]
    fn the_end_of_each_message_is_found_however_the_bytes_arrive() {
        for (is_masked, step) in [(true, 1), (false, 1), (true, 7), (false, 64), (true, 4096)] {
            let (stream, ends) = messages(is_masked);
            let mut tracker = FrameTracker::server();
            let mut at = 0;
            for chunk in stream.chunks(step) {
                tracker.follow(chunk);
                at += chunk.len();
                let last = ends.iter().rev().find(|end| **end <= at).unwrap_or(&0);
                assert_eq!(
                    tracker.unfinished(),
                    at - last,
                    "at {at} in steps of {step}"
                );
                assert_eq!(tracker.is_between_messages(), at == *last);
            }
            assert_eq!(tracker.take_largest(), 70_000);
            assert_eq!(tracker.take_largest(), 0);
        }
    }

    #[test]
    fn a_response_belongs_to_no_message() {
        for response in [
            "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\n\r\n",
            "HTTP/1.1 101 OK\nUpgrade: websocket\n\n",
        ] {
            for step in [1, 3, 1000] {
                let mut tracker = FrameTracker::client();
                let mut stream = response.as_bytes().to_vec();
                for chunk in stream.chunks(step) {
                    assert!(!tracker.is_between_messages());
                    tracker.follow(chunk);
                }
                assert!(tracker.is_between_messages());
                stream.extend(bytes(10, OpCode::Data(Data::Binary), true, false));
                stream.push(0x82);
                let mut tracker = FrameTracker::client();
                stream.chunks(step).for_each(|chunk| tracker.follow(chunk));
                assert_eq!(tracker.unfinished(), 1);
            }
        }
    }

    #[test]
    fn after_a_header_that_is_no_header_all_bytes_are_unfinished() {
        let mut tracker = FrameTracker::server();
        tracker.follow(&[0x8F, 0, 1, 2]);
        assert_eq!(tracker.unfinished(), 4);
        tracker.follow(&bytes(5, OpCode::Data(Data::Binary), true, true));
        assert!(!tracker.is_between_messages());
    }
}
