//! Text to AST: pest makes pairs of the text, `lower` makes the AST of the pairs.

pub(crate) mod ast;
mod lower;
mod parse;

use crate::diagnostic::Diagnostics;
use crate::source::{FileId, Source, Span};

/// Understands one file. What it can't understand goes to `sink`; the rest is in the AST.
pub(crate) fn read(id: FileId, source: &Source, sink: &mut Diagnostics) -> ast::File {
    lower::file(id, source.text(), sink)
}

/// Whether a text can be the name of a declaration.
pub(crate) fn is_name(text: &str) -> bool {
    let is_word = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word && parse::failure(parse::Rule::just_name, text).is_none()
}

/// A word, a sign or a comment of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub(crate) span: Span,
    pub(crate) is_comment: bool,
}

/// Everything in a file that is no space, in order. Texts that [`read`] has
/// nothing to say of are all words, signs of the language, and comments.
pub(crate) fn tokens(id: FileId, source: &Source) -> Vec<Token> {
    let root = parse::file(source.text(), id);
    let leaves = root.iter().flat_map(parse::Node::leaves);
    let token = |leaf: parse::Node<'_>| Token {
        span: leaf.span(),
        is_comment: leaf.rule() == parse::Rule::COMMENT,
    };
    leaves.map(token).collect()
}
