//! Several messages in one MQ message.
//!
//! Most of a broker's cost is per message. So an endpoint with `batch="1"` sends
//! all waiting messages as one, with the content type [`CONTENT_TYPE`]. Its body
//! contains, for each message:
//!
//! | size | field |
//! | --- | --- |
//! | 8 | Unix time in milliseconds after which it is dropped unprocessed; 0 for never |
//! | 4 | length |
//! | n | the message |
//!
//! Integers are big-endian. Every reader of this runtime accepts single messages
//! and batches; programs that read single messages only are safe unless an
//! endpoint asks for batches.

use std::time::Duration;

use crate::in_flight::{millis, unix_millis};

/// The AMQP content type of a batch.
#[cfg_attr(
    not(feature = "amqp"),
    allow(dead_code, reason = "the broker within the process needs none")
)]
pub(crate) const CONTENT_TYPE: &str = "application/vnd.tce.batch";

const ENTRY_HEADER_SIZE: usize = 12;

/// Appends a message. [`Limits`](crate::wire::Limits) exclude one that exceeds
/// its length field; it would be left out.
pub(crate) fn append(body: &mut Vec<u8>, message: &[u8], expires_in: Option<Duration>) {
    let expires_at = expires_in.map(|left| unix_millis().saturating_add(millis(left)));
    append_at(body, message, expires_at);
}

/// As [`append`], with the Unix time in milliseconds at which the message expires.
pub(crate) fn append_at(body: &mut Vec<u8>, message: &[u8], expires_at: Option<u64>) {
    let Ok(len) = u32::try_from(message.len()) else {
        return;
    };
    let expires_at = expires_at.unwrap_or(0);
    body.extend_from_slice(&expires_at.to_be_bytes());
    body.extend_from_slice(&len.to_be_bytes());
    body.extend_from_slice(message);
}

/// A message of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) message: &'a [u8],
    /// When it expires, as Unix time in milliseconds.
    pub(crate) expires_at: Option<u64>,
}

/// The messages of a batch. The whole batch is checked first, so that no message
/// of a malformed one is executed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch<'a> {
    body: &'a [u8],
    count: usize,
}

impl<'a> Batch<'a> {
    /// Returns `None` if the body is not a batch. No entry is empty, because no
    /// message is.
    pub(crate) fn parse(body: &'a [u8]) -> Option<Self> {
        let (mut rest, mut count) = (body, 0);
        while !rest.is_empty() {
            (_, rest) = entry(rest)?;
            count += 1;
        }
        (count > 0).then_some(Self { body, count })
    }

    /// The number of messages: at least 1.
    pub(crate) fn count(self) -> usize {
        self.count
    }

    pub(crate) fn entries(self) -> impl Iterator<Item = Entry<'a>> {
        let mut rest = self.body;
        std::iter::from_fn(move || {
            let (entry, behind) = entry(rest)?;
            rest = behind;
            Some(entry)
        })
    }
}

fn entry(body: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (header, behind) = body.split_first_chunk::<ENTRY_HEADER_SIZE>()?;
    let (expires_at, len) = header.split_first_chunk::<8>()?;
    let expires_at = u64::from_be_bytes(*expires_at);
    let len = usize::try_from(u32::from_be_bytes(*len.first_chunk()?)).ok()?;
    let (message, behind) = behind.split_at_checked(len)?;
    let entry = Entry {
        message,
        expires_at: (expires_at != 0).then_some(expires_at),
    };
    (len > 0).then_some((entry, behind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(body: &[u8]) -> Option<Vec<Entry<'_>>> {
        let batch = Batch::parse(body)?;
        let entries: Vec<_> = batch.entries().collect();
        assert_eq!(entries.len(), batch.count());
        Some(entries)
    }

    proptest! {
        #[test]
        fn appended_messages_are_read_back(
            messages in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 1..50), prop::option::of(1_u64..100_000)),
                1..20,
            ),
        ) {
            let mut body = Vec::new();
            let before = unix_millis();
            for (message, left) in &messages {
                append(&mut body, message, left.map(Duration::from_millis));
            }
            let after = unix_millis();
            let entries = entries(&body).expect("a batch");
            prop_assert_eq!(entries.len(), messages.len());
            for (entry, (message, left)) in entries.iter().zip(&messages) {
                prop_assert_eq!(entry.message, &message[..]);
                prop_assert_eq!(entry.expires_at.is_some(), left.is_some());
                if let (Some(at), Some(left)) = (entry.expires_at, left) {
                    prop_assert!((before + left..=after + left).contains(&at));
                }
            }
        }

        #[test]
        fn any_bytes_are_a_batch_or_not(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let size = |entries: &[Entry<'_>]| -> usize {
                entries.iter().map(|entry| ENTRY_HEADER_SIZE + entry.message.len()).sum()
            };
            prop_assert!(entries(&body).is_none_or(|entries| size(&entries) == body.len()));
        }
    }

    #[test]
    fn a_truncated_body_is_not_a_batch() {
        let mut body = Vec::new();
        append(&mut body, b"message", None);
        for end in 0..body.len() {
            assert_eq!(entries(&body[..end]), None, "{end}");
        }
    }

    #[test]
    fn empty_messages_are_not_a_batch() {
        assert_eq!(entries(&[0; ENTRY_HEADER_SIZE * 1000]), None);
    }
}
