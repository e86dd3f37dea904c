//! Formatting: the canonical layout.

use ls_types::{DocumentFormattingParams, Range, TextEdit};
use tce_idl::source::SourceFile;

use crate::{documents, workspace::Workspace};

/// One edit that replaces the lines that change. A text with syntax errors is not
/// formatted: its diagnostics explain the errors.
pub(crate) fn format(
    workspace: &mut Workspace,
    params: &DocumentFormattingParams,
) -> Option<Vec<TextEdit>> {
    let source = &workspace
        .documents
        .document(&params.text_document.uri)?
        .source;
    let new = tce_idl::format(source.text()).ok()?;
    Some(difference(source, &new).into_iter().collect())
}

fn difference(source: &SourceFile, new: &str) -> Option<TextEdit> {
    let old = source.text();
    if old == new {
        return None;
    }
    let start = shared_lines(old.split_inclusive('\n'), new.split_inclusive('\n'));
    let (old_rest, new_rest) = (&old[start..], &new[start..]);
    let end = shared_lines(
        old_rest.split_inclusive('\n').rev(),
        new_rest.split_inclusive('\n').rev(),
    );
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
