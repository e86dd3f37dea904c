//! The canonical layout.

use ls_types::{DocumentFormattingParams, Range, TextEdit};
use tce_idl::source::Source;

use crate::{convert, world::World};

/// One edit over the lines that change. A text with mistakes is left alone:
/// its diagnostics say what they are.
pub(crate) fn format(
    world: &mut World,
    params: &DocumentFormattingParams,
) -> Option<Vec<TextEdit>> {
    let source = &world.files.buffer(&params.text_document.uri)?.source;
    let new = tce_idl::format(source.text()).ok()?;
    Some(difference(source, &new).into_iter().collect())
}

fn difference(source: &Source, new: &str) -> Option<TextEdit> {
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
    let at = |byte: usize| convert::position(source, u32::try_from(byte).unwrap_or(u32::MAX));
    Some(TextEdit {
        range: Range::new(at(start), at(old.len() - end)),
        new_text: new_rest[..new_rest.len() - end].to_owned(),
    })
}

/// The bytes of the lines that both begin with.
fn shared_lines<'a>(
    old: impl Iterator<Item = &'a str>,
    new: impl Iterator<Item = &'a str>,
) -> usize {
    let shared = old.zip(new).take_while(|(old, new)| old == new);
    shared.map(|(line, _)| line.len()).sum()
}
