//! What a new version of an IDL breaks for peers that have the old one.
//!
//! On the wire only indices and the order of values count; names count in the
//! generated code. So a new name for something in its old place breaks sources
//! alone, and a new place breaks what runs.
//!
//! What is added at the end breaks nothing. Nobody calls a new operation yet,
//! and whoever serves the interface is to be told by the compiler.

mod elements;
mod interfaces;
mod list;
mod pairs;
mod types;

use crate::diagnostic::Diagnostic;
use crate::lock::{Before, Lock, hold};
use crate::model::Model;
use pairs::Pairs;

/// Every change that breaks something, by place. Each says what it breaks
/// ([`breaks`](field@Diagnostic::breaks)) and how to keep that. Both models come of one
/// [`SourceMap`](crate::source::SourceMap): see [`compile_beside`](crate::compile_beside).
#[must_use]
pub fn compare(old: &Model, new: &Model) -> Vec<Diagnostic> {
    let pairs = Pairs::new(old, new);
    let known = Lock::of(old).renamed(|name| pairs.new_name(name));
    let mut found = hold(&known, new, Before::Declared);
    interfaces::compare(&pairs, &mut found);
    elements::compare(&pairs, &mut found);
    found.sort_by_key(|diagnostic| diagnostic.primary.as_ref().map(|label| label.span));
    found
}
