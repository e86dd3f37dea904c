//! A benchmark run: in each round, each case, and in each case, each peer.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::{
    broker::BrokerNode,
    case::{Case, Transport},
    cli::BenchmarkOptions,
    compare,
    disturbance::CpuTime,
    exchange::Exchange,
    machine::Machine,
    meter::Measurement,
    package,
    peers::Peer,
    report::{BenchmarkReport, CaseReport, Series},
    report_file::save,
    table::ReportTables,
};

/// Measures everything that the options select, writes the JSON report and prints the tables.
///
/// # Errors
/// Any measurement failed: there are no partial results.
pub(crate) fn benchmark(options: &BenchmarkOptions) -> Result<()> {
    let (started, before) = (Instant::now(), CpuTime::now());
    // Before the measurements, so that an error comes at once.
    let earlier: Option<BenchmarkReport> = compare::earlier(&options.comparison)?;
    let mut cases = cases(options);
    ensure!(
        !cases.is_empty(),
        "none of the chosen peers supports any of the chosen shapes"
    );
    prepare(&cases)?;
    let uses_queues = |(case, _): &(Case, _)| case.transport.uses_queues();
    let broker = cases.iter().any(uses_queues).then(BrokerNode::start);
    let broker = broker.transpose()?;
    let measurements = cases.iter().map(|(_, series)| series.len()).sum::<usize>();
    let mut progress = Progress::new(measurements, options.rounds());
    for round in 0..options.rounds() {
        for (nth, (case, series)) in cases.iter_mut().enumerate() {
            // All peers of a case run one after the other, and the first one changes with the
            // round, so that a disturbance of the machine affects all peers alike.
            let first = (usize::try_from(round)? + nth) % series.len();
            let (late, early) = series.split_at_mut(first);
            for one in early.iter_mut().chain(late) {
                let exchange = Exchange {
                    peer: one.peer,
                    case: *case,
                    extent: options.extent(),
                    cores: &options.cores,
                    broker: broker.as_ref().map(BrokerNode::address),
                    profiled: None,
                };
                let measurement = exchange.run()?;
                progress.show(round, *case, one.peer, &measurement);
                one.rounds.push(measurement);
            }
        }
    }
    // The broker's processor time counts as the benchmark's only after its exit.
    drop(broker);
    let report = BenchmarkReport {
        machine: Machine::here(),
        rounds: options.rounds(),
        seconds: options.measured().as_secs_f64(),
        total_seconds: started.elapsed().as_secs_f64(),
        other_work: before.and_then(|before| CpuTime::now()?.other_share_since(before)),
        cases: cases
            .iter()
            .map(|(case, series)| CaseReport::new(*case, series))
            .collect(),
    };
    if let Some(path) = &options.json {
        save(&report, path)?;
    }
    print!("{}", ReportTables(&report));
    match &earlier {
        Some(then) => compare::show(then, &report, options.comparison.fail_beyond),
        None => Ok(()),
    }
}

/// Checks that all packages that the peers need are installed, and builds the peers' programs.
fn prepare(cases: &[(Case, Vec<Series>)]) -> Result<()> {
    let peers = || {
        cases
            .iter()
            .flat_map(|(_, series)| series)
            .map(|one| one.peer)
    };
    package::ensure_installed(peers().flat_map(Peer::packages))?;
    for peer in Peer::ALL
        .into_iter()
        .filter(|&peer| peers().any(|one| one == peer))
    {
        peer.build()?;
    }
    Ok(())
}

/// The selected cases, each with the peers that support it.
fn cases(options: &BenchmarkOptions) -> Vec<(Case, Vec<Series>)> {
    let mut cases = Vec::new();
    for transport in Transport::ALL {
        let peers = options.peers(transport);
        for &shape in &options.shapes {
            for &payload in &options.payloads {
                let case = Case {
                    transport,
                    shape,
                    payload,
                    busy_poll: options.busy_poll,
                };
                let supporting = peers.iter().filter(|peer| peer.supports(case));
                let series: Vec<_> = supporting.map(|&peer| Series::new(peer)).collect();
                if !series.is_empty() {
                    cases.push((case, series));
                }
            }
        }
    }
    cases
}

/// Reports progress on standard error.
struct Progress {
    done: usize,
    total: usize,
}

impl Progress {
    fn new(measurements: usize, rounds: u32) -> Self {
        let rounds = usize::try_from(rounds).unwrap_or(usize::MAX);
        Self {
            done: 0,
            total: measurements.saturating_mul(rounds),
        }
    }

    fn show(&mut self, round: u32, case: Case, peer: Peer, measurement: &Measurement) {
        self.done += 1;
        let Self { done, total } = self;
        eprintln!(
            "[{done}/{total}] round {}, {}: {} {:.0}/s",
            round + 1,
            case.title(),
            peer.name(),
            measurement.calls_per_second
        );
    }
}
