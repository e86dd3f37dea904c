//! Several messages in one MQ message.
//!
//! A broker's cost is per message. So an endpoint with `batch="1"` sends what
//! has gathered as one, told apart by the content type [`CONTENT_TYPE`]; its
//! body is, for each message:
//!
//! | size | field |
//! | --- | --- |
//! | 8 | Unix time in milliseconds after which it is dropped unprocessed; 0 for never |
//! | 4 | length |
//! | n | the message |
//!
//! all big-endian. Readers of ours take both forms always; programs that know
//! the bare form alone never see another unless their endpoint asks for it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The AMQP content type of a batch.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.tce.batch";

const ENTRY_HEADER_SIZE: usize = 12;

/// Milliseconds since 1970, in 64 bits.
pub(crate) fn unix_millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Appends a message; false where it is too long for its length field.
pub(crate) fn append(body: &mut Vec<u8>, message: &[u8], expires_in: Option<Duration>) -> bool {
    let Ok(len) = u32::try_from(message.len()) else {
        return false;
    };
    let expires_at = expires_in.map_or(0, |left| {
        unix_millis().saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    });
    body.extend_from_slice(&expires_at.to_be_bytes());
    body.extend_from_slice(&len.to_be_bytes());
    body.extend_from_slice(message);
    true
}

/// A message of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) message: &'a [u8],
    /// When it is worthless, in Unix milliseconds.
    pub(crate) expires_at: Option<u64>,
}

/// The messages of a batch; nothing where the body is cut off or otherwise no
/// batch, so that none of it is executed.
pub(crate) fn entries(body: &[u8]) -> Option<Vec<Entry<'_>>> {
    let mut entries = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (header, behind) = rest.split_first_chunk::<ENTRY_HEADER_SIZE>()?;
        let (expires_at, len) = header.split_first_chunk::<8>()?;
        let expires_at = u64::from_be_bytes(*expires_at);
        let len = usize::try_from(u32::from_be_bytes(*len.first_chunk()?)).ok()?;
        let (message, behind) = behind.split_at_checked(len)?;
        entries.push(Entry {
            message,
            expires_at: (expires_at != 0).then_some(expires_at),
        });
        rest = behind;
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_comes_out() {
        let mut body = Vec::new();
        assert!(append(&mut body, b"one", None));
        assert!(append(&mut body, b"", Some(Duration::from_secs(5))));
        let entries = entries(&body).unwrap();
        assert_eq!(
            entries[0],
            Entry {
                message: b"one",
                expires_at: None
            }
        );
        let left = entries[1].expires_at.unwrap() - unix_millis();
        assert!((4_000..=5_000).contains(&left), "{left}");
    }

    #[test]
    fn a_body_that_is_cut_off_is_no_batch() {
        let mut body = Vec::new();
        append(&mut body, b"message", None);
        for end in 1..body.len() {
            assert_eq!(entries(&body[..end]), None, "{end}");
        }
    }
}
