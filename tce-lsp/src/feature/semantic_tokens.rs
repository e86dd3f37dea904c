//! What each name is, for colours that a grammar alone can't give.

use ls_types::{
    Position, SemanticToken, SemanticTokenModifier, SemanticTokenType, SemanticTokens,
    SemanticTokensLegend, SemanticTokensParams, SemanticTokensResult,
};
use tce_idl::names::Kind;

use crate::{convert, world::World};

/// The kinds of names and what the protocol calls them, at the positions that tokens refer to.
const TYPES: [(Kind, SemanticTokenType); 8] = [
    (Kind::Module, SemanticTokenType::NAMESPACE),
    (Kind::Struct, SemanticTokenType::STRUCT),
    (Kind::Sequence, SemanticTokenType::TYPE),
    (Kind::Dictionary, SemanticTokenType::TYPE),
    (Kind::Interface, SemanticTokenType::INTERFACE),
    (Kind::Member, SemanticTokenType::PROPERTY),
    (Kind::Operation, SemanticTokenType::METHOD),
    (Kind::Parameter, SemanticTokenType::PARAMETER),
];

/// What the numbers in tokens stand for.
pub(crate) fn legend() -> SemanticTokensLegend {
    SemanticTokensLegend {
        token_types: TYPES.iter().map(|(_, name)| name.clone()).collect(),
        token_modifiers: vec![SemanticTokenModifier::DECLARATION],
    }
}

pub(crate) fn tokens(
    world: &mut World,
    params: &SemanticTokensParams,
) -> Option<SemanticTokensResult> {
    let analysis = world.opened(&params.text_document.uri)?;
    let mut data = Vec::new();
    let mut last = Position::default();
    for (span, id) in analysis.names.in_file(analysis.root?) {
        let symbol = analysis.names.get(id);
        let range = convert::range(analysis.sources(), span);
        let delta_line = range.start.line - last.line;
        let from = if delta_line == 0 { last.character } else { 0 };
        let is_declared = symbol.places.iter().any(|place| place.name == span);
        let kind = TYPES.iter().position(|(kind, _)| *kind == symbol.kind)?;
        data.push(SemanticToken {
            delta_line,
            delta_start: range.start.character - from,
            length: range.end.character - range.start.character,
            token_type: u32::try_from(kind).ok()?,
            token_modifiers_bitset: u32::from(is_declared),
        });
        last = range.start;
    }
    let tokens = SemanticTokens {
        result_id: None,
        data,
    };
    Some(tokens.into())
}
