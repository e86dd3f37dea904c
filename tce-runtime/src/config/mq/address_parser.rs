//! The grammar of Qpid addresses, without the meaning of their options.
//!
//! ```text
//! address = part [ "/" part ] [ ";" [ map ] ]
//! map     = "{" [ key ":" value { "," key ":" value } [ "," ] ] "}"
//! value   = word | map | "[" [ value { "," value } [ "," ] ] "]"
//! ```
//! Parts, keys and words may be quoted by `'` or `"`; within quotes `\` escapes
//! the next character.

use std::fmt::{self, Write as _};

use crate::config::problem::quoted;

/// The deepest nesting of options; those that Qpid defines nest three levels.
const MAX_DEPTH: usize = 16;

/// The most bytes of an address.
const MAX_SIZE: usize = 4096;

/// What is wrong, and the byte offset at which it is.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) at: usize,
    pub(super) reason: String,
}

impl SyntaxError {
    pub(super) fn new(at: usize, reason: impl Into<String>) -> Self {
        Self {
            at,
            reason: reason.into(),
        }
    }
}

/// The parts of an address; absent ones are empty.
#[derive(Debug)]
pub(super) struct ParsedAddress {
    /// The name and its byte offset.
    pub(super) name: (usize, String),
    /// The subject and its byte offset.
    pub(super) subject: (usize, String),
    pub(super) options: Vec<AddressOption>,
}

#[derive(Debug)]
pub(super) struct AddressOption {
    pub(super) key: String,
    pub(super) value: OptionValue,
}

#[derive(Debug)]
pub(super) struct OptionValue {
    /// The byte offset.
    pub(super) at: usize,
    pub(super) kind: OptionValueKind,
}

#[derive(Debug)]
pub(super) enum OptionValueKind {
    Word(String),
    Map(Vec<AddressOption>),
    /// No option that is used has a list: its items are parsed, not kept.
    List,
}

pub(super) fn parse(text: &str) -> Result<ParsedAddress, SyntaxError> {
    if text.len() > MAX_SIZE {
        let reason = format!("it has {} bytes; {MAX_SIZE} are allowed", text.len());
        return Err(SyntaxError::new(0, reason));
    }
    let mut parser = AddressParser { text, at: 0 };
    let name = parser.part(&['/', ';'])?;
    let subject = if parser.eat('/') {
        parser.part(&[';'])?
    } else {
        (parser.at, String::new())
    };
    let mut options = Vec::new();
    if parser.eat(';') {
        parser.space();
        if parser.peek().is_some() {
            options = parser.map(MAX_DEPTH)?;
        }
    }
    parser.space();
    match parser.peek() {
        None => Ok(ParsedAddress {
            name,
            subject,
            options,
        }),
        Some(_) => Err(parser.expected("the end")),
    }
}

/// Writes a name or a subject so that [`parse`] reads it back; it ends at one of
/// `delimiters`.
pub(super) fn write_part(
    f: &mut fmt::Formatter<'_>,
    part: &str,
    delimiters: &[char],
) -> fmt::Result {
    let plain = |c: char| !c.is_whitespace() && !"'\"\\".contains(c) && !delimiters.contains(&c);
    if part.chars().all(plain) {
        return f.write_str(part);
    }
    f.write_char('\'')?;
    for c in part.chars() {
        if matches!(c, '\'' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('\'')
}

struct AddressParser<'a> {
    text: &'a str,
    at: usize,
}

impl AddressParser<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.next();
        }
    }

    fn expect(&mut self, expected: char) -> Result<(), SyntaxError> {
        self.space();
        if self.eat(expected) {
            return Ok(());
        }
        Err(self.expected(&format!("`{expected}`")))
    }

    fn expected(&self, what: &str) -> SyntaxError {
        let found = self
            .peek()
            .map_or_else(|| "the end".to_owned(), |c| quoted(&c.to_string()));
        SyntaxError::new(self.at, format!("expected {what}, found {found}"))
    }

    /// A name or a subject, up to one of `delimiters` or the end.
    fn part(&mut self, delimiters: &[char]) -> Result<(usize, String), SyntaxError> {
        self.space();
        let start = self.at;
        let mut part = String::new();
        while let Some(c) = self.peek().filter(|c| !delimiters.contains(c)) {
            if c.is_whitespace() {
                let gap = self.at;
                self.space();
                if self.peek().is_some_and(|c| !delimiters.contains(&c)) {
                    let reason = "put a name with spaces in quotes";
                    return Err(SyntaxError::new(gap, reason));
                }
            } else if matches!(c, '\'' | '"') {
                part.push_str(&self.quoted()?);
            } else {
                part.push(c);
                self.next();
            }
        }
        Ok((start, part))
    }

    fn quoted(&mut self) -> Result<String, SyntaxError> {
        let start = self.at;
        let quote = self.next();
        let mut text = String::new();
        while let Some(c) = self.next() {
            match c {
                _ if Some(c) == quote => return Ok(text),
                '\\' => text.extend(self.next()),
                _ => text.push(c),
            }
        }
        Err(SyntaxError::new(start, "the quote is not closed"))
    }

    fn word(&mut self, what: &str) -> Result<String, SyntaxError> {
        self.space();
        if matches!(self.peek(), Some('\'' | '"')) {
            return self.quoted();
        }
        let mut word = String::new();
        while let Some(c) = self.peek() {
            if c.is_whitespace() || ",:;{}[]'\"".contains(c) {
                break;
            }
            word.push(c);
            self.next();
        }
        if word.is_empty() {
            return Err(self.expected(what));
        }
        Ok(word)
    }

    fn map(&mut self, depth: usize) -> Result<Vec<AddressOption>, SyntaxError> {
        self.expect('{')?;
        let mut entries: Vec<AddressOption> = Vec::new();
        while !self.closed('}') {
            let at = self.at;
            let key = self.word("an option or `}`")?;
            if entries.iter().any(|entry| entry.key == key) {
                let reason = format!("{} is given twice", quoted(&key));
                return Err(SyntaxError::new(at, reason));
            }
            self.expect(':')?;
            let value = self.value(depth)?;
            entries.push(AddressOption { key, value });
            self.delimiter('}')?;
        }
        Ok(entries)
    }

    fn list(&mut self, depth: usize) -> Result<(), SyntaxError> {
        self.expect('[')?;
        while !self.closed(']') {
            self.value(depth)?;
            self.delimiter(']')?;
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<OptionValue, SyntaxError> {
        self.space();
        let at = self.at;
        let Some(inner) = depth.checked_sub(1) else {
            return Err(SyntaxError::new(
                at,
                format!("options nest deeper than {MAX_DEPTH} levels"),
            ));
        };
        let kind = match self.peek() {
            Some('{') => OptionValueKind::Map(self.map(inner)?),
            Some('[') => {
                self.list(inner)?;
                OptionValueKind::List
            }
            _ => OptionValueKind::Word(self.word("a value")?),
        };
        Ok(OptionValue { at, kind })
    }

    fn closed(&mut self, close: char) -> bool {
        self.space();
        self.eat(close)
    }

    /// After an item: takes a comma, or leaves `close` to be read next.
    fn delimiter(&mut self, close: char) -> Result<(), SyntaxError> {
        self.space();
        if self.eat(',') || self.peek() == Some(close) {
            return Ok(());
        }
        Err(self.expected(&format!("`,` or `{close}`")))
    }
}
