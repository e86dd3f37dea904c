//! The grammar of Qpid addresses, without what the options mean.
//!
//! ```text
//! address = part [ "/" part ] [ ";" [ map ] ]
//! map     = "{" [ key ":" value { "," key ":" value } [ "," ] ] "}"
//! value   = word | map | "[" [ value { "," value } [ "," ] ] "]"
//! ```
//! Parts, keys and words may be quoted by `'` or `"`, with `\` before a quote
//! or a `\` that is meant itself.

use std::fmt::{self, Write as _};

use crate::config::problem::quoted;

/// Qpid's own options nest three deep.
const DEPTH: usize = 16;

/// An address is a line that somebody wrote.
const LENGTH: usize = 4096;

/// What is wrong, and at which byte.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) at: usize,
    pub(super) reason: String,
}

impl Mistake {
    pub(super) fn new(at: usize, reason: impl Into<String>) -> Self {
        Self {
            at,
            reason: reason.into(),
        }
    }
}

/// An address taken apart; a part that is not there is empty.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) name: (usize, String),
    pub(super) subject: (usize, String),
    pub(super) options: Vec<Entry>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Term,
}

#[derive(Debug)]
pub(super) struct Term {
    pub(super) at: usize,
    pub(super) kind: TermKind,
}

#[derive(Debug)]
pub(super) enum TermKind {
    Word(String),
    Map(Vec<Entry>),
    /// No option that we know is one: what it holds is checked, not kept.
    List,
}

pub(super) fn read(text: &str) -> Result<Parts, Mistake> {
    if text.len() > LENGTH {
        let reason = format!("it has {} bytes; {LENGTH} are allowed", text.len());
        return Err(Mistake::new(0, reason));
    }
    let mut reader = Reader { text, at: 0 };
    let name = reader.part(&['/', ';'])?;
    let subject = if reader.eat('/') {
        reader.part(&[';'])?
    } else {
        (reader.at, String::new())
    };
    let mut options = Vec::new();
    if reader.eat(';') {
        reader.space();
        if reader.peek().is_some() {
            options = reader.map(DEPTH)?;
        }
    }
    reader.space();
    match reader.peek() {
        None => Ok(Parts {
            name,
            subject,
            options,
        }),
        Some(_) => Err(reader.wanted("nothing more")),
    }
}

/// Writes a name or a subject so that [`read`] gives it back.
pub(super) fn write_part(f: &mut fmt::Formatter<'_>, part: &str, borders: &[char]) -> fmt::Result {
    let plain = |c: char| !c.is_whitespace() && !"'\"\\".contains(c) && !borders.contains(&c);
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

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
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

    fn expect(&mut self, wanted: char) -> Result<(), Mistake> {
        self.space();
        if self.eat(wanted) {
            return Ok(());
        }
        Err(self.wanted(&format!("`{wanted}`")))
    }

    fn wanted(&self, what: &str) -> Mistake {
        let found = self
            .peek()
            .map_or_else(|| "the end".to_owned(), |c| quoted(&c.to_string()));
        Mistake::new(self.at, format!("{what} belongs here, not {found}"))
    }

    /// A name or a subject, up to one of `borders` or the end.
    fn part(&mut self, borders: &[char]) -> Result<(usize, String), Mistake> {
        self.space();
        let start = self.at;
        let mut part = String::new();
        while let Some(c) = self.peek().filter(|c| !borders.contains(c)) {
            if c.is_whitespace() {
                let gap = self.at;
                self.space();
                if self.peek().is_some_and(|c| !borders.contains(&c)) {
                    let reason = "a name with a space in it goes in quotes";
                    return Err(Mistake::new(gap, reason));
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

    fn quoted(&mut self) -> Result<String, Mistake> {
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
        Err(Mistake::new(start, "the quote is never closed"))
    }

    fn word(&mut self, what: &str) -> Result<String, Mistake> {
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
            return Err(self.wanted(what));
        }
        Ok(word)
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, Mistake> {
        self.expect('{')?;
        let mut entries: Vec<Entry> = Vec::new();
        while !self.closed('}') {
            let at = self.at;
            let key = self.word("an option or `}`")?;
            if entries.iter().any(|entry| entry.key == key) {
                let reason = format!("{} is given twice", quoted(&key));
                return Err(Mistake::new(at, reason));
            }
            self.expect(':')?;
            let value = self.value(depth)?;
            entries.push(Entry { key, value });
            self.border('}')?;
        }
        Ok(entries)
    }

    fn list(&mut self, depth: usize) -> Result<(), Mistake> {
        self.expect('[')?;
        while !self.closed(']') {
            self.value(depth)?;
            self.border(']')?;
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Term, Mistake> {
        self.space();
        let at = self.at;
        let Some(inner) = depth.checked_sub(1) else {
            return Err(Mistake::new(at, "options don't nest this deep"));
        };
        let kind = match self.peek() {
            Some('{') => TermKind::Map(self.map(inner)?),
            Some('[') => {
                self.list(inner)?;
                TermKind::List
            }
            _ => TermKind::Word(self.word("a value")?),
        };
        Ok(Term { at, kind })
    }

    fn closed(&mut self, close: char) -> bool {
        self.space();
        self.eat(close)
    }

    /// After an entry: a comma, or what closes the collection (left to be read).
    fn border(&mut self, close: char) -> Result<(), Mistake> {
        self.space();
        if self.eat(',') || self.peek() == Some(close) {
            return Ok(());
        }
        Err(self.wanted(&format!("`,` or `{close}`")))
    }
}
