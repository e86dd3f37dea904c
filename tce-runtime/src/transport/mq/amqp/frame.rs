//! Frames (AMQP 0-9-1, section 4.2.3), and messages in them (section 4.2.6).

use std::time::Duration;

use super::{
    octets::{Malformed, Octets, TooLong, put_counted, put_longlong, put_short, put_shortstr},
    request::Request,
};
use crate::transport::mq::{Publication, batch};

/// What a connection begins with.
pub(super) const GREETING: &[u8] = b"AMQP\x00\x00\x09\x01";

/// Type, channel and size before a frame's payload, and the octet after it.
const HEAD: usize = 7;
const END: u8 = 0xCE;
/// What of a frame is not payload.
pub(super) const OVERHEAD: usize = HEAD + 1;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;

const BASIC: u16 = 60;
const PUBLISH: u16 = 40;
const MANDATORY: u8 = 1;

/// AMQP's delivery modes.
const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;

/// The flags of a message's properties, in the order in which these stand.
const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const PRIORITY: u16 = 1 << 11;
const CORRELATION_ID: u16 = 1 << 10;
const REPLY_TO: u16 = 1 << 9;
const EXPIRATION: u16 = 1 << 8;
const MESSAGE_ID: u16 = 1 << 7;
/// RabbitMQ ends the channel of who asks for more milliseconds.
const LONGEST: u128 = u32::MAX as u128;
/// Says that more flags follow.
const MORE_FLAGS: u16 = 1;

/// One frame of a broker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) channel: u16,
    pub(super) content: Content<'a>,
}

/// What a frame carries.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content<'a> {
    Method(Octets<'a>),
    Header(Octets<'a>),
    Body(&'a [u8]),
    Heartbeat,
}

impl<'a> Frame<'a> {
    /// The first frame of `bytes` and its size, if all of it is there.
    pub(super) fn split(bytes: &'a [u8], max: usize) -> Result<Option<(Self, usize)>, Malformed> {
        let mut octets = Octets(bytes);
        let (Ok(kind), Ok(channel), Ok(size)) = (octets.octet(), octets.short(), octets.long())
        else {
            return Ok(None);
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > max.saturating_sub(OVERHEAD) {
            return Err(Malformed("a frame is larger than was agreed on"));
        }
        let (Ok(payload), Ok(end)) = (octets.take(size), octets.octet()) else {
            return Ok(None);
        };
        if end != END {
            return Err(Malformed("a frame does not end where it says"));
        }
        let content = match kind {
            METHOD => Content::Method(Octets(payload)),
            HEADER => Content::Header(Octets(payload)),
            BODY => Content::Body(payload),
            HEARTBEAT => Content::Heartbeat,
            _ => return Err(Malformed("a frame of an unknown type")),
        };
        Ok(Some((Self { channel, content }, OVERHEAD + size)))
    }
}

fn put_frame(
    out: &mut Vec<u8>,
    kind: u8,
    channel: u16,
    payload: impl FnOnce(&mut Vec<u8>) -> Result<(), TooLong>,
) -> Result<(), TooLong> {
    out.push(kind);
    put_short(out, channel);
    put_counted(out, payload)?;
    out.push(END);
    Ok(())
}

/// Appends a method; nothing where it does not fit.
pub(super) fn put_request(
    out: &mut Vec<u8>,
    channel: u16,
    request: &Request<'_>,
) -> Result<(), TooLong> {
    let start = out.len();
    let put = put_frame(out, METHOD, channel, |out| request.put(out));
    put.inspect_err(|_| out.truncate(start))
}

/// Appends the sign of life.
pub(super) fn put_heartbeat(out: &mut Vec<u8>) {
    out.extend_from_slice(&[HEARTBEAT, 0, 0, 0, 0, 0, 0, END]);
}

/// Where a message goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) exchange: &'a str,
    pub(super) key: &'a str,
    /// Whether it is an error that nobody gets it.
    pub(super) is_mandatory: bool,
}

/// Appends a message; nothing where a name does not fit. `max` is the size of a
/// frame, `number` what it is told by when it comes back.
pub(super) fn put_message(
    out: &mut Vec<u8>,
    channel: u16,
    max: usize,
    way: Way<'_>,
    publication: &Publication,
    number: Option<u64>,
) -> Result<(), TooLong> {
    let start = out.len();
    out.reserve(publication.body.len() + 128);
    let method = |out: &mut Vec<u8>| {
        put_short(out, BASIC);
        put_short(out, PUBLISH);
        put_short(out, 0);
        put_shortstr(out, way.exchange)?;
        put_shortstr(out, way.key)?;
        out.push(if way.is_mandatory { MANDATORY } else { 0 });
        Ok(())
    };
    let put = put_frame(out, METHOD, channel, method).and_then(|()| {
        put_frame(out, HEADER, channel, |out| {
            put_short(out, BASIC);
            put_short(out, 0);
            put_longlong(out, publication.body.len() as u64);
            Properties::of(publication, number).put(out)
        })
    });
    put.inspect_err(|_| out.truncate(start))?;
    for part in publication.body.chunks(max - OVERHEAD) {
        put_frame(out, BODY, channel, |out| {
            out.extend_from_slice(part);
            Ok(())
        })?;
    }
    Ok(())
}

/// What stands before a message's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) body_size: u64,
    pub(super) properties: Properties,
}

impl Header {
    pub(super) fn parse(mut octets: Octets<'_>) -> Result<Self, Malformed> {
        if octets.short()? != BASIC {
            return Err(Malformed("a message of an unknown class"));
        }
        let _weight = octets.short()?;
        Ok(Self {
            body_size: octets.longlong()?,
            properties: Properties::parse(octets)?,
        })
    }
}

/// What of a message's properties means something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Properties {
    pub(super) is_batch: bool,
    pub(super) is_persistent: bool,
    pub(super) expires_in: Option<Duration>,
    /// Its place among the messages of the channel that it was published on,
    /// from 1 on.
    pub(super) number: Option<u64>,
}

