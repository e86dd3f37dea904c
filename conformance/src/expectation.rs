//! What is expected of each case: to pass, unless `known-failures.yaml` lists it.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    case::Case,
    matrix::{Cell, Selection},
    run::CaseResult,
};

/// A case that is known to fail.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownFailure {
    /// `python:rust:mq`, with `*` for any.
    cell: String,
    case: String,
    reason: String,
}

/// The cases that are known to fail.
#[derive(Debug, Default)]
pub(crate) struct KnownFailures(Vec<(Selection, KnownFailure)>);

/// A result, compared with what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Verdict<'a> {
    Passed,
    Failed,
    /// It has failed for the reason that is listed.
    KnownFailure(&'a str),
    /// It is listed as a failure, and has passed: the list has to be corrected.
    UnexpectedlyPassed(&'a str),
}

impl Verdict<'_> {
    /// Whether the run may succeed.
    pub(crate) fn is_as_expected(self) -> bool {
        matches!(self, Self::Passed | Self::KnownFailure(_))
    }
}

impl KnownFailures {
    /// Reads the list; each entry must be of a case that exists.
    pub(crate) fn load(path: &Path, cases: &[Case]) -> Result<Self, String> {
        let error = |text: String| format!("{}: {text}", path.display());
        let text = fs::read_to_string(path).map_err(|cause| error(cause.to_string()))?;
        let listed: Vec<KnownFailure> =
            serde_saphyr::from_str(&text).map_err(|cause| error(cause.to_string()))?;
        let checked = listed.into_iter().map(|known| {
            if !cases.iter().any(|case| case.name == known.case) {
                return Err(error(format!("there is no case `{}`", known.case)));
            }
            let cells = known.cell.parse().map_err(&error)?;
            Ok((cells, known))
        });
        checked.collect::<Result<_, _>>().map(Self)
    }

    fn reason(&self, cell: Cell, case: &str) -> Option<&str> {
        let mut listed = self.0.iter();
        listed
            .find(|(cells, known)| cells.has(cell) && known.case == case)
            .map(|(_, known)| known.reason.as_str())
    }

    /// Compares a result with what was expected.
    pub(crate) fn judge(&self, result: &CaseResult) -> Verdict<'_> {
        match (&result.failure, self.reason(result.cell, &result.case)) {
            (None, None) => Verdict::Passed,
            (Some(_), None) => Verdict::Failed,
            (Some(_), Some(reason)) => Verdict::KnownFailure(reason),
            (None, Some(reason)) => Verdict::UnexpectedlyPassed(reason),
        }
    }
}
