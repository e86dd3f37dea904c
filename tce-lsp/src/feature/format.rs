//! Formatting: the canonical layout.

use ls_types::{DocumentFormattingParams, Range, TextEdit};
use tce_idl::source::{SourceFile, lines_with_ends};

use crate::{documents, workspace::Workspace};

/// One edit that replaces the lines that change. In a text with syntax errors, the
/// declarations without any are formatted.
pub(crate) fn format(
    workspace: &mut Workspace,
    params: &DocumentFormattingParams,
) -> Option<Vec<TextEdit>> {
    let source = &workspace
        .documents
        .document(&params.text_document.uri)?
        .source;
    let text = source.text();
    let new = tce_idl::format(text).unwrap_or_else(|_| tce_idl::format_partly(text));
    Some(difference(source, &new).into_iter().collect())
}

fn difference(source: &SourceFile, new: &str) -> Option<TextEdit> {
    let old = source.text();
    if old == new {
        return None;
    }
    let start = shared_lines(lines_with_ends(old), lines_with_ends(new));
    let (old_rest, new_rest) = (&old[start..], &new[start..]);
    let lines = |text| lines_with_ends(text).collect::<Vec<_>>().into_iter().rev();
    let end = shared_lines(lines(old_rest), lines(new_rest));
    let at = |byte: usize| documents::position(source, u32::try_from(byte).unwrap_or(u32::MAX));
    Some(TextEdit {
        range: Range::new(at(start), at(old.len() - end)),
        new_text: new_rest[..new_rest.len() - end].to_owned(),
    })
}

/// The length in bytes of the lines that both begin with.
fn shared_lines<'a>(
    old: impl Iterator<Item = &'a str>,
    new: impl Iterator<Item = &'a str>,
) -> usize {
    let shared = old.zip(new).take_while(|(old, new)| old == new);
    shared.map(|(line, _)| line.len()).sum()
}
