//! The base protocol: a header with `Content-Length`, then JSON.

use std::io::{self, BufRead, Read};

use lsp_server::Message;

/// The largest message that is read, in bytes. A file is at most 4 MiB, and JSON
/// escapes may make six bytes of one.
const MAX_MESSAGE_BYTES: u64 = 64 << 20;

/// The longest line of a header, in bytes.
const MAX_HEADER_BYTES: u64 = 4096;

/// One frame from the client.
#[derive(Debug)]
pub(crate) enum ClientFrame {
    /// A message.
    Message(Message),
    /// A frame that is not a message, and why. The next frame can still be read.
    Malformed(String),
}

/// Reads one frame; `None` at the end of the input.
///
/// # Errors
/// The input fails, or the header is malformed, so that the start of the next
/// frame is unknown.
pub(crate) fn read(input: &mut impl BufRead) -> io::Result<Option<ClientFrame>> {
    let Some(length) = content_length(input)? else {
        return Ok(None);
    };
    if length > MAX_MESSAGE_BYTES {
        io::copy(&mut input.take(length), &mut io::sink())?;
        let why =
            format!("a message of {length} bytes exceeds the limit of {MAX_MESSAGE_BYTES} bytes");
        return Ok(Some(ClientFrame::Malformed(why)));
    }
    // Grows with the received bytes: the announced length alone takes no memory.
    let mut bytes = Vec::new();
    input.take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        return Ok(None);
    }
    Ok(Some(match serde_json::from_slice(&bytes) {
        Ok(message) => ClientFrame::Message(message),
        Err(error) => ClientFrame::Malformed(format!("invalid message: {error}")),
    }))
}

/// Reads a header and returns the content length; `None` if the input ends.
fn content_length(input: &mut impl BufRead) -> io::Result<Option<u64>> {
    let mut length = None;
    loop {
        let mut line = Vec::new();
        input.take(MAX_HEADER_BYTES).read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return if line.len() as u64 == MAX_HEADER_BYTES {
                Err(invalid("a header line is too long"))
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
            length = Some(number.map_err(|_| invalid("the Content-Length is not a number"))?);
        }
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::{ClientFrame, read};

    /// The frames in some bytes, up to the end or an error.
    fn frames(mut bytes: &[u8]) -> (Vec<ClientFrame>, bool) {
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
    fn an_invalid_message_does_not_hide_the_next_one() {
        let fine = br#"{"jsonrpc":"2.0","method":"exit"}"#;
        let mut bytes = b"Content-Length: 3\r\n\r\n{x}content-type: a\r\n".to_vec();
        bytes.extend(format!("content-length:{}\r\n\r\n", fine.len()).bytes());
        bytes.extend(fine);
        let (frames, ended) = frames(&bytes);
        assert!(matches!(
            frames[..],
            [ClientFrame::Malformed(_), ClientFrame::Message(_)]
        ));
        assert!(ended);
    }

    #[test]
    fn an_announced_length_takes_no_memory() {
        let (frames_of, ended) = frames(b"Content-Length: 60000000\r\n\r\n{}");
        assert!(frames_of.is_empty() && ended);
        let (frames_of, _) = frames(b"Content-Length: 18446744073709551615\r\n\r\n{}");
        assert!(matches!(frames_of[..], [ClientFrame::Malformed(_)]));
    }

    #[test]
    fn a_malformed_header_is_an_error() {
        for header in ["\r\n", "Content-Length: x\r\n\r\n", &"x".repeat(5000)] {
            let (frames, ended) = frames(header.as_bytes());
            assert!(frames.is_empty() && !ended, "{header:.20}");
        }
    }
}
