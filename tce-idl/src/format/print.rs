//! Pieces to text.

use super::pieces::{Comment, Piece, is_idle};

/// How many columns an operation may take on one line.
const WIDTH: usize = 100;

/// How many columns each level is indented.
const INDENT: usize = 4;

/// The text that the pieces make.
pub(super) fn print(pieces: &[Piece<'_>]) -> String {
    let mut printer = Printer {
        pieces,
        out: String::new(),
        depth: 0,
        heads: [""; 3],
    };
    let mut at = 0;
    while at < pieces.len() {
        at = printer.statement_part(at);
    }
    let mut out = printer.out;
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

struct Printer<'p> {
    pieces: &'p [Piece<'p>],
    out: String,
    /// How deep the next line is indented.
    depth: usize,
    /// The words that the last declaration at each depth begins with.
    heads: [&'p str; 3],
}

impl<'p> Printer<'p> {
    /// Prints the piece at `at`, or a list of parameters, and says which comes next.
    fn statement_part(&mut self, at: usize) -> usize {
        let text = self.pieces[at].text;
        if text == "(" {
            return self.parameters(at);
        }
        let level = self.depth.min(2);
        match gap::before(self.pieces, at, self.depth, self.heads[level]) {
            Gap::Line(blank) => {
                self.line(at, blank);
                self.heads[level] = gap::head(self.pieces, at);
            }
            gap => {
                self.inline(at, gap);
                // Of an empty body: else `line` has done it.
                self.depth -= usize::from(text == "}" && self.depth > 0);
            }
        }
        self.depth += usize::from(text == "{");
        at + 1
    }

    /// Prints `( … )`: on one line if the operation fits there, else one parameter a line.
    fn parameters(&mut self, open: usize) -> usize {
        let length = self.pieces[open..]
            .iter()
            .position(|piece| piece.text == ")");
        let close = length.map_or(open, |length| open + length);
        let start = self.out.len();
        for at in open..=close + 1 {
            self.inline(at, gap::before(self.pieces, at, self.depth, ""));
        }
        let line = self.out.rsplit('\n').next().unwrap_or_default();
        let is_fit = line.chars().count() <= WIDTH && !self.out[start..].contains('\n');
        if !is_fit && close > open + 1 {
            self.out.truncate(start);
            self.wrapped(open, close);
        }
        close + 2
    }

    fn wrapped(&mut self, open: usize, close: usize) {
        self.inline(open, Gap::None);
        self.depth += 1;
        for at in open + 1..close {
            match self.pieces[at - 1].text {
                "(" | "," => self.line(at, Blank::Never),
                _ => self.inline(at, gap::before(self.pieces, at, self.depth, "")),
            }
        }
        self.line(close, Blank::Never);
        self.inline(close + 1, Gap::None);
    }

    /// Prints a piece on the line of the one before, if no comment is in the way.
    fn inline(&mut self, at: usize, gap: Gap) {
        let piece = &self.pieces[at];
        let mut is_line = false;
        for comment in &piece.comments {
            if is_line || comment.is_line() && comment.newlines > 0 {
                self.new_line(self.depth + 1, false);
            } else if comment.is_line() || !self.out.ends_with(['(', '[', '<']) {
                self.out.push(' ');
            }
            self.comment(comment, self.depth + 1);
            is_line = comment.is_line();
        }
        let is_closing = matches!(piece.text, "," | ";" | ")" | "]" | ">");
        match gap {
            _ if is_line => self.new_line(self.depth + 1, false),
            _ if !piece.comments.is_empty() && !is_closing => self.out.push(' '),
            Gap::Space => self.out.push(' '),
            _ => {}
        }
        self.out.push_str(piece.text);
    }

    /// Prints a piece on a line of its own, but for a comment right before it.
    fn line(&mut self, at: usize, blank: Blank) {
        let piece = &self.pieces[at];
        let (trailing, leading) = piece.comments.split_at(trailing(piece));
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
            blank = Blank::Keep;
        }
        let is_end = is_end(piece);
        if is_end {
            blank = Blank::Never;
            self.depth = self.depth.saturating_sub(1);
        }
        match leading.last() {
            Some(last) if piece.newlines == 0 && !last.is_doc_block() && !is_end => {
                self.out.push(' ');
            }
            _ if piece.text.is_empty() => {}
            _ => self.new_line(self.depth, is_blank(blank, piece.newlines)),
        }
        self.out.push_str(piece.text);
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
            .push_str(&comment::placed(comment.text, depth * INDENT));
    }
}

fn is_blank(blank: Blank, newlines: usize) -> bool {
    match blank {
        Blank::Never => false,
        Blank::Keep => newlines > 1,
        Blank::Always => true,
    }
}

