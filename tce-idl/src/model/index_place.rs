//! Where indices come from.

use crate::diagnostic::Edit;
use crate::source::Span;

/// Where an index comes from, which is where another one can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexPlace {
    /// It is written: the number in an annotation or an index file.
    Written(Span),
    /// It is the position of a declaration without annotations, which starts here.
    Counted(Span),
    /// It is the position of a declaration whose annotations start here, and are about other things.
    Annotated(Span),
}

impl IndexPlace {
    /// What to point at: the number, or else `name`, whose position counts.
    pub(crate) fn or_name(self, name: Span) -> Span {
        match self {
            Self::Written(span) => span,
            Self::Counted(_) | Self::Annotated(_) => name,
        }
    }

    /// The edit that makes the index `index`. It moves no other.
    #[must_use]
    pub fn write(self, index: u16) -> Edit {
        let (span, replacement) = match self {
            Self::Written(span) => (span, index.to_string()),
            Self::Counted(start) => (start.before(), format!("[index={index}] ")),
            Self::Annotated(first) => (first.before(), format!("index={index}, ")),
        };
        Edit { span, replacement }
    }
}
