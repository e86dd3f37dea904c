//! `-d`: the arguments of several calls, as a stream of JSON values.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, BufRead, Cursor, Read},
    rc::Rc,
    str, thread,
};

use serde_json::{Deserializer, Value, error::Category};
use tce_dynamic::syntax_error;
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
    let line = Rc::new(RefCell::new(TextLine::default()));
    let lines = TextLines {
        input,
        line: Rc::clone(&line),
        taken: 0,
    };
    let values = Deserializer::from_reader(lines).into_iter::<Value>();
    values.map(move |value| match value {
        Ok(value) => Ok((line.borrow().number, value)),
        Err(error) if error.classify() == Category::Io => {
            Err(format!("can't read {name}: {}", io::Error::from(error)))
        }
        Err(error) => {
            let line = line.borrow();
            Err(syntax_error(
                &error,
                line.number,
                &String::from_utf8_lossy(&line.bytes),
            ))
        }
    })
}

/// The bytes of an input, read and checked line by line, so that a value is available as soon as its
/// line is complete. A byte-order mark at the start is left out.
struct TextLines<R> {
    input: R,
    line: Rc<RefCell<TextLine>>,
    /// How many bytes of the line have been taken.
    taken: usize,
}

/// The line that was read last.
#[derive(Default)]
struct TextLine {
    /// Counted from 1.
    number: usize,
    bytes: Vec<u8>,
}

impl<R: BufRead> TextLines<R> {
    fn next_line(&mut self) -> io::Result<()> {
        let mut line = self.line.borrow_mut();
        let number = line.number + 1;
        let mut buffer = Vec::new();
        let mut limited = (&mut self.input).take(MAX_LINE);
        let size = limited.read_until(b'\n', &mut buffer)?;
        if size == 0 {
            // A value that is not complete is reported with the last line.
            return Ok(());
        }
        self.taken = 0;
        line.number = number;
        line.bytes = buffer;
        let buffer = &line.bytes;
        if size as u64 == MAX_LINE && !buffer.ends_with(b"\n") {
            return Err(io::Error::other(format!(
                "line {number} is longer than {MAX_LINE} bytes"
            )));
        }
        if number == 1 {
            if buffer.starts_with(b"\xff\xfe") || buffer.starts_with(b"\xfe\xff") {
                return Err(io::Error::other("it is UTF-16, not UTF-8"));
            }
            if buffer.starts_with("\u{feff}".as_bytes()) {
                self.taken = '\u{feff}'.len_utf8();
            }
        }
        if str::from_utf8(buffer).is_err() {
            return Err(io::Error::other(format!("line {number} is not UTF-8")));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for TextLines<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.line.borrow().bytes.len() {
            self.next_line()?;
        }
        let line = self.line.borrow();
        let mut rest = &line.bytes[self.taken..];
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
        let second = second[1].as_ref().unwrap_err();
        assert!(
            second.starts_with("line 2, column 1: expected value"),
            "{second}"
        );
    }

    #[test]
    fn mistakes_are_reported_with_their_line() {
        for (input, expected) in [
            (
                &b"1\n{\"a\": \n"[..],
                "line 2, column 7: EOF while parsing a value\n  {\"a\": \n        ^",
            ),
            (b"1\nx\n", "line 2, column 1: expected value\n  x\n  ^"),
            (
                "[\n\"\u{e9}\",\t}\n".as_bytes(),
                "line 2, column 6: expected value\n  \"\u{e9}\", }\n       ^",
            ),
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