/// How many comments stay on the line of the piece before: those that end it.
fn trailing(piece: &Piece<'_>) -> usize {
    let is_behind = |comment: &&Comment<'_>| comment.newlines == 0;
    let behind = piece.comments.iter().take_while(is_behind).count();
    let is_ended = behind < piece.comments.len() || piece.newlines > 0 || is_end(piece);
    if is_ended { behind } else { 0 }
}

/// Whether a piece ends a list, or the file.
fn is_end(piece: &Piece<'_>) -> bool {
    matches!(piece.text, "}" | ")" | "")
}

/// The space before a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    None,
    Space,
    /// A new line, with perhaps an empty one before.
    Line(Blank),
}

/// Whether an empty line stands before a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blank {
    Never,
    /// Where there is one already.
    Keep,
    Always,
}

/// What stands between the pieces `at - 1` and `at`. `depth` is the number of
/// open braces, and `last` the word that the declaration before begins with.
pub(super) fn before(pieces: &[Piece<'_>], at: usize, depth: usize, last: &str) -> Gap {
    let Some(previous) = at.checked_sub(1).map(|before| pieces[before].text) else {
        return Gap::Line(Blank::Never);
    };
    let piece = &pieces[at];
    match (previous, piece.text) {
        ("{", "}") if piece.comments.is_empty() => Gap::None,
        ("{" | "]", _) | (_, "}" | "") => Gap::Line(Blank::Never),
        (";", _) => Gap::Line(between(last, head(pieces, at), depth)),
        ("}", text) if text != ";" => Gap::Line(between(last, head(pieces, at), depth)),
        ("}", _) if is_idle(previous, piece, depth) => Gap::Line(Blank::Keep),
        ("(" | "[" | "<" | "::" | "=", _)
        | (_, ";" | "," | ")" | "]" | ">" | "::" | "=" | "<" | "(") => Gap::None,
        _ => Gap::Space,
    }
}

/// The word that the declaration at `at` begins with, after its annotations.
pub(super) fn head<'a>(pieces: &[Piece<'a>], mut at: usize) -> &'a str {
    while pieces[at].text == "[" {
        let length = pieces[at..].iter().position(|piece| piece.text == "]");
        at = length.map_or(pieces.len() - 1, |length| at + length + 1);
    }
    pieces[at].text
}

/// What stands between two declarations that begin with these words.
fn between(last: &str, next: &str, depth: usize) -> Blank {
    let is_tall = |head| matches!(head, "struct" | "interface" | "module");
    match depth {
        // Members and operations, which may be of a type called `structure`, but not `struct`.
        2.. => Blank::Keep,
        _ if is_tall(last) || is_tall(next) => Blank::Always,
        _ => Blank::Keep,
    }
}

/// A comment whose lines after the first stand below it, at `indent` columns.
/// A `*` before each line is lined up. Other lines keep their places to each
/// other. Either way, documentation reads the same afterwards.
pub(super) fn placed(comment: &str, indent: usize) -> String {
    let mut lines = comment.lines().map(str::trim_end);
    let mut placed = lines.next().unwrap_or_default().to_owned();
    let rest: Vec<&str> = lines.collect();
    let is_framed = rest
        .iter()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('*'));
    let shared = shared_indent(&rest);
    for line in &rest {
        placed.push('\n');
        let (margin, line) = match (line.trim(), is_framed) {
            ("*/", _) => (" ", "*/"),
            ("", true) => (" ", "*"),
            ("", false) => continue,
            (_, true) => (" ", line.trim_start()),
            (_, false) => ("   ", line.get(shared..).unwrap_or(line)),
        };
        placed.extend(std::iter::repeat_n(' ', indent));
        placed.push_str(margin);
        placed.push_str(line);
    }
    placed
}

/// How many bytes of space all lines with words begin with.
fn shared_indent(lines: &[&str]) -> usize {
    let with_words = lines
        .iter()
        .filter(|line| !matches!(line.trim(), "" | "*/"));
    let width = |line: &&str| line.len() - line.trim_start_matches([' ', '\t']).len();
    with_words.map(width).min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::placed;

    #[test]
    fn a_frame_is_lined_up() {
        assert_eq!(
            placed("/**\n\t* a\n\n*  b\n      */", 4),
            "/**\n     * a\n     *\n     *  b\n     */"
        );
    }

    #[test]
    fn lines_without_a_frame_keep_their_places_to_each_other() {
        assert_eq!(
            placed("/* a\n  b\n\n    c */", 0),
            "/* a\n   b\n\n     c */"
        );
        assert_eq!(placed("/*\nb\n*/", 0), "/*\n   b\n */");
    }

    #[test]
    fn one_line_stays() {
        assert_eq!(placed("/*  a  */", 8), "/*  a  */");
    }
}
