//! One run: rounds of cases of peers.

use std::{fs, time::Instant};

use anyhow::{Context, Result, ensure};

use crate::{
    broker::Broker,
    case::{Case, Transport},
    cli::Options,
    disturbance::Usage,
    intermediary::Middle,
    machine::Machine,
    meter::Measurement,
    package,
    peers::Peer,
    process::{Address, ClientJob, Server, ServerJob, run_client},
    report::{CaseReport, Report, Series},
    table,
};

/// Measures all that is asked for, then prints the tables and writes the JSON.
///
/// # Errors
/// Anything went wrong in any measurement: a table with a hole in it is none.
pub(crate) fn benchmark(options: &Options) -> Result<()> {
    let (started, before) = (Instant::now(), Usage::now());
    let mut cases = cases(options);
    ensure!(!cases.is_empty(), "no chosen peer offers a chosen shape");
    prepare(&cases)?;
    let uses_queues = |(case, _): &(Case, _)| case.transport.uses_queues();
    let broker = cases.iter().any(uses_queues).then(Broker::start);
    let broker = broker.transpose()?;
    let measurements = cases.iter().map(|(_, series)| series.len()).sum::<usize>();
    let mut progress = Progress::new(measurements, options.rounds());
    for round in 0..options.rounds() {
        for (nth, (case, series)) in cases.iter_mut().enumerate() {
            // All peers of a case run close together, and none always first or behind the same
            // other one: what disturbs the machine meets all of them.
            let first = (usize::try_from(round)? + nth) % series.len();
            let (late, early) = series.split_at_mut(first);
            for one in early.iter_mut().chain(late) {
                let measurement = measure(one.peer, *case, broker.as_ref(), options)?;
                progress.show(round, *case, one.peer, &measurement);
                one.rounds.push(measurement);
            }
        }
    }
    // Its processor time counts as ours once it has ended.
    drop(broker);
    let report = Report {
        machine: Machine::here(),
        rounds: options.rounds(),
        seconds: options.measured().as_secs_f64(),
        total_seconds: started.elapsed().as_secs_f64(),
        other_work: before.and_then(|before| Usage::now()?.of_others_since(before)),
        cases: cases
            .iter()
            .map(|(case, series)| CaseReport::new(*case, series))
            .collect(),
    };
    publish(&report, options)
}

fn publish(report: &Report, options: &Options) -> Result<()> {
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(report)?;
        fs::write(path, json + "\n").with_context(|| format!("writing {}", path.display()))?;
    }
    print!("{}", table::Tables(report));
    Ok(())
}

/// Finds what has to be installed, and builds what is not there.
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

/// The cases, and in each the peers that offer it.
fn cases(options: &Options) -> Vec<(Case, Vec<Series>)> {
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
                let offering = peers.iter().filter(|peer| peer.offers(case));
                let series: Vec<_> = offering.map(|&peer| Series::new(peer)).collect();
                if !series.is_empty() {
                    cases.push((case, series));
                }
            }
        }
    }
    cases
}

/// One measurement, by fresh processes: nothing is left over from an earlier one.
fn measure(
    peer: Peer,
    case: Case,
    broker: Option<&Broker>,
    options: &Options,
) -> Result<Measurement> {
    let server = Server::start(&ServerJob {
        peer,
        case,
        core: options.server_core,
        broker: broker.map(Broker::address),
    })?;
    let drive = |server: Address| {
        run_client(&ClientJob {
            peer,
            case,
            core: options.client_core,
            warm_up: options.warm_up(),
            measured: options.measured(),
            server,
        })
    };
    let measurement = match peer.between() {
        None => drive(server.address().clone()),
        Some(between) => {
            let core = options.gateway_core(case.transport);
            Middle::start(between, case.busy_poll, server.address(), core)
                .and_then(|middle| drive(middle.address().clone()))
        }
    };
    // A server's failure is why its client failed, so it is told first.
    server.stop().and(measurement)
}

/// Lines on standard error: a run takes minutes.
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
