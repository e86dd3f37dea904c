//! Text to AST: pest makes pairs of the text, `lower` makes the AST of the pairs.

pub(crate) mod ast;
mod lower;
mod parse;

use crate::diagnostic::Diagnostics;
use crate::source::{FileId, Source};

/// Understands one file. What it can't understand goes to `sink`; the rest is in the AST.
pub(crate) fn read(id: FileId, source: &Source, sink: &mut Diagnostics) -> ast::File {
    lower::file(id, source.text(), sink)
}
