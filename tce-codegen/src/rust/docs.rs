//! Documentation: the IDL's Markdown, rendered anew for rustdoc and clippy.
//!
//! IDL comments are not written for rustdoc, which takes brackets for links,
//! angle brackets for HTML, and a code block for a Rust program to compile as a
//! test. Here such text is escaped and code is marked as `text`. Lists are
//! indented as clippy wants them, and bare URLs become links.

use proc_macro2::{Ident, TokenStream};
use pulldown_cmark::{Event, LinkType, Parser, Tag, TagEnd, TextMergeWithOffset};
use quote::quote;
use syn::ext::IdentExt;

use crate::source::printable;

/// Punctuation that may follow a URL without being a part of it.
const SENTENCE_END: &[char] = &['.', ',', ';', ':', '!', '?', '\'', '*', '_'];
const SENTENCE_END_IN_BRACKETS: &[char] = &['.', ',', ';', ':', '!', '?', '\'', '*', '_', ')'];

/// An item's documentation: lines of Markdown.
pub(super) struct Docs(Vec<String>);

impl Docs {
    /// A sentence of the generator's own, which is valid Markdown.
    pub(super) fn sentence(text: impl Into<String>) -> Self {
        Self(vec![text.into()])
    }

    /// The text of the IDL; no lines if there is none.
    pub(super) fn idl(text: Option<&str>) -> Self {
        let Some(text) = text else {
            return Self(Vec::new());
        };
        let lines: Vec<_> = text.lines().map(printable).collect();
        Self(render(&lines.join("\n")))
    }

    /// This, and that the declaration is deprecated.
    pub(super) fn then_deprecated(self, text: Option<&str>) -> Self {
        match text {
            None => self,
            Some("") => self.then(Self::sentence("Deprecated.")),
            Some(text) => self.then(Self::idl(Some(&format!("Deprecated: {text}")))),
        }
    }

    /// This, and the documentation of parameters by their names.
    pub(super) fn then_parameters<'a>(
        self,
        parameters: impl Iterator<Item = (&'a Ident, Option<&'a str>)>,
    ) -> Self {
        let documented = parameters.filter_map(|(name, doc)| Some((name, doc?)));
        let items = documented.map(|(name, doc)| {
            let name = name.unraw();
            format!("- `{name}`: {}\n", doc.replace('\n', "\n  "))
        });
        let items: String = items.collect();
        self.then(Self::idl((!items.is_empty()).then_some(&items)))
    }

    /// This, and `other` as further paragraphs.
    pub(super) fn then(mut self, other: Self) -> Self {
        if !self.0.is_empty() && !other.0.is_empty() {
            self.0.push(String::new());
        }
        self.0.extend(other.0);
        self
    }

    /// This, and the declaration in the IDL if `name` in Rust differs from its name there.
    pub(super) fn then_declared(
        self,
        name: &Ident,
        idl_name: &str,
        declaration: impl FnOnce() -> String,
    ) -> Self {
        if name.unraw() == idl_name {
            return self;
        }
        self.then(Self::sentence(format!("`{}` in the IDL.", declaration())))
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

fn render(source: &str) -> Vec<String> {
    let mut renderer = Renderer {
        source,
        lines: Vec::new(),
        line: String::new(),
        needs_blank: false,
        containers: Vec::new(),
        code: None,
        links: Vec::new(),
    };
    let events = Parser::new(source).into_offset_iter();
    for (event, range) in TextMergeWithOffset::new(events) {
        renderer.event(event, range.start, &source[range]);
    }
    renderer.lines
}

/// A block quote or a list item, which indents the lines of its content.
struct Container {
    /// Stands before its first line.
    marker: String,
    /// Stands before its other lines.
    indent: String,
    is_started: bool,
    /// Whether blank lines separate the items of its list.
    is_loose: bool,
}

impl Container {
    fn quote() -> Self {
        Self::new("> ".to_owned(), "> ".to_owned())
    }

    fn item(marker: &str) -> Self {
        Self::new(format!("{marker} "), " ".repeat(marker.len() + 1))
    }

    fn new(marker: String, indent: String) -> Self {
        Self {
            marker,
            indent,
            is_started: false,
            is_loose: false,
        }
    }
}

/// Writes Markdown from the events of its parser.
struct Renderer<'s> {
    source: &'s str,
    lines: Vec<String>,
    /// The line that is being written.
    line: String,
    /// Whether a block ended, from which a blank line separates the next.
    needs_blank: bool,
    containers: Vec<Container>,
    /// The content of the code block that is open.
    code: Option<String>,
    /// What closes each link and image that is open.
    links: Vec<String>,
}

