//! The compiler's words to the protocol's.

use ls_types::{Position, Range};
use tce_idl::source::{Source, SourceMap, Span, Utf16Position};

/// A place as the client counts it.
pub(crate) fn range(sources: &SourceMap, span: Span) -> Range {
    let source = sources.get(span.file);
    Range {
        start: position(source, span.start),
        end: position(source, span.end),
    }
}

pub(crate) fn position(source: &Source, offset: u32) -> Position {
    let position = source.utf16_position(offset);
    Position::new(position.line, position.column)
}

/// The byte of a text that a client means.
pub(crate) fn offset(source: &Source, position: Position) -> u32 {
    source.utf16_offset(Utf16Position {
        line: position.line,
        column: position.character,
    })
}
