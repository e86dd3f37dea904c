//! Semantic tokens: the kind of each name, for highlighting that a grammar can't provide.

use ls_types::{
    Position, SemanticToken, SemanticTokenModifier, SemanticTokenType, SemanticTokens,
    SemanticTokensLegend, SemanticTokensParams, SemanticTokensResult,
};
use tce_idl::symbols::SymbolKind;

use crate::{documents, workspace::Workspace};

/// The kinds of symbols and their token types; tokens refer to the position in this list.
const TYPES: [(SymbolKind, SemanticTokenType); 12] = [
    (SymbolKind::Module, SemanticTokenType::NAMESPACE),
    (SymbolKind::Struct, SemanticTokenType::STRUCT),
    (SymbolKind::Sequence, SemanticTokenType::TYPE),
    (SymbolKind::Dictionary, SemanticTokenType::TYPE),
    (SymbolKind::Interface, SemanticTokenType::INTERFACE),
    (SymbolKind::Member, SemanticTokenType::PROPERTY),
    (SymbolKind::Operation, SemanticTokenType::METHOD),
    (SymbolKind::Parameter, SemanticTokenType::PARAMETER),
    (SymbolKind::Exception, SemanticTokenType::CLASS),
    (SymbolKind::Enum, SemanticTokenType::ENUM),
    (SymbolKind::EnumMember, SemanticTokenType::ENUM_MEMBER),
    (SymbolKind::Constant, SemanticTokenType::VARIABLE),
];

/// The meaning of the numbers in tokens.
pub(crate) fn legend() -> SemanticTokensLegend {
    SemanticTokensLegend {
        token_types: TYPES.iter().map(|(_, name)| name.clone()).collect(),
        token_modifiers: vec![SemanticTokenModifier::DECLARATION],
    }
}

pub(crate) fn tokens(
    workspace: &mut Workspace,
    params: &SemanticTokensParams,
) -> Option<SemanticTokensResult> {
    let analysis = workspace.opened(&params.text_document.uri)?;
    let mut data = Vec::new();
    let mut last = Position::default();
    for (span, id) in analysis.names.in_file(analysis.root?) {
        let symbol = analysis.names.get(id);
        let range = documents::range(analysis.sources(), span);
        let delta_line = range.start.line - last.line;
        let from = if delta_line == 0 { last.character } else { 0 };
        let is_declared = symbol.declarations.iter().any(|it| it.name == span);
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
