//! Lexemes to text.

use super::lexemes::{Comment, Lexeme, Role, has_doc_behind, is_redundant};
use crate::source;

/// The most columns of an operation on one line.
const WIDTH: usize = 100;

/// The columns of indentation of each level.
const INDENT: usize = 4;

/// The space before a lexeme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spacing {
    None,
    Space,
    /// A new line, after an optional blank line.
    Line(BlankLine),
}

/// Whether a blank line precedes a new line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BlankLine {
    Never,
    /// If the text has one.
    Keep,
    Always,
}

/// The space between the lexemes `at - 1` and `at`. `depth` is the number of open
/// braces, and `last` the first word of the previous declaration.
fn spacing_before(lexemes: &[Lexeme<'_>], at: usize, depth: usize, last: &str) -> Spacing {
    let Some(previous) = at.checked_sub(1).map(|before| lexemes[before].text) else {
        return Spacing::Line(BlankLine::Never);
    };
    let lexeme = &lexemes[at];
    let role_before = lexemes[at - 1].role;
    if role_before == Role::Assignment || lexeme.role == Role::Assignment {
        return Spacing::Space;
    }
    match (previous, lexeme.text) {
        ("{", "}") if lexeme.comments.is_empty() => Spacing::None,
        (",", text) if role_before == Role::EndOfMember && text != "}" => {
            Spacing::Line(BlankLine::Keep)
        }
        ("{" | "]", _) | (_, "}" | "") => Spacing::Line(BlankLine::Never),
        (";", _) => Spacing::Line(between(last, head(lexemes, at), depth)),
        ("}", text) if text != ";" => Spacing::Line(between(last, head(lexemes, at), depth)),
        ("}", _) if is_redundant(previous, lexeme, depth) => Spacing::Line(BlankLine::Keep),
        ("(" | "[" | "<" | "::" | "=", _)
        | (_, ";" | "," | ")" | "]" | ">" | "::" | "=" | "<" | "(") => Spacing::None,
        _ => Spacing::Space,
    }
}

/// The first word of the declaration at `at`, after its annotations.
fn head<'a>(lexemes: &[Lexeme<'a>], mut at: usize) -> &'a str {
    while lexemes[at].text == "[" {
        let length = lexemes[at..].iter().position(|lexeme| lexeme.text == "]");
        at = length.map_or(lexemes.len() - 1, |length| at + length + 1);
    }
    lexemes[at].text
}

/// Whether a blank line separates two declarations that begin with these words.
fn between(last: &str, next: &str, depth: usize) -> BlankLine {
    let is_tall = |head| {
        matches!(
            head,
            "struct" | "exception" | "enum" | "interface" | "module"
        )
    };
    match depth {
        // Members and operations, whose first word is a type.
        2.. => BlankLine::Keep,
        _ if is_tall(last) || is_tall(next) => BlankLine::Always,
        _ => BlankLine::Keep,
    }
}

/// A comment with its lines after the first indented to `indent` columns. If
/// every line begins with `*`, these are aligned; otherwise the lines keep their
/// indentation relative to each other. The text of documentation does not change.
fn indented_comment(comment: &str, indent: usize) -> String {
    let mut lines = source::lines(comment).map(str::trim_end);
    let mut out = lines.next().unwrap_or_default().to_owned();
    let rest: Vec<&str> = lines.collect();
    let is_framed = rest
        .iter()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('*'));
    let shared = shared_indent(&rest);
    for line in &rest {
        out.push('\n');
        let (margin, line) = match (line.trim(), is_framed) {
            ("*/", _) => (" ", "*/"),
            ("", true) => (" ", "*"),
            ("", false) => continue,
            (_, true) => (" ", line.trim_start()),
            (_, false) => ("   ", line.get(shared..).unwrap_or(line)),
        };
        out.extend(std::iter::repeat_n(' ', indent));
        out.push_str(margin);
        out.push_str(line);
    }
    out
}

/// The bytes of indentation that all non-empty lines share.
fn shared_indent(lines: &[&str]) -> usize {
    let with_words = lines
        .iter()
        .filter(|line| !matches!(line.trim(), "" | "*/"));
    let width = |line: &&str| line.len() - line.trim_start_matches([' ', '\t']).len();
    with_words.map(width).min().unwrap_or_default()
}

