//! Compares a report with an earlier one of the same kind.

use std::{
    fmt::{Display, Formatter},
    path::Path,
};

use anyhow::{Result, ensure};

use crate::{
    case::Case,
    cli::ComparisonOptions,
    count_report::{CountReport, ProcessCounts},
    peers::Peer,
    report::{BenchmarkReport, PeerRow, Ratio},
    report_file::{Report, ReportKind, kind, load},
    table::{RATIOS, RatioColumn, grouped, ratio},
};

/// With fewer rounds, lowest and highest ratio do not show how far ratios scatter.
const MIN_ROUNDS: usize = 3;

/// Two counts of the same program differ by less, in percent.
const COUNT_SCATTER: f64 = 2.0;

/// Differences below this one do not matter, however many percent of a small count they are.
const MIN_COUNT_CHANGE: f64 = 0.05;

/// A report whose rows can be compared with those of an earlier one.
pub(crate) trait Comparable: Report {
    type Row;

    /// The cases, each with its rows.
    fn cases(&self) -> impl Iterator<Item = (Case, &[Self::Row])>;

    /// The machine and the settings of the run.
    fn circumstances(&self) -> String;

    /// The numbers that both rows have, or nothing if they are rows of different things.
    fn changes(then: &Self::Row, now: &Self::Row) -> Vec<Change>;
}

/// A number, then and now.
pub(crate) struct Change {
    peer: Peer,
    name: String,
    /// As shown.
    then: String,
    now: String,
    percent: f64,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Better,
    Worse,
    WithinScatter,
    /// The rounds are too few to tell.
    Unknown,
}

/// What has changed between two reports.
struct Comparison {
    circumstances: String,
    cases: Vec<(Case, Vec<Change>)>,
    /// The number of cases of the earlier report that the later one lacks.
    missing: usize,
}

/// Reads the report to compare with, if the options name one.
///
/// # Errors
/// The file can't be read, or is not a report of this kind and version.
pub(crate) fn earlier<R: Report>(options: &ComparisonOptions) -> Result<Option<R>> {
    options.compare.as_deref().map(load).transpose()
}

/// Compares two files of the same kind.
///
/// # Errors
/// As of [`earlier`] and [`show`].
pub(crate) fn files(then: &Path, now: &Path, limit: Option<f64>) -> Result<()> {
    match kind(then)? {
        ReportKind::Rates => show::<BenchmarkReport>(&load(then)?, &load(now)?, limit),
        ReportKind::Counts => show::<CountReport>(&load(then)?, &load(now)?, limit),
    }
}

/// Prints what has changed.
///
/// # Errors
/// The reports have no number in common, or a number of tce is worse by more than `limit` percent
/// and beyond the scatter.
pub(crate) fn show<R: Comparable>(then: &R, now: &R, limit: Option<f64>) -> Result<()> {
    let comparison = Comparison::new(then, now);
    ensure!(
        !comparison.cases.is_empty(),
        "the two runs have no case and peer in common"
    );
    print!("\n{comparison}");
    let limit = limit.unwrap_or(f64::INFINITY);
    let worse = comparison.worse_than(limit);
    ensure!(
        worse == 0,
        "{worse} numbers of tce are worse by more than {limit} %"
    );
    Ok(())
}

impl Comparison {
    fn new<R: Comparable>(then: &R, now: &R) -> Self {
        let mut cases = Vec::new();
        let mut found = 0;
        for (case, rows) in now.cases() {
            let earlier = then.cases().find(|(other, _)| *other == case);
            let Some((_, earlier)) = earlier else {
                continue;
            };
            found += 1;
            let pairs = (rows.iter()).flat_map(|now| earlier.iter().map(move |then| (then, now)));
            let changes: Vec<_> = pairs
                .flat_map(|(then, now)| R::changes(then, now))
                .collect();
            if !changes.is_empty() {
                cases.push((case, changes));
            }
        }
        Self {
            circumstances: then.circumstances(),
            cases,
            missing: then.cases().count() - found,
        }
    }

    /// How many numbers of tce are worse by more than `limit` percent and beyond the scatter.
    fn worse_than(&self, limit: f64) -> usize {
        let changes = self.cases.iter().flat_map(|(_, changes)| changes);
        changes
            .filter(|change| change.peer.is_tce() && change.verdict == Verdict::Worse)
            .filter(|change| change.percent.abs() > limit)
            .count()
    }
}

impl Comparable for BenchmarkReport {
    type Row = PeerRow;

    fn cases(&self) -> impl Iterator<Item = (Case, &[PeerRow])> {
        self.cases.iter().map(|case| (case.case, &*case.rows))
    }

    fn circumstances(&self) -> String {
        let Self {
            machine,
            rounds,
            seconds,
            ..
        } = self;
        format!("{machine}, {rounds} rounds of {seconds} s")
    }

