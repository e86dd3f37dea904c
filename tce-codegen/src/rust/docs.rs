//! Documentation: the IDL's text, made safe for rustdoc and clippy.
//!
//! IDL documentation was written for people, not for rustdoc. Brackets and
//! angle brackets would be links and tags there, an indented line would be
//! a Rust program and be compiled as a test. Code spans, code blocks, lists
//! and emphasis stay what they are.

use proc_macro2::TokenStream;
use quote::quote;

/// What separates bidirectional text: rustc refuses it, as it can make a reader
/// see other text than the compiler.
const BIDI: &[char] = &[
    '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}',
    '\u{2069}',
];

/// The columns by which a line is code.
const CODE_INDENT: usize = 4;

/// What may follow a URL without being a part of it.
const SENTENCE_END: &[char] = &['.', ',', ';', ':', '!', '?', '\'', '*', '_'];
const SENTENCE_END_IN_BRACKETS: &[char] = &['.', ',', ';', ':', '!', '?', '\'', '*', '_', ')'];

/// An item's documentation: paragraphs of Markdown lines.
pub(super) struct Docs(Vec<String>);

impl Docs {
    /// A sentence of the generator's own, which is Markdown already.
    pub(super) fn sentence(text: impl Into<String>) -> Self {
        Self(vec![text.into()])
    }

