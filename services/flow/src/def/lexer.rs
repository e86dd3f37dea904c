//! Text to statements of words.

use std::ops::Range;

use super::diagnostic::{Code, Diagnostic};

/// A word, without its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    pub(super) span: Range<usize>,
    pub(super) is_quoted: bool,
}

/// Reads statements one after another: each is a line, or a part of one that `;` ends. `\` at the
/// end of a line continues the statement on the next one, `#` begins a comment.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next statement with at least one word; `None` at the end of the text.
    pub(super) fn statement(&mut self, diagnostics: &mut Vec<Diagnostic>) -> Option<Vec<Word<'a>>> {
        let mut words = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(next) = rest.bytes().next() else {
                return (!words.is_empty()).then_some(words);
            };
            match next {
                b'\n' | b';' => {
                    self.at += 1;
                    if !words.is_empty() {
                        return Some(words);
                    }
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\\' if line_end(&rest[1..]).is_some() => {
                    self.at += 1 + line_end(&rest[1..]).unwrap_or(0);
                }
                b'#' => self.at += rest.find('\n').unwrap_or(rest.len()),
                b'\'' | b'"' => words.push(self.quoted(next, diagnostics)),
                _ => words.push(self.word()),
            }
        }
    }

    fn word(&mut self) -> Word<'a> {
        let rest = &self.text[self.at..];
        let mut length = 0;
        for (at, character) in rest.char_indices() {
            let is_joined = character == '\\' && line_end(&rest[at + 1..]).is_some();
            if matches!(character, ' ' | '\t' | '\r' | '\n' | ';' | '#') || is_joined {
                break;
            }
            length = at + character.len_utf8();
        }
        let span = self.at..self.at + length;
        self.at = span.end;
        Word {
            text: &rest[..length],
            span,
            is_quoted: false,
        }
    }

    /// A value in quotes: it ends at the same quote before a blank, `;` or the end of the line.
    fn quoted(&mut self, quote: u8, diagnostics: &mut Vec<Diagnostic>) -> Word<'a> {
        let start = self.at;
        let inside = &self.text[start + 1..];
        let line = inside.find('\n').unwrap_or(inside.len());
        let bytes = inside.as_bytes();
        let ends = |at: &usize| {
            bytes[*at] == quote
                && bytes
                    .get(at + 1)
                    .is_none_or(|next| matches!(next, b' ' | b'\t' | b'\r' | b'\n' | b';'))
        };
        let length = (0..line).find(ends).unwrap_or_else(|| {
            diagnostics.push(
                Diagnostic::new(
                    Code::UnclosedQuote,
                    start..start + 1 + line,
                    "the value in quotes does not end on its line",
                )
                .help(format!("end it with {}", char::from(quote))),
            );
            line
        });
        self.at = (start + length + 2).min(start + 1 + line).max(start + 1);
        Word {
            text: inside[..length].trim_end_matches('\r'),
            span: start..self.at,
            is_quoted: true,
        }
    }
}

/// The length of the end of line that a text begins with.
fn line_end(text: &str) -> Option<usize> {
    match text.as_bytes() {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        _ => None,
    }
}
