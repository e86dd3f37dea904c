//! What a run tells: the matrix, and files for other programs.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::{
    expectation::{KnownFailures, Verdict},
    matrix::{Cell, Pair, Transport, obstacle},
    run::CaseResult,
};

const PAIR_WIDTH: usize = 26;
const CELL_WIDTH: usize = 12;

/// The results of a run.
pub(crate) struct Report<'a> {
    pub(crate) results: &'a [CaseResult],
    pub(crate) known: &'a KnownFailures,
    pub(crate) time: Duration,
}

impl Report<'_> {
    /// Whether each case has ended as expected, and there was one.
    pub(crate) fn is_as_expected(&self) -> bool {
        let mut results = self.results.iter();
        !self.results.is_empty() && results.all(|result| self.known.judge(result).is_as_expected())
    }

    fn cells(&self) -> BTreeMap<Cell, Vec<&CaseResult>> {
        let mut cells: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for result in self.results {
            cells.entry(result.cell).or_default().push(result);
        }
        cells
    }

    /// The matrix, the reasons for its gaps, and what went wrong.
    pub(crate) fn table(&self) -> String {
        let cells = self.cells();
        let transports = Transport::value_variants();
        let mut text = format!("{:PAIR_WIDTH$}", "client → server");
        for transport in transports {
            let _ = write!(text, "{transport:CELL_WIDTH$}");
        }
        let mut gaps: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut pairs: Vec<Pair> = cells.keys().map(|cell| cell.pair).collect();
        pairs.dedup();
        for pair in pairs {
            let _ = write!(text, "\n{pair:PAIR_WIDTH$}");
            for &transport in transports {
                let cell = Cell { pair, transport };
                let shown = match (cells.get(&cell), obstacle(cell)) {
                    (Some(results), _) => self.summary(results),
                    (None, Some(reason)) => {
                        gaps.entry(reason).or_default().push(cell.to_string());
                        "–".to_owned()
                    }
                    (None, None) => String::new(),
                };
                let _ = write!(text, "{shown:CELL_WIDTH$}");
            }
        }
        text.push('\n');
        for (reason, cells) in gaps {
            let _ = write!(text, "\n– {reason}: {}", cells.join(", "));
        }
        text.push('\n');
        for result in self.results {
            self.explain(result, &mut text);
        }
        let _ = write!(text, "\n{}", self.totals(cells.len()));
        text
    }

    /// `41 ok`, or `39/41 FAIL`
    fn summary(&self, results: &[&CaseResult]) -> String {
        let verdicts = results.iter().map(|result| self.known.judge(result));
        let wrong = verdicts
            .clone()
            .filter(|verdict| !verdict.is_as_expected())
            .count();
        let known = verdicts
            .filter(|verdict| matches!(verdict, Verdict::KnownFailure(_)))
            .count();
        let all = results.len();
        match (wrong, known) {
            (0, 0) => format!("{all} ok"),
            (0, _) => format!("{}+{known} known", all - known),
            _ => format!("{wrong}/{all} FAIL"),
        }
    }

    fn explain(&self, result: &CaseResult, text: &mut String) {
        let CaseResult { cell, case, .. } = result;
        let failure = result.failure.as_deref().unwrap_or_default();
        let _ = match self.known.judge(result) {
            Verdict::Passed => Ok(()),
            Verdict::Failed => write!(text, "\nFAIL {cell} {case}: {failure}"),
            Verdict::KnownFailure(reason) => {
                write!(text, "\nknown failure {cell} {case}: {reason}")
            }
            Verdict::UnexpectedlyPassed(reason) => write!(
                text,
                "\nFAIL {cell} {case}: it passes, but known-failures.yaml lists it ({reason})"
            ),
        };
    }

    fn totals(&self, cells: usize) -> String {
        let count = |is: fn(Verdict<'_>) -> bool| {
            let results = self.results.iter();
            results
                .filter(|result| is(self.known.judge(result)))
                .count()
        };
        let mut cases: Vec<_> = self.results.iter().map(|result| &result.case).collect();
        cases.sort();
        cases.dedup();
        format!(
            "{cells} cells, {} cases: {} runs passed, {} failed as known, {} not as expected; {} s\n",
            cases.len(),
            count(|it| it == Verdict::Passed),
            count(|it| matches!(it, Verdict::KnownFailure(_))),
            count(|it| !it.is_as_expected()),
            self.time.as_secs(),
        )
    }

    /// All results, for other programs.
    pub(crate) fn json(&self) -> Value {
        let cells: Vec<_> = self
            .cells()
            .into_iter()
            .map(|(cell, results)| {
                let cases: Vec<_> = results
                    .into_iter()
                    .map(|result| {
                        json!({
                            "case": result.case,
                            "seconds": result.time.as_secs_f64(),
                            "verdict": self.known.judge(result),
                            "failure": result.failure,
                        })
                    })
                    .collect();
                json!({
                    "client": cell.pair.client,
                    "server": cell.pair.server,
                    "transport": cell.transport,
                    "cases": cases,
                })
            })
            .collect();
        json!({ "isAsExpected": self.is_as_expected(), "cells": cells })
    }

    /// All results in the format that CI systems read: a suite for each cell.
    pub(crate) fn junit(&self) -> String {
        let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
        for (cell, results) in self.cells() {
            let wrong = results
                .iter()
                .filter(|it| !self.known.judge(it).is_as_expected());
            let (tests, failures) = (results.len(), wrong.count());
            let _ = writeln!(
                text,
                r#"  <testsuite name="{cell}" tests="{tests}" failures="{failures}">"#
            );
            for result in results {
                let (name, seconds) = (&result.case, result.time.as_secs_f64());
                let _ = write!(
                    text,
                    r#"    <testcase classname="{cell}" name="{name}" time="{seconds:.3}">"#
                );
                let failure = escape(result.failure.as_deref().unwrap_or_default());
                let _ = match self.known.judge(result) {
                    Verdict::Passed => Ok(()),
                    Verdict::Failed => write!(text, "<failure>{failure}</failure>"),
                    Verdict::KnownFailure(reason) => {
                        write!(text, r#"<skipped message="{}"/>"#, escape(reason))
                    }
                    Verdict::UnexpectedlyPassed(reason) => {
                        let reason = escape(reason);
                        write!(
                            text,
                            "<failure>it passes, but is listed: {reason}</failure>"
                        )
                    }
                };
                text.push_str("</testcase>\n");
            }
            text.push_str("  </testsuite>\n");
        }
        text + "</testsuites>\n"
    }
}

/// Text in XML, without the characters that XML 1.0 forbids.
fn escape(text: &str) -> String {
    text.chars()
        .filter(|it| !it.is_control() || matches!(it, '\n' | '\t'))
        .fold(String::new(), |mut escaped, it| {
            match it {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                it => escaped.push(it),
            }
            escaped
        })
}
