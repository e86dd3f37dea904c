//! `%VAR%`, `%VAR:default%` and `%%`.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use super::source::{MAX_DEPTH, MAX_SIZE};
use super::variables::Variables;

/// How many variables a job may name. Without it, values that name others could keep the server
/// busy without an end in sight.
const MAX_SUBSTITUTIONS: u32 = 1_000_000;

/// Replaces the variables of one job, which share a bound.
pub(super) struct Substitution<'a> {
    pub(super) micro: u8,
    variables: &'a Variables,
    left: Cell<u32>,
}

/// Why a text can't be replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SubstituteError {
    Unknown(String),
    Unpaired(char),
    Depth(String),
    Size,
}

impl fmt::Display for SubstituteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(formatter, "there is no variable {name}"),
            Self::Unpaired(micro) => write!(
                formatter,
                "a {micro} has no partner; write {micro}{micro} for the character itself"
            ),
            Self::Depth(name) => write!(
                formatter,
                "the value of {name} names variables more than {MAX_DEPTH} levels deep"
            ),
            Self::Size => formatter.write_str("the values of the variables are too long"),
        }
    }
}

impl<'a> Substitution<'a> {
    pub(super) fn new(micro: u8, variables: &'a Variables) -> Self {
        Self {
            micro,
            variables,
            left: Cell::new(MAX_SUBSTITUTIONS),
        }
    }

    /// Appends a text with the values of its variables.
    pub(super) fn append(&self, text: &[u8], out: &mut Vec<u8>) -> Result<(), SubstituteError> {
        self.expand(text, 0, out)
    }

    /// The same, where a last mark without a partner stays as it is.
    pub(super) fn append_lenient(
        &self,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SubstituteError> {
        self.expand(text, 1, out)
    }

    /// The names, with their defaults, that a text has between its marks.
    pub(super) fn names<'t>(&self, text: &'t [u8]) -> impl Iterator<Item = Cow<'t, str>> {
        let mut rest = text;
        let names = std::iter::from_fn(move || {
            let (_, name, after) = self.next(rest).ok()??;
            rest = after;
            Some(String::from_utf8_lossy(name))
        });
        names.filter(|name| !name.is_empty())
    }

    /// The text before the next mark, what is between it and its partner, and the text after that.
    #[expect(clippy::type_complexity, reason = "three parts of one text")]
    fn next<'t>(
        &self,
        text: &'t [u8],
    ) -> Result<Option<(&'t [u8], &'t [u8], &'t [u8])>, SubstituteError> {
        let is_micro = |byte: &u8| *byte == self.micro;
        let Some(start) = text.iter().position(is_micro) else {
            return Ok(None);
        };
        let (before, inside) = (&text[..start], &text[start + 1..]);
        let unpaired = SubstituteError::Unpaired(char::from(self.micro));
        let end = inside.iter().position(is_micro).ok_or(unpaired)?;
        Ok(Some((before, &inside[..end], &inside[end + 1..])))
    }

    fn expand(
        &self,
        mut text: &[u8],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), SubstituteError> {
        loop {
            let (before, name, after) = match self.next(text) {
                Ok(Some(parts)) => parts,
                // A mark in a value may be alone.
                Err(SubstituteError::Unpaired(_)) if depth > 0 => break,
                Ok(None) => break,
                Err(error) => return Err(error),
            };
            out.extend_from_slice(before);
            if name.is_empty() {
                out.push(self.micro);
            } else {
                self.variable(name, depth, out)?;
            }
            text = after;
        }
        out.extend_from_slice(text);
        if out.len() > MAX_SIZE {
            return Err(SubstituteError::Size);
        }
        Ok(())
    }

    fn variable(
        &self,
        text: &[u8],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), SubstituteError> {
        let left = self
            .left
            .get()
            .checked_sub(1)
            .ok_or(SubstituteError::Size)?;
        self.left.set(left);
        let colon = text.iter().position(|byte| *byte == b':');
        let (name, default) = match colon {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let name = String::from_utf8_lossy(name);
        match (self.variables.get(&name), default) {
            (Some(_), _) if depth == MAX_DEPTH => Err(SubstituteError::Depth(name.into_owned())),
            (Some(value), _) => self.expand(value.as_bytes(), depth + 1, out),
            (None, Some(default)) => {
                out.extend_from_slice(default);
                Ok(())
            }
            (None, None) => Err(SubstituteError::Unknown(name.into_owned())),
        }
    }
}