impl Properties {
    fn of(publication: &Publication, number: Option<u64>) -> Self {
        Self {
            number,
            is_batch: publication.is_batch,
            is_persistent: publication.is_persistent,
            expires_in: publication.expires_in,
        }
    }

    fn put(self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let mut flags = DELIVERY_MODE;
        if self.is_batch {
            flags |= CONTENT_TYPE;
        }
        if self.expires_in.is_some() {
            flags |= EXPIRATION;
        }
        if self.number.is_some() {
            flags |= MESSAGE_ID;
        }
        put_short(out, flags);
        if self.is_batch {
            put_shortstr(out, batch::CONTENT_TYPE)?;
        }
        out.push(if self.is_persistent {
            PERSISTENT
        } else {
            TRANSIENT
        });
        if let Some(left) = self.expires_in {
            put_shortstr(out, &left.as_millis().min(LONGEST).to_string())?;
        }
        match self.number {
            Some(number) => put_shortstr(out, &number.to_string()),
            None => Ok(()),
        }
    }

    fn parse(mut octets: Octets<'_>) -> Result<Self, Malformed> {
        let flags = octets.short()?;
        let mut more = flags;
        while more & MORE_FLAGS != 0 {
            more = octets.short()?;
        }
        let has = |flag| flags & flag != 0;
        let mut properties = Self {
            is_batch: has(CONTENT_TYPE) && octets.cut_text()? == batch::CONTENT_TYPE.as_bytes(),
            is_persistent: false,
            expires_in: None,
            number: None,
        };
        if has(CONTENT_ENCODING) {
            octets.cut_text()?;
        }
        if has(HEADERS) {
            octets.longstr()?;
        }
        properties.is_persistent = has(DELIVERY_MODE) && octets.octet()? == PERSISTENT;
        if has(PRIORITY) {
            octets.octet()?;
        }
        for flag in [CORRELATION_ID, REPLY_TO] {
            if has(flag) {
                octets.cut_text()?;
            }
        }
        if has(EXPIRATION) {
            properties.expires_in = number(octets.cut_text()?).map(Duration::from_millis);
        }
        if has(MESSAGE_ID) {
            properties.number = number(octets.cut_text()?);
        }
        Ok(properties)
    }
}

/// A number that is written as a text; others write there what they like.
fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