    fn changes(then: &PeerRow, now: &PeerRow) -> Vec<Change> {
        if then.peer != now.peer {
            return Vec::new();
        }
        let rounds = then.rounds.len().min(now.rounds.len());
        let change = |&(name, of): &RatioColumn| {
            let (then, after) = (of(then)?, of(now)?);
            (!then.is_of_itself()).then(|| Change {
                peer: now.peer,
                name: name.to_owned(),
                then: ratio(Some(then)),
                now: ratio(Some(after)),
                percent: percent(then.median, after.median),
                verdict: Verdict::of_ratios(then, after, rounds),
            })
        };
        RATIOS.iter().filter_map(change).collect()
    }
}

impl Comparable for CountReport {
    type Row = ProcessCounts;

    fn cases(&self) -> impl Iterator<Item = (Case, &[ProcessCounts])> {
        self.cases.iter().map(|case| (case.case, &*case.rows))
    }

    fn circumstances(&self) -> String {
        format!("{}, {} calls", self.machine, self.calls)
    }

    fn changes(then: &ProcessCounts, now: &ProcessCounts) -> Vec<Change> {
        if (then.peer, then.process) != (now.peer, now.process) {
            return Vec::new();
        }
        let change = |name, then: f64, after: f64, show: fn(f64) -> String| Change {
            peer: now.peer,
            name: format!("{} {name}", now.process.name()),
            then: show(then),
            now: show(after),
            percent: percent(then, after),
            verdict: Verdict::of_counts(then, after),
        };
        let (locked_then, locked) = (then.locked_instructions, now.locked_instructions);
        vec![
            change("instructions", then.instructions, now.instructions, grouped),
            change("locked", locked_then, locked, |count| format!("{count:.2}")),
        ]
    }
}

impl Verdict {
    /// Beyond the scatter are ratios whose rounds do not overlap.
    fn of_ratios(then: Ratio, now: Ratio, rounds: usize) -> Self {
        if rounds < MIN_ROUNDS {
            Self::Unknown
        } else if now.lowest > then.highest {
            Self::Better
        } else if now.highest < then.lowest {
            Self::Worse
        } else {
            Self::WithinScatter
        }
    }

    fn of_counts(then: f64, now: f64) -> Self {
        let percent = percent(then, now);
        if percent.abs() <= COUNT_SCATTER || (now - then).abs() < MIN_COUNT_CHANGE {
            Self::WithinScatter
        } else if percent < 0.0 {
            Self::Better
        } else {
            Self::Worse
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::WithinScatter => "within the scatter",
            Self::Unknown => "too few rounds",
        }
    }
}

/// The change in percent; infinite if `then` is 0.
fn percent(then: f64, now: f64) -> f64 {
    let change = now - then;
    if change == 0.0 {
        0.0
    } else {
        change / then * 100.0
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "Compared with {}", self.circumstances)?;
        for (case, changes) in &self.cases {
            writeln!(f, "\n{}", case.title())?;
            writeln!(
                f,
                "{:<21}{:<22}{:>22}{:>22}{:>10}",
                "", "", "then", "now", "change"
            )?;
            for change in changes {
                writeln!(
                    f,
                    "{:<21}{:<22}{:>22}{:>22}{:>+8.1} %  {}",
                    change.peer.name(),
                    change.name,
                    change.then,
                    change.now,
                    change.percent,
                    change.verdict.title()
                )?;
            }
        }
        match self.missing {
            0 => Ok(()),
            missing => writeln!(
                f,
                "\nCases of the earlier run that were not measured now: {missing}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lowest: f64, median: f64, highest: f64) -> Ratio {
        Ratio {
            median,
            lowest,
            highest,
        }
    }

    #[test]
    fn ratios_whose_rounds_overlap_are_within_the_scatter() {
        let then = of(0.9, 1.0, 1.1);
        assert_eq!(
            Verdict::of_ratios(then, of(1.05, 1.2, 1.3), 5),
            Verdict::WithinScatter
        );
        assert_eq!(
            Verdict::of_ratios(then, of(1.15, 1.2, 1.3), 5),
            Verdict::Better
        );
        assert_eq!(
            Verdict::of_ratios(then, of(0.6, 0.7, 0.8), 5),
            Verdict::Worse
        );
        assert_eq!(
            Verdict::of_ratios(then, of(0.6, 0.7, 0.8), 2),
            Verdict::Unknown
        );
    }

    #[test]
    fn fewer_instructions_are_better() {
        assert_eq!(Verdict::of_counts(1000.0, 1019.0), Verdict::WithinScatter);
        assert_eq!(Verdict::of_counts(1000.0, 1021.0), Verdict::Worse);
        assert_eq!(Verdict::of_counts(1000.0, 979.0), Verdict::Better);
    }

    #[test]
    fn small_counts_do_not_change_by_large_percentages() {
        assert_eq!(percent(0.0, 0.0), 0.0);
        assert_eq!(Verdict::of_counts(0.0, 0.0), Verdict::WithinScatter);
        assert_eq!(Verdict::of_counts(0.01, 0.03), Verdict::WithinScatter);
        assert_eq!(Verdict::of_counts(0.0, 1.0), Verdict::Worse);
    }
}