/// Prints the lexemes of a file.
pub(super) fn print(lexemes: &[Lexeme<'_>]) -> String {
    let mut printer = LayoutPrinter {
        lexemes,
        out: String::new(),
        depth: 0,
        heads: [""; 3],
    };
    let mut at = 0;
    while at < lexemes.len() {
        at = printer.statement_part(at);
    }
    let mut out = printer.out;
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

struct LayoutPrinter<'p> {
    lexemes: &'p [Lexeme<'p>],
    out: String,
    /// The indentation level of the next line.
    depth: usize,
    /// The first word of the previous declaration at each level.
    heads: [&'p str; 3],
}

impl<'p> LayoutPrinter<'p> {
    /// Prints the lexeme at `at`, or a parameter list. Returns the position of the next lexeme.
    fn statement_part(&mut self, at: usize) -> usize {
        let text = self.lexemes[at].text;
        if text == "(" {
            return self.parameters(at);
        }
        let level = self.depth.min(2);
        match spacing_before(self.lexemes, at, self.depth, self.heads[level]) {
            Spacing::Line(blank) => {
                self.line(at, blank);
                self.heads[level] = head(self.lexemes, at);
            }
            spacing => {
                self.inline(at, spacing);
                // Only for an empty body; otherwise `line` has decreased the depth.
                self.depth -= usize::from(text == "}" && self.depth > 0);
            }
        }
        self.depth += usize::from(text == "{");
        at + 1
    }

    /// Prints `( … )` on one line if the operation fits, else one parameter a line.
    fn parameters(&mut self, open: usize) -> usize {
        let length = self.lexemes[open..]
            .iter()
            .position(|lexeme| lexeme.text == ")");
        let close = length.map_or(open, |length| open + length);
        let start = self.out.len();
        for at in open..=close + 1 {
            self.inline(at, spacing_before(self.lexemes, at, self.depth, ""));
        }
        let line = self.out.rsplit('\n').next().unwrap_or_default();
        let width = line.chars().count() + self.throws_width(close + 1);
        // On one line, such a comment would document the next parameter.
        let has_doc_behind = self.lexemes[open..=close].iter().any(has_doc_behind);
        let is_fit = width <= WIDTH && !has_doc_behind && !self.out[start..].contains('\n');
        if !is_fit && close > open + 1 {
            self.out.truncate(start);
            self.wrapped(open, close);
        }
        close + 2
    }

    /// The columns behind `throws` at `at`, on the line of the operation.
    fn throws_width(&self, at: usize) -> usize {
        let rest = self.lexemes[at..].iter();
        let rest = rest.take_while(|lexeme| !matches!(lexeme.text, ";" | ""));
        let names = rest.skip(1).map(|lexeme| match lexeme.text {
            "," | "::" => lexeme.text.len(),
            name => name.chars().count() + 1,
        });
        names.sum()
    }

    fn wrapped(&mut self, open: usize, close: usize) {
        self.inline(open, Spacing::None);
        self.depth += 1;
        for at in open + 1..close {
            match self.lexemes[at - 1].text {
                "(" | "," => self.line(at, BlankLine::Never),
                _ => self.inline(at, spacing_before(self.lexemes, at, self.depth, "")),
            }
        }
        self.line(close, BlankLine::Never);
        self.inline(
            close + 1,
            spacing_before(self.lexemes, close + 1, self.depth, ""),
        );
    }

    /// Prints a lexeme on the line of the previous one, unless a comment between them ends the line.
    fn inline(&mut self, at: usize, spacing: Spacing) {
        let lexeme = &self.lexemes[at];
        let mut is_line = false;
        for comment in &lexeme.comments {
            if is_line || comment.is_line() && comment.newlines > 0 {
                self.new_line(self.depth + 1, false);
            } else if comment.is_line() || !self.out.ends_with(['(', '[', '<']) {
                self.out.push(' ');
            }
            self.comment(comment, self.depth + 1);
            is_line = comment.is_line();
        }
        let is_closing = matches!(lexeme.text, "," | ";" | ")" | "]" | ">");
        match spacing {
            _ if is_line => self.new_line(self.depth + 1, false),
            _ if !lexeme.comments.is_empty() && !is_closing => self.out.push(' '),
            Spacing::Space => self.out.push(' '),
            _ => {}
        }
        if !lexeme.is_silent {
            self.out.push_str(lexeme.text);
        }
    }

    /// Prints a lexeme at the start of a new line, or after a block comment on that line.
    fn line(&mut self, at: usize, blank: BlankLine) {
        let lexeme = &self.lexemes[at];
        let (trailing, leading) = lexeme.comments.split_at(lexeme.trailing());
        for comment in trailing {
            self.out.push(' ');
            self.comment(comment, self.depth);
        }
        let mut blank = blank;
        for (position, comment) in leading.iter().enumerate() {
            if position > 0 && comment.newlines == 0 {
                self.out.push(' ');
            } else {
                self.new_line(self.depth, is_blank(blank, comment.newlines));
            }
            self.comment(comment, self.depth);
            blank = BlankLine::Keep;
        }
        let is_end = lexeme.is_end();
        if is_end {
            blank = BlankLine::Never;
            self.depth = self.depth.saturating_sub(1);
        }
        match leading.last() {
            Some(last) if lexeme.newlines == 0 && !last.is_doc_block() && !is_end => {
                self.out.push(' ');
            }
            _ if lexeme.text.is_empty() => {}
            _ => self.new_line(self.depth, is_blank(blank, lexeme.newlines)),
        }
        if !lexeme.is_silent {
            self.out.push_str(lexeme.text);
        }
    }

    fn new_line(&mut self, depth: usize, is_blank: bool) {
        if self.out.is_empty() {
            return;
        }
        self.out.push_str(if is_blank { "\n\n" } else { "\n" });
        self.out.extend(std::iter::repeat_n(' ', depth * INDENT));
    }

    fn comment(&mut self, comment: &Comment<'_>, depth: usize) {
        self.out
            .push_str(&indented_comment(comment.text, depth * INDENT));
    }
}

fn is_blank(blank: BlankLine, newlines: usize) -> bool {
    match blank {
        BlankLine::Never => false,
        BlankLine::Keep => newlines > 1,
        BlankLine::Always => true,
    }
}

#[cfg(test)]
mod tests {
    use super::indented_comment;

    #[test]
    fn stars_are_aligned() {
        assert_eq!(
            indented_comment("/**\n\t* a\n\n*  b\n      */", 4),
            "/**\n     * a\n     *\n     *  b\n     */"
        );
    }

    #[test]
    fn lines_without_stars_keep_their_relative_indentation() {
        assert_eq!(
            indented_comment("/* a\n  b\n\n    c */", 0),
            "/* a\n   b\n\n     c */"
        );
        assert_eq!(indented_comment("/*\nb\n*/", 0), "/*\n   b\n */");
    }

    #[test]
    fn a_comment_of_one_line_is_unchanged() {
        assert_eq!(indented_comment("/*  a  */", 8), "/*  a  */");
    }
}
