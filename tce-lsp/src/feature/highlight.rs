//! Every mention of the name under the cursor, in the same text.

use ls_types::{DocumentHighlight, DocumentHighlightParams};

use crate::{convert, world::World};

pub(crate) fn highlight(
    world: &mut World,
    params: &DocumentHighlightParams,
) -> Option<Vec<DocumentHighlight>> {
    let spot = world.spot(&params.text_document_position_params)?;
    let names = &spot.analysis.names;
    let (_, id) = names.at(spot.file, spot.offset)?;
    let here = names.mentions(id).filter(|span| span.file == spot.file);
    let highlights = here.map(|span| DocumentHighlight {
        range: convert::range(spot.analysis.sources(), span),
        kind: None,
    });
    Some(highlights.collect())
}
