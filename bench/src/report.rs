//! Turns the measurements of all rounds into rows with medians and ratios.

use serde::{Deserialize, Serialize};

use crate::{
    case::Case,
    machine::Machine,
    meter::Measurement,
    peers::Peer,
    report_file::{Report, ReportKind},
};

/// The results of a run; serialized as the JSON report.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BenchmarkReport {
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    pub(crate) seconds: f64,
    pub(crate) total_seconds: f64,
    /// The share of all processor time, 0 to 1, that other processes used.
    pub(crate) other_work: Option<f64>,
    pub(crate) cases: Vec<CaseReport>,
}

/// The results of all peers in one case.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CaseReport {
    #[serde(flatten)]
    pub(crate) case: Case,
    pub(crate) rows: Vec<PeerRow>,
}

/// The results of one peer in one case: medians of the rounds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PeerRow {
    pub(crate) peer: Peer,
    pub(crate) calls_per_second: f64,
    /// Microseconds.
    pub(crate) p50_us: Option<f64>,
    /// Microseconds.
    pub(crate) p99_us: Option<f64>,
    pub(crate) to_floor: Option<Ratio>,
    pub(crate) to_tarpc: Option<Ratio>,
    /// To the same client and server without the gateway or proxy.
    pub(crate) to_direct: Option<Ratio>,
    pub(crate) to_glacier2: Option<Ratio>,
    pub(crate) rounds: Vec<Measurement>,
}

/// The call rate of one peer divided by that of another. Ratios are computed within a round, where
/// both ran under the same conditions, and then summarized over the rounds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
}

/// The measurements of one peer in one case, one for each round.
pub(crate) struct Series {
    pub(crate) peer: Peer,
    pub(crate) rounds: Vec<Measurement>,
}

impl Series {
    pub(crate) fn new(peer: Peer) -> Self {
        Self {
            peer,
            rounds: Vec::new(),
        }
    }
}

impl Report for BenchmarkReport {
    const KIND: ReportKind = ReportKind::Rates;
    const VERSION: u32 = 1;
}

impl CaseReport {
    pub(crate) fn new(case: Case, series: &[Series]) -> Self {
        let rows = series.iter().map(|one| PeerRow::new(one, series)).collect();
        Self { case, rows }
    }
}

impl PeerRow {
    fn new(own: &Series, all: &[Series]) -> Self {
        let ratio_to = |peer| {
            let other = all.iter().find(|series| series.peer == peer)?;
            Ratio::new(&own.rounds, &other.rounds)
        };
        let median_of = |value: fn(&Measurement) -> Option<f64>| {
            median(own.rounds.iter().filter_map(value).collect())
        };
        Self {
            peer: own.peer,
            calls_per_second: median_of(|round| Some(round.calls_per_second)).unwrap_or_default(),
            p50_us: median_of(|round| round.p50_us),
            p99_us: median_of(|round| round.p99_us),
            to_floor: ratio_to(own.peer.floor()),
            to_tarpc: ratio_to(Peer::Tarpc),
            to_direct: own.peer.direct().and_then(ratio_to),
            to_glacier2: ratio_to(Peer::IceGlacier2),
            rounds: own.rounds.clone(),
        }
    }
}

impl Ratio {
    /// Whether it is the ratio of a peer to itself, which is 1 in each round.
    pub(crate) fn is_of_itself(self) -> bool {
        [self.median, self.lowest, self.highest] == [1.0; 3]
    }

    fn new(own: &[Measurement], other: &[Measurement]) -> Option<Self> {
        let ratios: Vec<f64> = own
            .iter()
            .zip(other)
            .map(|(own, other)| own.calls_per_second / other.calls_per_second)
            .collect();
        Some(Self {
            lowest: ratios.iter().copied().reduce(f64::min)?,
            highest: ratios.iter().copied().reduce(f64::max)?,
            median: median(ratios)?,
        })
    }
}

/// The middle value, or the mean of the two middle values; `None` if there are no values.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len().is_multiple_of(2) {
        let lower = *values.get(values.len() / 2 - 1)?;
        Some(f64::midpoint(lower, upper))
    } else {
        Some(upper)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn series(peer: Peer, rates: &[u64]) -> Series {
        let rounds = rates
            .iter()
            .map(|&rate| Measurement::of_calls(rate, Duration::from_secs(1)))
            .collect();
        Series { peer, rounds }
    }

    #[test]
    fn median_of_odd_even_and_no_values() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), Some(3.0));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn ratios_are_computed_within_a_round() {
        // In the second round the machine was ten times slower, for both peers.
        let floor = series(Peer::Raw, &[1000, 100, 1000]);
        let tarpc = series(Peer::Tarpc, &[500, 50, 400]);
        let row = PeerRow::new(&tarpc, &[floor, series(Peer::Tarpc, &[500, 50, 400])]);
        let ratio = row.to_floor.unwrap();
        assert!((ratio.median - 0.5).abs() < 1e-9);
        assert!((ratio.lowest - 0.4).abs() < 1e-9);
        assert!((ratio.highest - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_peer_that_was_not_measured_has_no_ratio() {
        let floor = series(Peer::Raw, &[1000]);
        let row = PeerRow::new(&floor, std::slice::from_ref(&floor));
        assert!(row.to_tarpc.is_none());
    }
}
