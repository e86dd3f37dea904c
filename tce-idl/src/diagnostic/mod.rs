//! Errors and warnings as data. [`crate::render`] turns them into text.

mod code;

pub use code::{Code, Severity};

use crate::source::Span;

/// The most errors, and the most warnings, that one compilation reports.
pub const MAX_REPORTED: usize = 100;

/// One error or warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The rule that is broken.
    pub code: Code,
    /// The severity of the code, unless lint settings override it.
    pub severity: Severity,
    /// The problem, in one sentence.
    pub message: String,
    /// Where the problem is; `None` for a file that could not be read.
    pub primary: Option<Label>,
    /// Other places that matter, such as "first defined here".
    pub notes: Vec<Label>,
    /// How to fix it.
    pub repair: Option<Repair>,
    /// What the change breaks for peers that use the earlier version of the IDL.
    pub breaks: Breaks,
}

/// What a change of an IDL breaks for peers that use the earlier version; by default nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Breaks {
    /// Running programs: a call reaches another operation or none, or its data is decoded wrongly.
    pub wire: bool,
    /// Programs that are recompiled: the generated API is different.
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

/// A range of a file, and the text that is shown beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The range.
    pub span: Span,
    /// The text beside the underline; may be empty.
    pub text: String,
}

/// How to fix a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The advice, as text.
    pub message: String,
    /// The change that an editor can make, if there is a definite one.
    pub edit: Option<Edit>,
}

/// A change of the text: `replacement` replaces the text at `span`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The text to replace; an empty span inserts.
    pub span: Span,
    /// The new text.
    pub replacement: String,
}

impl Diagnostic {
    /// A diagnostic without a position.
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

    /// Sets the range and the text beside its underline.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.primary = Some(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Adds another range that matters.
    #[must_use]
    pub fn note(mut self, span: Span, text: impl Into<String>) -> Self {
        self.notes.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Sets the advice on how to fix it.
    #[must_use]
    pub fn help(mut self, message: impl Into<String>) -> Self {
        self.repair = Some(Repair {
            message: message.into(),
            edit: None,
        });
        self
    }

    /// Sets the advice on how to fix it, with an edit that does so.
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

    /// Sets what the change breaks, and appends it to the message.
    pub(crate) fn breaks(mut self, breaks: Breaks) -> Self {
        let names: Vec<&str> = breaks.names().collect();
        self.message += &format!(": breaks {}", names.join(" and "));
        self.breaks = breaks;
        self
    }
}

/// Collects diagnostics: [`MAX_REPORTED`] of each severity; further ones are only counted.
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

    /// The diagnostics that were kept, unsorted.
    pub(crate) fn into_list(self) -> Vec<Diagnostic> {
        self.list
    }

    /// Whether a further error would only be counted.
    pub(crate) fn is_full(&self) -> bool {
        self.errors >= MAX_REPORTED
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// The diagnostics by position, those without one first, with a note on how many were left out.
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
                let message = format!("{more} more {what}{plural} not shown: fix these first");
                self.list.push(Diagnostic::new(code, message));
            }
        }
        self.list
    }
}

/// The candidate whose spelling is closest to `name`, if one is close enough.
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
            // A large difference in length rules a candidate out without the costlier comparison.
            let close = candidate.len().abs_diff(name.len()) <= 4 * allowed;
            let distance =
                close.then(|| strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()))?;
            (distance <= allowed).then_some((distance, candidate))
        });
    scored.min().map(|(_, candidate)| candidate.to_owned())
}

/// Whether `name` is `full` or ends it after a dot: `Server.echo` in `test.Server.echo`.
#[must_use]
pub fn is_end(full: &str, name: &str) -> bool {
    full.strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Like [`nearest`], for a name that may leave out its first parts: compares it
/// with the same number of last parts of each of `names`.
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