impl Renderer<'_> {
    /// Takes an event, whose text `raw` starts at `start` of the source.
    fn event(&mut self, event: Event<'_>, start: usize, raw: &str) {
        match event {
            Event::Start(tag) => self.start(tag, raw),
            Event::End(tag) => self.end(tag, raw),
            Event::Text(text) => match &mut self.code {
                Some(code) => code.push_str(&text),
                None => self.text(start, raw),
            },
            Event::Code(code) if raw.contains('\n') => {
                let ticks = backticks(&code, 1);
                self.put(&format!("{ticks}{code}{ticks}"));
            }
            Event::Code(_) => self.put(raw),
            Event::Html(_) => {
                self.text(start, raw.trim());
                self.end_line();
            }
            Event::InlineHtml(_) => self.text(start, raw),
            Event::SoftBreak => self.end_line(),
            Event::HardBreak => {
                self.put("\\");
                self.end_line();
            }
            Event::Rule => {
                self.end_line();
                self.put("---");
                self.end_block();
            }
            // Of syntax that the parser has switched off.
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>, raw: &str) {
        match tag {
            Tag::Emphasis => self.put(&raw[..1]),
            Tag::Strong => self.put(&raw[..2]),
            Tag::Link {
                link_type: LinkType::Autolink | LinkType::Email,
                ..
            } => self.links.push(raw.to_owned()),
            Tag::Link {
                dest_url, title, ..
            } => self.open_link("", &dest_url, &title),
            Tag::Image {
                dest_url, title, ..
            } => self.open_link("!", &dest_url, &title),
            block => {
                self.end_line();
                match block {
                    Tag::Heading { level, .. } => {
                        self.put(&format!("{} ", "#".repeat(level as usize)));
                    }
                    Tag::BlockQuote(_) => self.containers.push(Container::quote()),
                    Tag::CodeBlock(_) => self.code = Some(String::new()),
                    Tag::Item => {
                        let marker = raw.split_whitespace().next().unwrap_or("-");
                        self.containers.push(Container::item(marker));
                    }
                    _ => {}
                }
            }
        }
    }

    fn end(&mut self, tag: TagEnd, raw: &str) {
        match tag {
            TagEnd::Emphasis => self.put(&raw[..1]),
            TagEnd::Strong => self.put(&raw[..2]),
            TagEnd::Link | TagEnd::Image => {
                if let Some(close) = self.links.pop() {
                    self.put(&close);
                }
            }
            TagEnd::Paragraph => {
                self.end_block();
                if let Some(container) = self.containers.last_mut() {
                    container.is_loose = true;
                }
            }
            TagEnd::BlockQuote(_) => {
                self.end_block();
                self.containers.pop();
            }
            TagEnd::CodeBlock => self.end_code(),
            TagEnd::Item => {
                if self.containers.last().is_some_and(|item| !item.is_started) {
                    self.put("");
                }
                self.end_line();
                let item = self.containers.pop();
                self.needs_blank = item.is_some_and(|item| item.is_loose);
            }
            _ => self.end_block(),
        }
    }

    /// A link within the documentation leads nowhere in rustdoc: it stays text.
    fn open_link(&mut self, sign: &str, destination: &str, title: &str) {
        if url(destination) == Some(destination) {
            let title = match title {
                "" => String::new(),
                title => format!(" \"{}\"", title.replace('"', "'")),
            };
            self.links.push(format!("](<{destination}>{title})"));
            self.put(&format!("{sign}["));
        } else {
            self.links
                .push(format!("\\]({})", self.escape(destination)));
            self.put(&format!("{sign}\\["));
        }
    }

    fn end_code(&mut self) {
        let code = self.code.take().unwrap_or_default();
        let fence = backticks(&code, 3);
        self.put(&format!("{fence}text"));
        self.end_line();
        for line in code.lines() {
            match line {
                "" => self.blank_line(),
                text => self.put(text),
            }
            self.end_line();
        }
        self.put(&fence);
        self.end_block();
    }

    /// Writes text that is no markup, and must not become any.
    fn text(&mut self, start: usize, raw: &str) {
        // An autolink closes with all of its text.
        if self.links.last().is_some_and(|link| link.starts_with('<')) {
            return;
        }
        let is_escaped = self.source[..start].ends_with('\\');
        let mut text = if is_escaped {
            self.escape(&format!("\\{raw}"))
        } else {
            self.escape(raw)
        };
        if self.line.is_empty()
            && let Some(at) = block_marker(&text)
        {
            text.insert(at, '\\');
        }
        self.put(&text);
    }

    fn escape(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let taken = if let Some(url) = url(rest).filter(|_| self.links.is_empty()) {
                out.extend(["<", url, ">"]);
                url.len()
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

    /// Appends to the line, which starts with what its containers want.
    fn put(&mut self, text: &str) {
        if self.line.is_empty() {
            if std::mem::take(&mut self.needs_blank) {
                self.blank_line();
            }
            for container in &mut self.containers {
                let is_started = std::mem::replace(&mut container.is_started, true);
                self.line.push_str(if is_started {
                    &container.indent
                } else {
                    &container.marker
                });
            }
        }
        self.line.push_str(text);
    }

    fn blank_line(&mut self) {
        let started = self.containers.iter().filter(|it| it.is_started);
        let line: String = started.map(|it| it.indent.as_str()).collect();
        self.lines.push(line.trim_end().to_owned());
    }

    fn end_line(&mut self) {
        if !self.line.is_empty() {
            self.lines.push(self.line.trim_end().to_owned());
            self.line.clear();
        }
    }

    fn end_block(&mut self) {
        self.end_line();
        self.needs_blank = true;
    }
}

/// More backticks than stand together in `code`, and no fewer than `least`.
fn backticks(code: &str, least: usize) -> String {
    let runs = code.split(|c| c != '`').map(str::len);
    "`".repeat(runs.max().map_or(least, |run| least.max(run + 1)))
}

/// Where to escape a line of text that would begin a block otherwise.
fn block_marker(text: &str) -> Option<usize> {
    let first = text.split(' ').next().unwrap_or_default();
    let digits = first.trim_end_matches(['.', ')']);
    let is_number = digits.len() + 1 == first.len() && digits.bytes().all(|b| b.is_ascii_digit());
    if is_number && !digits.is_empty() {
        return Some(digits.len());
    }
    let is_heading = !first.is_empty() && first.bytes().all(|b| b == b'#');
    let is_line = !text.is_empty() && text.chars().all(|c| "-=_* ".contains(c));
    let is_item = matches!(first, "-" | "+" | "*");
    (is_heading || is_line || is_item || text.starts_with("~~~")).then_some(0)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Text that is no markup stays none, whatever its lines begin with.
    #[test]
    fn text_does_not_become_markup() {
        for (idl, rust) in [
            ("a\n      - b", "a\n\\- b"),
            ("a\n      # b", "a\n\\# b"),
            ("a\n2. b", "a\n2\\. b"),
            ("a\n      ===", "a\n\\==="),
            ("<div>\n~~~\n</div>", "\\<div\\>\n\\~~~\n\\</div\\>"),
            ("\\*a\\* _b_ __c__", "\\*a\\* _b_ __c__"),
            ("a&amp;b \\\\[c]", "a&amp;b \\\\\\[c\\]"),
        ] {
            assert_eq!(render(idl).join("\n"), rust, "{idl}");
        }
    }

    #[test]
    fn links_to_the_web_stay_links() {
        for (idl, rust) in [
            ("[a](https://x.org/y \"t\")", "[a](<https://x.org/y> \"t\")"),
            ("[a][b]\n\n[b]: https://x.org", "[a](<https://x.org>)"),
            ("![a](https://x.org/y)", "![a](<https://x.org/y>)"),
            ("[a](b.html)", "\\[a\\](b.html)"),
            (
                "[https://x.org](https://x.org)",
                "[https://x.org](<https://x.org>)",
            ),
            ("see https://x.org/a_(b).", "see <https://x.org/a_(b)>."),
        ] {
            assert_eq!(render(idl).join("\n"), rust, "{idl}");
        }
    }

    #[test]
    fn blocks_are_laid_out_anew() {
        for (idl, rust) in [
            ("- a\n\n  b\n- c", "- a\n\n  b\n\n- c"),
            ("- - a\n  - b", "- - a\n  - b"),
            ("> a\nb\n>\n> c", "> a\n> b\n>\n> c"),
            ("a\n> b\n\n- > c", "a\n\n> b\n\n- > c"),
            ("-\n- b", "-\n- b"),
            ("a\n\n    b\n    ```", "a\n\n````text\nb\n```\n````"),
            ("`a\nb`", "`a b`"),
            ("a\n---\nb", "## a\n\nb"),
        ] {
            assert_eq!(render(idl).join("\n"), rust, "{idl}");
        }
    }
}
