//! Go to definition: of a name, and of an import.

use ls_types::{GotoDefinitionParams, GotoDefinitionResponse, Location, Range};

use crate::world::{Spot, World};

pub(crate) fn definition(
    world: &mut World,
    params: &GotoDefinitionParams,
) -> Option<GotoDefinitionResponse> {
    let spot = world.spot(&params.text_document_position_params)?;
    let Spot {
        analysis,
        file,
        offset,
    } = spot;
    if let Some((_, path)) = analysis.names.import_at(file, offset) {
        let location = Location::new(world.files.uri(path)?, Range::default());
        return Some(location.into());
    }
    let (_, id) = analysis.names.at(file, offset)?;
    let places = analysis.names.get(id).places.iter();
    let locations = places.filter_map(|place| world.location(analysis.sources(), place.name));
    Some(GotoDefinitionResponse::Array(locations.collect()))
}
