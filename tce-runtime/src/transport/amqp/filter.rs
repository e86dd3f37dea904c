//! Checks the frames of a broker before lapin reads them.
//!
//! lapin does not limit the size of a message, attributes a returned message to
//! any confirmation, and loses the connection over a property that is not UTF-8,
//! which every publisher may set.

use std::{collections::HashMap, sync::Arc};

use bytes::{BufMut, BytesMut};

use super::control::StreamControl;

/// The largest frame, in bytes. lapin allocates 64 times as much for each
/// connection.
pub(super) const FRAME_MAX: u32 = 32 << 10;
/// The largest message, in bytes: RabbitMQ's default `max_message_size`.
const MESSAGE_MAX: u64 = 128 << 20;

/// Type, channel, size and end byte of a frame.
const FRAME_OVERHEAD: usize = 8;
const FRAME_END: u8 = 0xCE;
const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;

/// The class and the number of `connection.start`.
const CONNECTION_START: [u8; 4] = [0, 10, 0, 10];
const CONNECTION_CLOSE: (u16, u16) = (10, 50);
const CONNECTION_BLOCKED: (u16, u16) = (10, 60);
const CONNECTION_UNBLOCKED: (u16, u16) = (10, 61);
const BASIC_RETURN: (u16, u16) = (60, 50);
const BASIC_DELIVER: (u16, u16) = (60, 60);

