//! The printed tables.

use std::fmt::{Display, Formatter, Result};

use crate::report::{BenchmarkReport, CaseReport, PeerRow, Ratio};

/// A report as text: one table for each case.
pub(crate) struct ReportTables<'a>(pub(crate) &'a BenchmarkReport);

impl Display for ReportTables<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let BenchmarkReport {
            machine,
            rounds,
            seconds,
            total_seconds,
            other_work,
            cases,
        } = self.0;
        writeln!(f, "{machine}")?;
        writeln!(
            f,
            "Medians of {rounds} rounds of {seconds} s. Ratios are computed within a round: median \
             (lowest-highest)."
        )?;
        for case in cases {
            write!(f, "\n{}", CaseTable(case))?;
        }
        write!(f, "\nTotal time {total_seconds:.0} s")?;
        match other_work {
            Some(share) => writeln!(
                f,
                "; other processes used {:.0} % of the processor time",
                share * 100.0
            ),
            None => writeln!(f),
        }
    }
}

struct CaseTable<'a>(&'a CaseReport);

/// A column's title and its value in a row.
pub(crate) type RatioColumn = (&'static str, fn(&PeerRow) -> Option<Ratio>);

/// The optional columns; a column is shown if any row has a value.
pub(crate) const RATIOS: [RatioColumn; 4] = [
    ("to floor", |row| row.to_floor),
    ("to tarpc", |row| row.to_tarpc),
    ("share of direct", |row| row.to_direct),
    ("to Glacier2", |row| row.to_glacier2),
];

impl Display for CaseTable<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let case = self.0.case;
        let is_shown = |ratio: &RatioColumn| self.0.rows.iter().any(|row| ratio.1(row).is_some());
        let ratios: Vec<_> = RATIOS.iter().filter(|ratio| is_shown(ratio)).collect();
        writeln!(f, "{}", case.title())?;
        write!(
            f,
            "{:<21}{:>12}{:>10}{:>10}",
            "", "calls/s", "p50 µs", "p99 µs"
        )?;
        for (title, _) in &ratios {
            write!(f, "{title:>26}")?;
        }
        for row in &self.0.rows {
            write!(
                f,
                "\n{:<21}{:>12}{:>10}{:>10}",
                row.peer.name(),
                grouped(row.calls_per_second),
                microseconds(row.p50_us),
                microseconds(row.p99_us),
            )?;
            for (_, of) in &ratios {
                write!(f, "{:>26}", ratio(of(row)))?;
            }
        }
        writeln!(f)?;
        writeln!(f, "({})", case.footnote())
    }
}

/// A whole number with commas between groups of three digits.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn microseconds(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
}

pub(crate) fn ratio(ratio: Option<Ratio>) -> String {
    ratio.map_or_else(
        || "-".to_owned(),
        |Ratio {
             median,
             lowest,
             highest,
         }| format!("{median:.3} ({lowest:.3}-{highest:.3})"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        let shown = [7.0, 999.4, 1000.0, 54_321.0, 1_234_567.0].map(grouped);
        assert_eq!(shown, ["7", "999", "1,000", "54,321", "1,234,567"]);
    }
}