    /// What the IDL says, if it says anything.
    pub(super) fn idl(text: Option<&str>) -> Self {
        let mut markdown = Markdown::default();
        for line in text.unwrap_or_default().lines() {
            markdown.line(&visible(line));
        }
        Self(markdown.finish())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// This, and `other` as paragraphs of its own.
    pub(super) fn then(mut self, other: Self) -> Self {
        if !self.is_empty() && !other.is_empty() {
            self.0.push(String::new());
        }
        self.0.extend(other.0);
        self
    }

    /// The `#[doc]` attributes.
    pub(super) fn attributes(&self) -> TokenStream {
        let lines = self.0.iter().map(|line| match line.as_str() {
            "" => String::new(),
            text => format!(" {text}"),
        });
        quote!(#(#[doc = #lines])*)
    }
}

/// A line as it may stand in a source file.
pub(super) fn visible(line: &str) -> String {
    line.replace('\t', &" ".repeat(CODE_INDENT))
        .replace(char::is_whitespace, " ")
        .replace(|c: char| c.is_control() || BIDI.contains(&c), "")
}

/// Rewrites Markdown line by line.
#[derive(Default)]
struct Markdown {
    lines: Vec<String>,
    /// The code block that is open.
    code: Option<Code>,
    /// The column of the text of the list item that is open, else 0.
    column: usize,
    /// Whether the next line continues a paragraph.
    in_paragraph: bool,
}

enum Code {
    Fenced { fence: String, indent: usize },
    Indented { indent: usize },
}

impl Markdown {
    fn line(&mut self, line: &str) {
        let text = line.trim_matches(' ');
        let indent = line.len() - line.trim_start_matches(' ').len();
        if self.code_line(line, text, indent) {
            return;
        }
        if text.is_empty() {
            self.in_paragraph = false;
            return self.push(0, "");
        }
        if !self.in_paragraph && indent < self.column {
            self.column = 0;
        }
        let is_code = !self.in_paragraph && indent >= self.column + CODE_INDENT;
        if let Some(fence) = fence(text).filter(|_| !is_code) {
            self.push(self.column, &format!("{fence}text"));
            self.code = Some(Code::Fenced {
                fence: fence.to_owned(),
                indent,
            });
        } else if is_code {
            self.push(self.column, "```text");
            self.code = Some(Code::Indented { indent });
            self.push_code(text);
        } else if let Some(marker) = list_marker(text) {
            let indent = indent.min(self.column);
            let item = list_item(text[marker.len()..].trim_start());
            self.push(indent, &format!("{marker} {item}"));
            self.column = indent + marker.len() + 1;
            self.in_paragraph = true;
        } else {
            self.push(self.column, &inline(text));
            self.in_paragraph = true;
        }
    }

    /// Takes the line if it belongs to the code block that is open.
    fn code_line(&mut self, line: &str, text: &str, indent: usize) -> bool {
        let from = match &self.code {
            None => return false,
            Some(Code::Fenced { fence, .. }) if text.starts_with(fence.as_str()) => {
                self.close();
                return true;
            }
            Some(Code::Indented { .. }) if !text.is_empty() && indent < CODE_INDENT => {
                self.close();
                self.push(0, "");
                return false;
            }
            Some(Code::Fenced { indent, .. } | Code::Indented { indent }) => *indent,
        };
        self.push_code(&line[from.min(indent)..]);
        true
    }

    /// A line of an indented block must not close the fence that it got.
    fn push_code(&mut self, line: &str) {
        let closes = matches!(self.code, Some(Code::Indented { .. })) && fence(line).is_some();
        let indent = if closes { CODE_INDENT } else { 0 };
        self.push(self.column + indent, line.trim_end());
    }

    fn close(&mut self) {
        let fence = match self.code.take() {
            None => return,
            Some(Code::Fenced { fence, .. }) => fence,
            Some(Code::Indented { .. }) => {
                self.drop_blank_end();
                "```".to_owned()
            }
        };
        self.push(self.column, &fence);
        self.in_paragraph = false;
    }

    fn push(&mut self, indent: usize, text: &str) {
        let indent = if text.is_empty() { 0 } else { indent };
        self.lines.push(" ".repeat(indent) + text);
    }

    fn drop_blank_end(&mut self) {
        while self.lines.last().is_some_and(String::is_empty) {
            self.lines.pop();
        }
    }

    fn finish(mut self) -> Vec<String> {
        self.close();
        self.drop_blank_end();
        let blank_start = self.lines.iter().take_while(|line| line.is_empty()).count();
        self.lines.split_off(blank_start)
    }
}

/// The fence that opens a code block: three or more backticks or tildes.
fn fence(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let first = text.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let rest = text.trim_start_matches(first);
    let fence = &text[..text.len() - rest.len()];
    (fence.len() >= 3 && (first == '~' || !rest.contains('`'))).then_some(fence)
}

/// `-`, `*`, `+`, `1.` or `1)`, where a blank and an item follow: `* * *` is a line.
fn list_marker(text: &str) -> Option<&str> {
    let (marker, _) = text.split_once(' ')?;
    let signs = text.replace(' ', "");
    if signs.len() > 2 && signs.trim_start_matches(marker).is_empty() {
        return None;
    }
    let number = marker.strip_suffix(['.', ')']).unwrap_or_default();
    let is_number = (1..10).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    (matches!(marker, "-" | "*" | "+") || is_number).then_some(marker)
}

/// The first line of a list item, where a second marker or a fence is text.
fn list_item(text: &str) -> String {
    let mut item = inline(text);
    if let Some(marker) = list_marker(text) {
        item.insert(marker.len() - 1, '\\');
    } else if text.starts_with('~') {
        item.insert(0, '\\');
    }
    item
}

/// A line of text: what rustdoc would take for a link or a tag is escaped, a
/// bare URL becomes a link, a code span stays as it is.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = if let Some(span) = code_span(rest) {
            out.push_str(span);
            span.len()
        } else if let Some(url) = url(rest) {
            out.extend(["<", url, ">"]);
            url.len()
        } else if let Some(link) = rest
            .strip_prefix('<')
            .and_then(url)
            .filter(|u| rest[u.len() + 1..].starts_with('>'))
        {
            out.extend(["<", link, ">"]);
            link.len() + 2
        } else if is_escape(rest) {
            out.push_str(&rest[..2]);
            2
        } else {
            if matches!(first, '[' | ']' | '<' | '>' | '`') {
                out.push('\\');
            }
            out.push(first);
            first.len_utf8()
        };
        rest = &rest[taken..];
    }
    out
}

/// A code span at the start of the text, its backticks included.
fn code_span(text: &str) -> Option<&str> {
    let ticks = text.len() - text.trim_start_matches('`').len();
    if ticks == 0 {
        return None;
    }
    let mut from = ticks;
    loop {
        from += text[from..].find('`')?;
        let run = text[from..].len() - text[from..].trim_start_matches('`').len();
        from += run;
        if run == ticks {
            return Some(&text[..from]);
        }
    }
}

/// A URL at the start of the text, without the punctuation that ends a sentence.
fn url(text: &str) -> Option<&str> {
    if !text.starts_with("http://") && !text.starts_with("https://") {
        return None;
    }
    let end = text.find(|c: char| c.is_whitespace() || "<>[]`\"".contains(c));
    let mut url = &text[..end.unwrap_or(text.len())];
    loop {
        let is_open = url.matches('(').count() >= url.matches(')').count();
        let end = if is_open {
            SENTENCE_END
        } else {
            SENTENCE_END_IN_BRACKETS
        };
        match url.strip_suffix(end) {
            Some(rest) => url = rest,
            None => return Some(url),
        }
    }
}

fn is_escape(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next() == Some('\\') && chars.next().is_some_and(|c| c.is_ascii_punctuation())
}
