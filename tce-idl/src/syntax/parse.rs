//! The one place that knows pest.

use pest::Parser;
use pest::error::{ErrorVariant, InputLocation};
use pest::iterators::Pair;

use super::ast::Name;
use crate::source::{FileId, Span};

/// The generated parser, in a module of its own: what it generates has no documentation.
mod generated {
    #[derive(pest_derive::Parser)]
    #[grammar = "syntax/grammar.pest"]
    pub(super) struct Grammar;
}

pub(super) use generated::Rule;

/// How much of a broken piece is looked at: a piece can be a whole file of garbage.
const MAX_TOKENS: usize = 1000;

/// A piece of a file that a rule of the grammar matched.
#[derive(Clone)]
pub(super) struct Node<'a> {
    pair: Pair<'a, Rule>,
    file: FileId,
}

impl<'a> Node<'a> {
    pub(super) fn rule(&self) -> Rule {
        self.pair.as_rule()
    }

    pub(super) fn text(&self) -> &'a str {
        self.pair.as_str()
    }

    /// Where it stands, without the space that pest reads while it looks for more.
    pub(super) fn span(&self) -> Span {
        let start = self.pair.as_span().start();
        let end = start + self.text().trim_end_matches([' ', '\t', '\r', '\n']).len();
        Span {
            file: self.file,
            start: offset(start),
            end: offset(end),
        }
    }

    pub(super) fn name(&self) -> Name {
        Name {
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

    /// Every comment inside it.
    pub(super) fn comments(&self) -> impl Iterator<Item = Self> + use<'a> {
        let file = self.file;
        let pairs = self.pair.clone().into_inner().flatten();
        pairs
            .filter(|pair| pair.as_rule() == Rule::COMMENT)
            .map(move |pair| Self { pair, file })
    }

    /// The words, signs and comments that it is made of.
    pub(super) fn leaves(&self) -> impl Iterator<Item = Self> + use<'a> {
        let file = self.file;
        let leaves =
            self.pair.clone().into_inner().flatten().filter(|pair| {
                !pair.as_str().is_empty() && pair.clone().into_inner().next().is_none()
            });
        leaves.map(move |pair| Self { pair, file })
    }

    /// The first [`MAX_TOKENS`] words and signs that it is made of, without comments.
    pub(super) fn tokens(&self) -> impl Iterator<Item = Name> + use<'a> {
        self.leaves()
            .filter(|leaf| leaf.rule() != Rule::COMMENT)
            .take(MAX_TOKENS)
            .map(|leaf| leaf.name())
    }
}

/// Where a text stopped being what it should be, and what could have stood there.
pub(super) struct Failure {
    /// The byte of the text.
    pub(super) at: usize,
    pub(super) expected: Vec<Rule>,
}

/// Parses a whole file. The grammar understands any text, so there is no error.
pub(super) fn file(text: &str, file: FileId) -> Option<Node<'_>> {
    let pair = generated::Grammar::parse(Rule::file, text).ok()?.next()?;
    Some(Node { pair, file })
}

/// Finds out where `text` stops being what `rule` wants; `None` if it never does.
pub(super) fn failure(rule: Rule, text: &str) -> Option<Failure> {
    let error = generated::Grammar::parse(rule, text).err()?;
    let at = match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    };
    let expected = match error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives,
        ErrorVariant::CustomError { .. } => Vec::new(),
    };
    Some(Failure { at, expected })
}

/// Files are far smaller than 4 GiB: the loader sees to it.
fn offset(byte: usize) -> u32 {
    u32::try_from(byte).unwrap_or(u32::MAX)
}
