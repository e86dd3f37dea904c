//! What the processes of peers execute for a call, as a report.

use std::fmt::{Display, Formatter, Result};

use serde::{Deserialize, Serialize};

use crate::{
    case::Case,
    exchange::ProcessKind,
    machine::Machine,
    peers::Peer,
    report_file::{Report, ReportKind},
    table::grouped,
};

/// The results of a run; serialized as the JSON report.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CountReport {
    pub(crate) machine: Machine,
    /// Counted calls of each process.
    pub(crate) calls: u64,
    pub(crate) cases: Vec<CaseCounts>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CaseCounts {
    #[serde(flatten)]
    pub(crate) case: Case,
    pub(crate) rows: Vec<ProcessCounts>,
}

/// What one process executes for a call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProcessCounts {
    pub(crate) peer: Peer,
    pub(crate) process: ProcessKind,
    pub(crate) instructions: f64,
    pub(crate) locked_instructions: f64,
    pub(crate) system_calls: f64,
    pub(crate) clock_reads: f64,
}

impl Report for CountReport {
    const KIND: ReportKind = ReportKind::Counts;
    const VERSION: u32 = 1;
}

impl Display for CountReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "{}", self.machine)?;
        writeln!(
            f,
            "What a process executes for a call, by callgrind, over {} calls.",
            self.calls
        )?;
        self.cases.iter().try_for_each(|case| write!(f, "\n{case}"))
    }
}

impl Display for CaseCounts {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "{}", self.case.title())?;
        writeln!(
            f,
            "{:<21}{:<10}{:>14}{:>10}{:>14}{:>13}",
            "", "process", "instructions", "locked", "system calls", "clock reads"
        )?;
        for row in &self.rows {
            writeln!(
                f,
                "{:<21}{:<10}{:>14}{:>10.2}{:>14.3}{:>13.3}",
                row.peer.name(),
                row.process.name(),
                grouped(row.instructions),
                row.locked_instructions,
                row.system_calls,
                row.clock_reads
            )?;
        }
        Ok(())
    }
}
