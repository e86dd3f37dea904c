//! What the compiler has to say: data only. [`crate::render`] makes text of it.

mod code;

pub use code::{Code, Severity};

use crate::source::Span;

/// How many errors, and how many warnings, one compilation reports.
pub const MAX_REPORTED: usize = 100;

/// One thing that is wrong, or looks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which rule it is about.
    pub code: Code,
    /// Whether it stops; that of the code, unless settings say otherwise.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// Where; nothing for a file that could not be read.
    pub primary: Option<Label>,
    /// Other places that matter, as "first defined here".
    pub notes: Vec<Label>,
    /// What would mend it.
    pub repair: Option<Repair>,
    /// What stops working for those who have an earlier version of the IDL.
    pub breaks: Breaks,
}

/// What a change of an IDL breaks for peers that have the earlier version; by default nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Breaks {
    /// Programs that run: a call reaches something else, nothing, or is read wrongly.
    pub wire: bool,
    /// Programs that are compiled again: the generated code has another face.
    pub source: bool,
}

impl Breaks {
    pub(crate) const WIRE: Self = Self {
        wire: true,
        source: false,
    };
    pub(crate) const SOURCE: Self = Self {
        wire: false,
        source: true,
    };
    pub(crate) const BOTH: Self = Self {
        wire: true,
        source: true,
    };

    /// The names of what breaks: `wire`, `source`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let names = [(self.wire, "wire"), (self.source, "source")];
        names
            .into_iter()
            .filter_map(|(breaks, name)| breaks.then_some(name))
    }
}

/// A place, and what to say about it there (possibly nothing).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// The words beside the underline.
    pub text: String,
}

/// What would mend a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The advice, for a person.
    pub message: String,
    /// The change, for an editor, where one is certain enough to offer.
    pub edit: Option<Edit>,
}

/// A change of the text: what stands at `span` becomes `replacement`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The text to replace; an empty span inserts.
    pub span: Span,
    /// The new text.
    pub replacement: String,
}

impl Diagnostic {
    /// A diagnostic without a place.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            message: message.into(),
            primary: None,
            notes: Vec::new(),
            repair: None,
            breaks: Breaks::default(),
        }
    }

    /// Says where, and what to write beside the underline.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.primary = Some(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Adds a second place.
    #[must_use]
    pub fn note(mut self, span: Span, text: impl Into<String>) -> Self {
        self.notes.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Says what would mend it.
    #[must_use]
    pub fn help(mut self, message: impl Into<String>) -> Self {
        self.repair = Some(Repair {
            message: message.into(),
            edit: None,
        });
        self
    }

    /// Says what would mend it, as an edit too.
    #[must_use]
    pub fn fix(
        mut self,
        message: impl Into<String>,
        span: Span,
        replacement: impl Into<String>,
    ) -> Self {
        let edit = Edit {
            span,
            replacement: replacement.into(),
        };
        self.repair = Some(Repair {
            message: message.into(),
            edit: Some(edit),
        });
        self
    }

    /// Says what breaks, in the message too.
    pub(crate) fn breaks(mut self, breaks: Breaks) -> Self {
        let names: Vec<&str> = breaks.names().collect();
        self.message += &format!(": breaks {}", names.join(" and "));
        self.breaks = breaks;
        self
    }
}

/// Gathers diagnostics, [`MAX_REPORTED`] of each severity; the rest is counted.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    list: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
}

impl Diagnostics {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        let seen = match diagnostic.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *seen += 1;
        if *seen <= MAX_REPORTED {
            self.list.push(diagnostic);
        }
    }

    /// Those that are not only counted, in no order.
    pub(crate) fn into_list(self) -> Vec<Diagnostic> {
        self.list
    }

    /// Whether one more error would only be counted.
    pub(crate) fn is_full(&self) -> bool {
        self.errors >= MAX_REPORTED
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// All of them by place, those without one first.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.list
            .sort_by_key(|diagnostic| diagnostic.primary.as_ref().map(|label| label.span));
        for (seen, code, what) in [
            (self.errors, Code::MoreErrors, "error"),
            (self.warnings, Code::MoreWarnings, "warning"),
        ] {
            let more = seen.saturating_sub(MAX_REPORTED);
            if more > 0 {
                let plural = if more == 1 { "" } else { "s" };
                let message = format!("{more} more {what}{plural} not shown: mend these first");
                self.list.push(Diagnostic::new(code, message));
            }
        }
        self.list
    }
}

/// The candidate that is spelt most like `name`, if any is close enough.
///
/// ```
/// let near = tce_idl::diagnostic::nearest("includ", &["lint", "include"]);
/// assert_eq!(near.as_deref(), Some("include"));
/// ```
#[must_use]
pub fn nearest<S: AsRef<str>>(name: &str, candidates: &[S]) -> Option<String> {
    let lower = name.to_lowercase();
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    let scored = candidates
        .iter()
        .map(AsRef::as_ref)
        .filter_map(|candidate| {
            // A difference in length alone can be too large: then there is no need to look closer.
            let close = candidate.len().abs_diff(name.len()) <= 4 * allowed;
            let distance =
                close.then(|| strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()))?;
            (distance <= allowed).then_some((distance, candidate))
        });
    scored.min().map(|(_, candidate)| candidate.to_owned())
}

/// Whether the last words of `full`, which dots part, are `name`.
#[must_use]
pub fn is_end(full: &str, name: &str) -> bool {
    full.strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The end of one of `names` that is spelt most like `name`: what was meant is
/// spelt with as many words as what was given.
///
/// ```
/// let near = tce_idl::diagnostic::nearest_end("Server.ehco", &["test.Server.echo"]);
/// assert_eq!(near.as_deref(), Some("Server.echo"));
/// ```
#[must_use]
pub fn nearest_end<S: AsRef<str>>(name: &str, names: &[S]) -> Option<String> {
    let words = name.split('.').count();
    let ends = names.iter().map(AsRef::as_ref).filter_map(|full| {
        let skip = full.split('.').count().checked_sub(words)?;
        full.splitn(skip + 1, '.').last()
    });
    nearest(name, &ends.collect::<Vec<_>>())
}
