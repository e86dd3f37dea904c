//! What a new version of an IDL breaks for peers that use the old one.
//!
//! On the wire only indices and the order of values matter; in the generated
//! code, names. So a renamed declaration with its old index breaks sources
//! only, and a changed index or order breaks running programs.
//!
//! An operation or interface that is added at the end breaks nothing: no old
//! caller uses it. A recompiled server has to implement it, as is intended.

mod versions;
mod list;
mod enums;
mod elements;
mod interfaces;

use crate::diagnostic::Diagnostic;
use crate::lock::{Baseline, Lock, changed_indices};
use crate::model::Model;
use versions::Versions;

/// Every breaking change, by position, with what it breaks
/// ([`breaks`](field@Diagnostic::breaks)) and how to avoid that. Both models
/// must share one [`SourceMap`](crate::source::SourceMap): see
/// [`compile_beside`](crate::compile_beside).
#[must_use]
pub fn compare(old: &Model, new: &Model) -> Vec<Diagnostic> {
    let versions = Versions::new(old, new);
    let baseline = Lock::of(old).renamed(|name| versions.new_name(name));
    let mut found = changed_indices(&baseline, new, Baseline::EarlierVersion);
    interfaces::compare(&versions, &mut found);
    elements::compare(&versions, &mut found);
    found.sort_by_key(|diagnostic| diagnostic.primary.as_ref().map(|label| label.span));
    found
}
