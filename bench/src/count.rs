//! Counts what each process executes for a call. Unlike a rate, the number of instructions depends
//! neither on the machine's speed nor on other processes.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::{
    broker::BrokerNode,
    callgrind::{EventCounts, Profile},
    case::{BusyPollMode, Case},
    cli::CountOptions,
    compare,
    count_report::{CaseCounts, CountReport, ProcessCounts},
    exchange::{Exchange, ProcessKind},
    intermediary::Intermediary,
    machine::Machine,
    meter::LoadExtent,
    package,
    peers::Peer,
    report_file::save,
};

/// Counts everything that the options select, writes the JSON report and prints the tables.
///
/// # Errors
/// Any exchange failed: there are no partial results.
pub(crate) fn count(options: &CountOptions) -> Result<()> {
    // Before the measurement, so that an error comes at once.
    let earlier: Option<CountReport> = compare::earlier(&options.comparison)?;
    let cases = cases(options);
    ensure!(
        !cases.is_empty(),
        "none of the chosen shapes can be counted with any of the chosen peers"
    );
    let peers = || cases.iter().map(|&(_, peer)| peer);
    package::ensure_installed(
        package::VALGRIND
            .iter()
            .chain(peers().flat_map(Peer::packages)),
    )?;
    let uses_queues = cases.iter().any(|(case, _)| case.transport.uses_queues());
    let broker = uses_queues.then(BrokerNode::start).transpose()?;
    let temporary = tempfile::tempdir()?;
    if let Some(folder) = &options.profiles {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let counter = Counter {
        options,
        broker: broker.as_ref(),
        profiles: options.profiles.as_deref().unwrap_or(temporary.path()),
    };
    let mut report = CountReport {
        machine: Machine::here(),
        calls: options.calls,
        cases: Vec::new(),
    };
    for (case, peer) in cases {
        let rows = counter.rows(case, peer)?;
        match report.cases.iter_mut().find(|other| other.case == case) {
            Some(known) => known.rows.extend(rows),
            None => report.cases.push(CaseCounts { case, rows }),
        }
    }
    if let Some(path) = &options.json {
        save(&report, path)?;
    }
    print!("{report}");
    match &earlier {
        Some(then) => compare::show(then, &report, options.comparison.fail_beyond),
        None => Ok(()),
    }
}

/// The selected cases, each with a peer that can be counted in it.
fn cases(options: &CountOptions) -> Vec<(Case, Peer)> {
    let mut cases = Vec::new();
    for &shape in &options.shapes {
        for &payload in &options.payloads {
            for &peer in &options.peers {
                let case = Case {
                    transport: peer.transport(),
                    shape,
                    payload,
                    // Otherwise the instructions of waiting would count.
                    busy_poll: BusyPollMode::Never,
                };
                if peer.can_be_counted(case) {
                    cases.push((case, peer));
                }
            }
        }
    }
    cases
}

struct Counter<'a> {
    options: &'a CountOptions,
    broker: Option<&'a BrokerNode>,
    /// The folder for callgrind's files.
    profiles: &'a Path,
}

impl Counter<'_> {
    /// Counts each process of the peer, one after the other.
    fn rows(&self, case: Case, peer: Peer) -> Result<Vec<ProcessCounts>> {
        let gateway = Intermediary::of(peer).map(|_| ProcessKind::Gateway);
        let processes = [ProcessKind::Client, ProcessKind::Server];
        let mut rows = Vec::new();
        for process in processes.into_iter().chain(gateway) {
            eprintln!("{}: {} {}", case.title(), peer.name(), process.name());
            rows.push(self.row(case, peer, process)?);
        }
        Ok(rows)
    }

    /// Counts one process: the difference of two exchanges is what the calls cost that only the
    /// longer one has, without the start and the end of the process.
    #[expect(clippy::cast_precision_loss, reason = "no count reaches 2^53")]
    fn row(&self, case: Case, peer: Peer, process: ProcessKind) -> Result<ProcessCounts> {
        let callers = u64::try_from(case.shape.connections() * case.shape.in_flight())?;
        let each = self.options.calls.div_ceil(callers);
        // Connections, buffers and caches settle during the shorter exchange.
        let warm_up = each.div_ceil(4);
        let short = self.events(case, peer, process, warm_up)?;
        let long = self.events(case, peer, process, warm_up + each)?;
        let difference = long - short;
        let per_call = |events: u64| events as f64 / (each * callers) as f64;
        Ok(ProcessCounts {
            peer,
            process,
            instructions: per_call(difference.instructions),
            locked_instructions: per_call(difference.locked_instructions),
            system_calls: per_call(difference.system_calls),
            clock_reads: per_call(difference.clock_reads),
        })
    }

    /// What the process executes in an exchange of `each` calls by each caller.
    fn events(
        &self,
        case: Case,
        peer: Peer,
        process: ProcessKind,
        each: u64,
    ) -> Result<EventCounts> {
        let name = format!(
            "{}-{}-{}-{}",
            peer.name(),
            process.name(),
            case.shape.name(),
            case.payload
        );
        let profile = Profile::new(self.profiles, &name);
        let exchange = Exchange {
            peer,
            case,
            extent: LoadExtent::Calls { each },
            cores: &self.options.cores,
            broker: self.broker.map(BrokerNode::address),
            profiled: Some((process, &profile)),
        };
        exchange.run()?;
        profile.read()
    }
}
