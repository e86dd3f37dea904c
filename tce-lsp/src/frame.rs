//! Messages as bytes: a header with `Content-Length`, and JSON.

use std::io::{self, BufRead, Read};

use lsp_server::Message;

/// The largest message that is read, in bytes. A file is at most 4 MiB, and
/// JSON makes six bytes of some.
const MAX_MESSAGE_BYTES: u64 = 64 << 20;

/// The longest line of a header, in bytes.
const MAX_HEADER_BYTES: u64 = 4096;

/// What came from the client.
#[derive(Debug)]
pub(crate) enum Frame {
    /// A message.
    Message(Message),
    /// Something that is none, and why. The next one can be read all the same.
    Malformed(String),
}

/// Reads one frame; `None` where the client has hung up.
///
/// # Errors
/// The header makes no sense, so that nobody knows where the next frame
/// begins; or the input fails.
pub(crate) fn read(input: &mut impl BufRead) -> io::Result<Option<Frame>> {
    let Some(length) = content_length(input)? else {
        return Ok(None);
    };
    if length > MAX_MESSAGE_BYTES {
        io::copy(&mut input.take(length), &mut io::sink())?;
        let why = format!("a message of {length} bytes is larger than {MAX_MESSAGE_BYTES}");
        return Ok(Some(Frame::Malformed(why)));
    }
    // Grows as bytes come: what a header promises takes no memory.
    let mut bytes = Vec::new();
    input.take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        return Ok(None);
    }
    Ok(Some(match serde_json::from_slice(&bytes) {
        Ok(message) => Frame::Message(message),
        Err(error) => Frame::Malformed(format!("this is no message: {error}")),
    }))
}

/// Reads a header; `None` where the input ends instead.
fn content_length(input: &mut impl BufRead) -> io::Result<Option<u64>> {
    let mut length = None;
    loop {
        let mut line = Vec::new();
        input.take(MAX_HEADER_BYTES).read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return if line.len() as u64 == MAX_HEADER_BYTES {
                Err(invalid("a line of the header is too long"))
            } else {
                Ok(None)
            };
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            let missing = || invalid("the header has no Content-Length");
            return length.ok_or_else(missing).map(Some);
        }
        if let Some((name, value)) = text.split_once(':')
            && name.eq_ignore_ascii_case("Content-Length")
        {
            let number = value.trim().parse();
            length = Some(number.map_err(|_| invalid("the Content-Length is no number"))?);
        }
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::{Frame, read};

    /// The frames in some bytes, up to the end or an error.
    fn frames(mut bytes: &[u8]) -> (Vec<Frame>, bool) {
        let mut frames = Vec::new();
        loop {
            match read(&mut bytes) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return (frames, true),
                Err(_) => return (frames, false),
            }
        }
    }

    #[test]
    fn what_is_no_message_does_not_hide_the_next_one() {
        let fine = br#"{"jsonrpc":"2.0","method":"exit"}"#;
        let mut bytes = b"Content-Length: 3\r\n\r\n{x}content-type: a\r\n".to_vec();
        bytes.extend(format!("content-length:{}\r\n\r\n", fine.len()).bytes());
        bytes.extend(fine);
        let (frames, ended) = frames(&bytes);
        assert!(matches!(
            frames[..],
            [Frame::Malformed(_), Frame::Message(_)]
        ));
        assert!(ended);
    }

    #[test]
    fn a_promise_of_bytes_takes_no_memory() {
        let (frames_of, ended) = frames(b"Content-Length: 60000000\r\n\r\n{}");
        assert!(frames_of.is_empty() && ended);
        let (frames_of, _) = frames(b"Content-Length: 18446744073709551615\r\n\r\n{}");
        assert!(matches!(frames_of[..], [Frame::Malformed(_)]));
    }

    #[test]
    fn a_header_without_sense_is_an_error() {
        for header in ["\r\n", "Content-Length: x\r\n\r\n", &"x".repeat(5000)] {
            let (frames, ended) = frames(header.as_bytes());
            assert!(frames.is_empty() && !ended, "{header:.20}");
        }
    }
}
