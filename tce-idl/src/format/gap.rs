//! What stands between a piece and the one before it.

use super::pieces::{Piece, is_idle};

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
