//! The parser. Only this module uses pest.

use pest::Parser;
use pest::error::{ErrorVariant, InputLocation};
use pest::iterators::Pair;

use super::ast::Identifier;
use crate::source::{FileId, Span};

/// The generated parser, in its own module since the generated items have no documentation.
mod generated {
    #[derive(pest_derive::Parser)]
    #[grammar = "syntax/grammar.pest"]
    pub(super) struct Grammar;
}

pub(super) use generated::Rule;

/// The most tokens of a malformed part that are examined: the part can be a whole file of garbage.
const MAX_TOKENS: usize = 1000;

/// A part of a file that a rule of the grammar matched.
#[derive(Clone)]
pub(super) struct SyntaxNode<'a> {
    pair: Pair<'a, Rule>,
    file: FileId,
}

impl<'a> SyntaxNode<'a> {
    pub(super) fn rule(&self) -> Rule {
        self.pair.as_rule()
    }

    pub(super) fn text(&self) -> &'a str {
        self.pair.as_str()
    }

    /// Its position, without the trailing space that pest includes after optional parts.
    pub(super) fn span(&self) -> Span {
        let start = self.pair.as_span().start();
        let end = start + self.text().trim_end_matches([' ', '\t', '\r', '\n']).len();
        Span {
            file: self.file,
            start: offset(start),
            end: offset(end),
        }
    }

    pub(super) fn name(&self) -> Identifier {
        Identifier {
            text: self.text().to_owned(),
            span: self.span(),
        }
    }

    pub(super) fn children(&self) -> impl Iterator<Item = Self> + use<'a> {
        let file = self.file;
        self.pair
            .clone()
            .into_inner()
            .map(move |pair| Self { pair, file })
    }

    /// The first child that `rule` matched.
    pub(super) fn child(&self, rule: Rule) -> Option<Self> {
        self.children().find(|child| child.rule() == rule)
    }

    /// Every comment inside the node.
    pub(super) fn comments(&self) -> impl Iterator<Item = Self> + use<'a> {
        let file = self.file;
        let pairs = self.pair.clone().into_inner().flatten();
        pairs
            .filter(|pair| pair.as_rule() == Rule::COMMENT)
            .map(move |pair| Self { pair, file })
    }

    /// The words, punctuation marks and comments inside the node.
    pub(super) fn leaves(&self) -> impl Iterator<Item = Self> + use<'a> {
        let file = self.file;
        let leaves =
            self.pair.clone().into_inner().flatten().filter(|pair| {
                !pair.as_str().is_empty() && pair.clone().into_inner().next().is_none()
            });
        leaves.map(move |pair| Self { pair, file })
    }

    /// The first [`MAX_TOKENS`] words and punctuation marks inside the node.
    pub(super) fn tokens(&self) -> impl Iterator<Item = Identifier> + use<'a> {
        self.leaves()
            .filter(|leaf| leaf.rule() != Rule::COMMENT)
            .take(MAX_TOKENS)
            .map(|leaf| leaf.name())
    }
}

/// Where a text does not match a rule, and what the rule allows there.
pub(super) struct ParseFailure {
    /// The byte of the text.
    pub(super) at: usize,
    pub(super) expected: Vec<Rule>,
}

/// Parses a whole file. The grammar accepts any text; malformed parts match the rules `broken_…`.
pub(super) fn file(text: &str, file: FileId) -> Option<SyntaxNode<'_>> {
    let pair = generated::Grammar::parse(Rule::file, text).ok()?.next()?;
    Some(SyntaxNode { pair, file })
}

/// Finds where `text` does not match `rule`; `None` if it matches.
pub(super) fn failure(rule: Rule, text: &str) -> Option<ParseFailure> {
    let error = generated::Grammar::parse(rule, text).err()?;
    let at = match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    };
    let expected = match error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives,
        ErrorVariant::CustomError { .. } => Vec::new(),
    };
    Some(ParseFailure { at, expected })
}

/// Files are far smaller than 4 GiB: the loader limits their size.
fn offset(byte: usize) -> u32 {
    u32::try_from(byte).unwrap_or(u32::MAX)
}
