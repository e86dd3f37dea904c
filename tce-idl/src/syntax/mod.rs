//! Text to AST: `parse` turns the text into pest's pairs, `lower` turns the pairs into the AST.

pub(crate) mod ast;
mod parse;
mod lower;

use crate::diagnostic::Diagnostics;
use crate::source::{FileId, SourceFile, Span};

/// Parses one file. Reports syntax errors to `sink`; everything else is in the AST.
pub(crate) fn read(id: FileId, source: &SourceFile, sink: &mut Diagnostics) -> ast::File {
    lower::file(id, source.text(), sink)
}

/// Whether a text is a valid name of a declaration.
pub(crate) fn is_name(text: &str) -> bool {
    let is_word = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word && parse::failure(parse::Rule::just_name, text).is_none()
}

/// A word, a punctuation mark or a comment of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub(crate) span: Span,
    pub(crate) is_comment: bool,
}

/// A part of a module's body, with the comments inside of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModulePart {
    pub(crate) span: Span,
    pub(crate) kind: PartKind,
}

/// What a part of a module's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartKind {
    Comment,
    Annotations,
    /// Whose own parts can be malformed.
    Declaration,
    /// Something malformed, or a redundant `;`.
    Other,
}

/// The parts of the body of each module of a file, in order.
pub(crate) fn module_parts(id: FileId, source: &SourceFile) -> Vec<Vec<ModulePart>> {
    use parse::Rule;
    let root = parse::file(source.text(), id);
    let modules = root.iter().flat_map(parse::SyntaxNode::children);
    let modules = modules.filter(|node| node.rule() == Rule::module);
    let parts = |module: parse::SyntaxNode<'_>| {
        // What follows the closing brace is not in the body.
        let inside = module
            .children()
            .take_while(|child| child.rule() != Rule::close);
        let inside = inside.filter_map(|child| {
            let kind = match child.rule() {
                Rule::COMMENT => PartKind::Comment,
                Rule::annotations => PartKind::Annotations,
                Rule::broken_element | Rule::broken_annotations | Rule::semi => PartKind::Other,
                Rule::module_head
                | Rule::broken_module_head
                | Rule::open
                | Rule::no_open
                | Rule::unclosed => return None,
                _ => PartKind::Declaration,
            };
            let span = child.span();
            Some(ModulePart { span, kind })
        });
        inside.collect()
    };
    modules.map(parts).collect()
}

/// All tokens of a file and its comments, in order. In a file without syntax
/// errors, every token is a word or a punctuation mark of the language.
pub(crate) fn tokens(id: FileId, source: &SourceFile) -> Vec<Token> {
    let root = parse::file(source.text(), id);
    let leaves = root.iter().flat_map(parse::SyntaxNode::leaves);
    let token = |leaf: parse::SyntaxNode<'_>| Token {
        span: leaf.span(),
        is_comment: leaf.rule() == parse::Rule::COMMENT,
    };
    leaves.map(token).collect()
}
