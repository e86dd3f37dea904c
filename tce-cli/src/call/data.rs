//! `-d`: the arguments of several calls, as a stream of JSON values.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufRead, Cursor, Read},
    rc::Rc,
    str, thread,
};

use serde_json::{Deserializer, Value, error::Category};
use tokio::sync::mpsc;

/// The most bytes of a line. A line of that size holds the largest message that a server accepts
/// by default, whatever its form in JSON.
const MAX_LINE: u64 = 64 << 20;

/// The most values that are read ahead of the calls.
const READ_AHEAD: usize = 16;

/// A value with the line that it ends on, counted from 1.
pub(super) type NumberedValue = (usize, Value);

/// Where the data comes from: the text itself, `@FILE`, or standard input (`@-`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataSource<'a> {
    Text(&'a str),
    File(&'a str),
    Stdin,
}

impl<'a> DataSource<'a> {
    pub(super) fn new(data: &'a str) -> Self {
        match data.strip_prefix('@') {
            None => Self::Text(data),
            Some("-") => Self::Stdin,
            Some(file) => Self::File(file),
        }
    }

    /// The name of the source in messages.
    pub(super) fn name(self) -> &'a str {
        match self {
            Self::Text(_) => "the data",
            Self::File(file) => file,
            Self::Stdin => "standard input",
        }
    }

    /// The values, in their order. They are read by a thread, since standard input may pause: the
    /// connection is served meanwhile. The error says what is wrong and ends the stream.
    pub(super) fn read(self) -> io::Result<mpsc::Receiver<Result<NumberedValue, String>>> {
        let (sender, values) = mpsc::channel(READ_AHEAD);
        let name = self.name().to_owned();
        let input: Box<dyn BufRead + Send> = match self {
            Self::Text(text) => Box::new(Cursor::new(text.to_owned().into_bytes())),
            Self::File(file) => Box::new(io::BufReader::new(File::open(file)?)),
            Self::Stdin => Box::new(io::BufReader::new(io::stdin())),
        };
        // The process ends without waiting for this thread, which may be blocked in a read.
        thread::Builder::new().spawn(move || {
            for value in parse(input, &name) {
                if sender.blocking_send(value).is_err() {
                    return;
                }
            }
        })?;
        Ok(values)
    }
}

/// The JSON values of an input; a value may span several lines.
fn parse(input: impl BufRead, name: &str) -> impl Iterator<Item = Result<NumberedValue, String>> {
    let line = Rc::new(Cell::new(0));
    let lines = TextLines {
        input,
        line: Rc::clone(&line),
        buffer: Vec::new(),
        taken: 0,
    };
    let values = Deserializer::from_reader(lines).into_iter::<Value>();
    values.map(move |value| match value {
        Ok(value) => Ok((line.get(), value)),
        Err(error) if error.classify() == Category::Io => {
            Err(format!("can't read {name}: {}", io::Error::from(error)))
        }
        Err(error) => {
            // serde_json appends the place, which the message begins with.
            let place = format!(" at line {} column {}", error.line(), error.column());
            let text = error.to_string();
            let reason = text.strip_suffix(&place).unwrap_or(&text);
            Err(format!("line {}: {reason}", line.get()))
        }
    })
}

/// The bytes of an input, read and checked line by line, so that a value is available as soon as its
/// line is complete. A byte-order mark at the start is left out.
struct TextLines<R> {
    input: R,
    /// The number of the line in `buffer`, from 1.
    line: Rc<Cell<usize>>,
    buffer: Vec<u8>,
    /// How many bytes of `buffer` have been taken.
    taken: usize,
}

impl<R: BufRead> TextLines<R> {
    fn next_line(&mut self) -> io::Result<()> {
        let number = self.line.get() + 1;
        self.buffer.clear();
        self.taken = 0;
        let mut limited = (&mut self.input).take(MAX_LINE);
        let size = limited.read_until(b'\n', &mut self.buffer)?;
        if size == 0 {
            return Ok(());
        }
        self.line.set(number);
        if size as u64 == MAX_LINE && !self.buffer.ends_with(b"\n") {
            return Err(io::Error::other(format!(
                "line {number} is longer than {MAX_LINE} bytes"
            )));
        }
        if number == 1 {
            if self.buffer.starts_with(b"\xff\xfe") || self.buffer.starts_with(b"\xfe\xff") {
                return Err(io::Error::other("it is UTF-16, not UTF-8"));
            }
            if self.buffer.starts_with("\u{feff}".as_bytes()) {
                self.taken = '\u{feff}'.len_utf8();
            }
        }
        if str::from_utf8(&self.buffer).is_err() {
            return Err(io::Error::other(format!("line {number} is not UTF-8")));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for TextLines<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.buffer.len() {
            self.next_line()?;
        }
        let mut rest = &self.buffer[self.taken..];
        let size = rest.read(out)?;
        self.taken += size;
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(input: &[u8]) -> Vec<Result<NumberedValue, String>> {
        parse(input, "calls.jsonl").collect()
    }

    #[test]
    fn values_are_numbered_by_the_line_that_they_end_on() {
        let input = b"1\n\n{\n  \"a\": [\n2]}\r\n\"x\" \"y\"\n3";
        let expected = [
            (1, json!(1)),
            (5, json!({"a": [2]})),
            (6, json!("x")),
            (6, json!("y")),
            (7, json!(3)),
        ];
        assert_eq!(parsed(input), expected.map(Ok));
    }

    #[test]
    fn a_byte_order_mark_is_left_out_at_the_start_alone() {
        let marked = b"\xef\xbb\xbf\"\xef\xbb\xbf\"\r\n";
        assert_eq!(parsed(marked), [Ok((1, json!("\u{feff}")))]);
        assert_eq!(parsed(b"\xef\xbb\xbf\r\n"), []);
        let second = parsed(b"1\n\xef\xbb\xbf2\n");
        assert_eq!(second[1], Err("line 2: expected value".to_owned()));
    }

    #[test]
    fn mistakes_are_reported_with_their_line() {
        for (input, expected) in [
            (&b"1\n{\"a\": \n"[..], "line 2: EOF while parsing a value"),
            (b"1\nx\n", "line 2: expected value"),
            (
                b"1\n\"\xff\"\n",
                "can't read calls.jsonl: line 2 is not UTF-8",
            ),
            (b"1 \xff\n", "can't read calls.jsonl: line 1 is not UTF-8"),
        ] {
            let last = parsed(input).pop().unwrap();
            assert_eq!(last, Err(expected.to_owned()));
        }
        let utf16 = Err("can't read calls.jsonl: it is UTF-16, not UTF-8".to_owned());
        assert_eq!(parsed(b"\xff\xfe\"\0x\0\"\0\n\0"), [utf16]);
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let endless = io::BufReader::new(io::repeat(b' '));
        let error = parse(endless, "/dev/zero").next().unwrap().unwrap_err();
        assert!(error.contains("line 1 is longer than"), "{error}");
    }
}