/// What a broker sends that AMQP does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the broker breaks the protocol: {0}")]
pub(super) struct Violation(&'static str);

/// The content that a channel receives.
#[derive(Debug, Clone, Copy)]
enum Content {
    /// A delivery whose header follows.
    Delivery,
    /// A returned message whose header follows.
    Returned,
    /// A message of which `left` bytes of the body follow.
    Body {
        is_returned: bool,
        size: u64,
        left: u64,
    },
}

/// Checks and rewrites the frames of a broker.
///
/// It ends the connection at a frame or message that is too large, drops
/// returned messages after it has recorded their numbers, and removes the
/// properties and routing keys that nothing here uses.
#[derive(Debug)]
pub(super) struct FrameFilter {
    has_begun: bool,
    /// By channel that receives content.
    content: HashMap<u16, Content>,
    control: Arc<StreamControl>,
}

impl FrameFilter {
    pub(super) fn new(control: Arc<StreamControl>) -> Self {
        Self {
            has_begun: false,
            content: HashMap::new(),
            control,
        }
    }

    /// Moves the whole frames of `received` to `passed`.
    pub(super) fn pass(
        &mut self,
        received: &mut BytesMut,
        passed: &mut BytesMut,
    ) -> Result<(), Violation> {
        loop {
            let Some(&[kind, c1, c2, s1, s2, s3, s4]) = received.first_chunk() else {
                return Ok(());
            };
            if !self.has_begun && received.starts_with(b"AMQP") {
                // A broker of another version answers with that, in 8 bytes
                // that are no frame. lapin reports the version.
                passed.extend_from_slice(&received.split());
                return Ok(());
            }
            let size = u32::from_be_bytes([s1, s2, s3, s4]);
            if size as usize > FRAME_MAX as usize - FRAME_OVERHEAD {
                return Err(Violation("a frame is larger than was agreed on"));
            }
            let size = size as usize + FRAME_OVERHEAD;
            if received.len() < size {
                return Ok(());
            }
            let is_first = !std::mem::replace(&mut self.has_begun, true);
            let frame = received.split_to(size);
            if frame[size - 1] != FRAME_END {
                return Err(Violation("a frame does not end where it says"));
            }
            let channel = u16::from_be_bytes([c1, c2]);
            let payload = Octets(&frame[FRAME_OVERHEAD - 1..size - 1]);
            let is_rewritten = match kind {
                METHOD | HEADER | BODY | HEARTBEAT
                    if is_first && !payload.0.starts_with(&CONNECTION_START) =>
                {
                    return Err(Violation("it does not begin with connection.start"));
                }
                METHOD => self.method(channel, payload, passed)?,
                HEADER => self.header(channel, payload, passed)?,
                BODY => self.body(channel, payload)?,
                HEARTBEAT => false,
                _ => return Err(Violation("a frame has an unknown type")),
            };
            if !is_rewritten {
                passed.extend_from_slice(&frame);
            }
        }
    }

    /// Returns whether the frame was rewritten or dropped, as do the next two.
    fn method(
        &mut self,
        channel: u16,
        mut payload: Octets<'_>,
        passed: &mut BytesMut,
    ) -> Result<bool, Violation> {
        match (payload.u16()?, payload.u16()?) {
            CONNECTION_CLOSE => {
                let _code = payload.u16()?;
                let reason = String::from_utf8_lossy(payload.short_string()?);
                tracing::warn!("the broker closes the connection: {reason}");
            }
            CONNECTION_BLOCKED => {
                let reason = String::from_utf8_lossy(payload.short_string()?);
                tracing::warn!("the broker accepts no messages: {reason}");
                self.control.set_blocked(Some(reason.into_owned()));
            }
            CONNECTION_UNBLOCKED => {
                tracing::info!("the broker accepts messages again");
                self.control.set_blocked(None);
            }
            BASIC_RETURN => {
                self.content.insert(channel, Content::Returned);
                return Ok(true);
            }
            BASIC_DELIVER => {
                self.content.insert(channel, Content::Delivery);
                let tag = payload.short_string()?;
                // The number of the delivery, and whether it is redelivered.
                let rest = payload.take(9)?;
                put_frame(passed, METHOD, channel, |out| {
                    out.put_u16(BASIC_DELIVER.0);
                    out.put_u16(BASIC_DELIVER.1);
                    put_short_string(out, tag);
                    out.extend_from_slice(rest);
                    // Exchange and routing key, which publishers choose.
                    out.extend_from_slice(&[0, 0]);
                });
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    fn header(
        &mut self,
        channel: u16,
        mut payload: Octets<'_>,
        passed: &mut BytesMut,
    ) -> Result<bool, Violation> {
        let class = payload.u16()?;
        let _weight = payload.u16()?;
        let body_size = payload.u64()?;
        if body_size > MESSAGE_MAX {
            return Err(Violation("a message has more than 128 MiB"));
        }
        let properties = MessageProperties::parse(payload)?;
        let is_returned = match self.content.remove(&channel) {
            Some(Content::Returned) => true,
            // Without a method before it: lapin ends the connection.
            Some(Content::Delivery) | None => false,
            Some(Content::Body { .. }) => return Err(Violation("a message ends early")),
        };
        // No publisher waits for a message without a number.
        if is_returned
            && let Some(number) = properties.number
            && !self.control.add_returned(channel, number)
        {
            return Err(Violation("it returns more messages than were published"));
        }
        if body_size > 0 {
            let body = Content::Body {
                is_returned,
                size: body_size,
                left: body_size,
            };
            self.content.insert(channel, body);
        } else if !is_returned {
            self.control.arrived(channel, 0);
        }
        if is_returned {
            return Ok(true);
        }
        put_frame(passed, HEADER, channel, |out| {
            out.put_u16(class);
            out.put_u16(0);
            out.put_u64(body_size);
            out.put_u16(properties.flags);
            out.extend_from_slice(&properties.fields);
        });
        Ok(true)
    }

    fn body(&mut self, channel: u16, payload: Octets<'_>) -> Result<bool, Violation> {
        let Some(Content::Body {
            is_returned,
            size,
            left,
        }) = self.content.get_mut(&channel)
        else {
            // Without a header before it: lapin ends the connection.
            return Ok(false);
        };
        let Some(rest) = left.checked_sub(payload.0.len() as u64) else {
            return Err(Violation("a message is larger than its header says"));
        };
        *left = rest;
        let (is_returned, size) = (*is_returned, *size);
        if rest == 0 {
            self.content.remove(&channel);
            if !is_returned {
                self.control.arrived(channel, size);
            }
        }
        Ok(is_returned)
    }
}

/// The properties of a message that are used here.
#[derive(Debug, Default, PartialEq, Eq)]
struct MessageProperties {
    flags: u16,
    fields: Vec<u8>,
    /// The `message-id`, if it is a number.
    number: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
enum PropertyType {
    ShortString,
    Table,
    Octet,
    Timestamp,
}

const HEADERS: u16 = 1 << 13;
/// The header with the number of deliveries before this one, of a quorum queue.
pub(super) const DELIVERY_COUNT: &str = "x-delivery-count";
/// The header with the number of deliveries before a copy, of a classic queue.
pub(super) const DELIVERIES: &str = "x-tce-deliveries";
/// The headers that are used: how often the message was delivered. Each is a number.
const COUNTS: [&str; 2] = [DELIVERY_COUNT, DELIVERIES];
const MESSAGE_ID: u16 = 1 << 7;
/// Whether another word of flags follows.
const MORE_FLAGS: u16 = 1;

/// AMQP's properties in the order of their fields (section 1.8 of its
/// specification): flag, type, whether it is used.
const PROPERTIES: [(u16, PropertyType, bool); 14] = {
    use PropertyType::{Octet, ShortString, Table, Timestamp};
    [
        (1 << 15, ShortString, true),  // content-type
        (1 << 14, ShortString, false), // content-encoding
        (HEADERS, Table, false),       // headers: only COUNTS
        (1 << 12, Octet, true),        // delivery-mode
        (1 << 11, Octet, false),       // priority
        (1 << 10, ShortString, false), // correlation-id
        (1 << 9, ShortString, false),  // reply-to
        (1 << 8, ShortString, true),   // expiration
        (MESSAGE_ID, ShortString, false),
        (1 << 6, Timestamp, false),
        (1 << 5, ShortString, false), // type
        (1 << 4, ShortString, true),  // user-id
        (1 << 3, ShortString, false), // app-id
        (1 << 2, ShortString, false), // cluster-id
    ]
};

impl MessageProperties {
    fn parse(mut payload: Octets<'_>) -> Result<Self, Violation> {
        let flags = payload.u16()?;
        let mut more = flags;
        while more & MORE_FLAGS != 0 {
            more = payload.u16()?;
        }
        let mut properties = Self::default();
        for (flag, kind, is_used) in PROPERTIES {
            if flags & flag == 0 {
                continue;
            }
            let before = payload.0;
            let value = match kind {
                PropertyType::ShortString => payload.short_string()?,
                PropertyType::Table => {
                    let size = payload.u32()?;
                    payload.take(size as usize)?
                }
                PropertyType::Octet => payload.take(1)?,
                PropertyType::Timestamp => payload.take(8)?,
            };
            if flag == HEADERS {
                properties.put_counts(value);
                continue;
            }
            let text = str::from_utf8(value);
            if flag == MESSAGE_ID {
                properties.number = text.ok().and_then(|text| text.parse().ok());
            }
            if is_used && (text.is_ok() || !matches!(kind, PropertyType::ShortString)) {
                properties.flags |= flag;
                let field = &before[..before.len() - payload.0.len()];
                properties.fields.extend_from_slice(field);
            }
        }
        Ok(properties)
    }

    /// Adds the headers [`COUNTS`] of a table; the rest of it is dropped.
    fn put_counts(&mut self, table: &[u8]) {
        let mut counts = Vec::new();
        let mut table = Octets(table);
        while let Some((name, number)) = table_entry(&mut table) {
            if let (Some(number), true) = (number, COUNTS.iter().any(|it| it.as_bytes() == name)) {
                counts.extend(u8::try_from(name.len()));
                counts.extend_from_slice(name);
                counts.push(b'l');
                counts.extend_from_slice(&number.to_be_bytes());
            }
        }
        if let (Ok(size), false) = (u32::try_from(counts.len()), counts.is_empty()) {
            self.flags |= HEADERS;
            self.fields.extend_from_slice(&size.to_be_bytes());
            self.fields.append(&mut counts);
        }
    }
}

/// The next entry of a table: its name, and its value if that is an integer. `None`
/// at its end, and where it is malformed.
fn table_entry<'a>(table: &mut Octets<'a>) -> Option<(&'a [u8], Option<i64>)> {
    let name = table.short_string().ok()?;
    let [kind] = table.array().ok()?;
    // As RabbitMQ encodes them.
    let number = match kind {
        b'b' => Some(i8::from_be_bytes(table.array().ok()?).into()),
        b'B' => Some(u8::from_be_bytes(table.array().ok()?).into()),
        b's' => Some(i16::from_be_bytes(table.array().ok()?).into()),
        b'u' => Some(table.u16().ok()?.into()),
        b'I' => Some(i32::from_be_bytes(table.array().ok()?).into()),
        b'i' => Some(table.u32().ok()?.into()),
        b'l' | b'L' => Some(i64::from_be_bytes(table.array().ok()?)),
        b't' => table.take(1).ok().map(|_| None)?,
        b'f' => table.take(4).ok().map(|_| None)?,
        b'D' => table.take(5).ok().map(|_| None)?,
        b'd' | b'T' => table.take(8).ok().map(|_| None)?,
        b'V' => None,
        b'S' | b'x' | b'F' | b'A' => {
            let size = usize::try_from(table.u32().ok()?).ok()?;
            table.take(size).ok().map(|_| None)?
        }
        _ => return None,
    };
    Some((name, number))
}

/// A payload that is read from its front.
#[derive(Debug, Clone, Copy)]
struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Violation> {
        let split = self.0.split_at_checked(count);
        let (taken, rest) = split.ok_or(Violation("a frame is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Violation> {
        let split = self.0.split_first_chunk();
        let (taken, rest) = split.ok_or(Violation("a frame is cut off"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, Violation> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Violation> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Violation> {
        self.array().map(u64::from_be_bytes)
    }

    fn short_string(&mut self) -> Result<&'a [u8], Violation> {
        let [size] = self.array()?;
        self.take(size.into())
    }
}

/// Appends a frame. Its payload is no larger than one that was received.
fn put_frame(out: &mut BytesMut, kind: u8, channel: u16, payload: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    out.put_u16(channel);
    let at = out.len();
    out.put_u32(0);
    payload(out);
    let size = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&size.to_be_bytes());
    out.put_u8(FRAME_END);
}

/// Appends a text of at most 255 bytes.
fn put_short_string(out: &mut BytesMut, text: &[u8]) {
    out.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text);
}
