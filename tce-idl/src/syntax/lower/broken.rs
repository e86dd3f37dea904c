//! A piece of text that is not what it should be.

use super::Rule;
use crate::syntax::ast::Name;

/// A broken piece, and how far it can be followed.
pub(super) struct Broken {
    /// What it should have been.
    pub(super) rule: Rule,
    /// Its words and signs, at least one.
    pub(super) tokens: Vec<Name>,
    /// The first of them that does not fit; their number where the text ends too early.
    pub(super) at: usize,
    pub(super) expected: Vec<Rule>,
}

impl Broken {
    /// The text of a token; empty beyond the last.
    pub(super) fn word(&self, index: usize) -> &str {
        self.tokens
            .get(index)
            .map_or("", |token| token.text.as_str())
    }
}
