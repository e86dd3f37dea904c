//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::PossibleValue, value_parser};
use tce_gateway::GatewayCommand;

use crate::{
    case::{BusyPollMode, LoadShape, Transport},
    meter::LoadExtent,
    peers::Peer,
    process::{ClientJob, ServerJob},
};

/// Measures tce and other RPC systems side by side, in one run.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: BenchmarkOptions,
}

/// What the program does instead of measuring rates. The hidden commands are the roles of the
/// processes that it starts for one measurement.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Counts the instructions, locked instructions and system calls of each process for a call, by
    /// valgrind
    Count(CountOptions),
    /// Compares two files that were written with `--json`
    Compare {
        then: PathBuf,
        now: PathBuf,
        #[arg(long, value_name = "PERCENT", help = FAIL_BEYOND, value_parser = percent)]
        fail_beyond: Option<f64>,
    },
    #[command(hide = true)]
    Serve { job: ServerJob },
    #[command(hide = true)]
    Drive { job: ClientJob },
    /// The same as the program `tce-gateway`.
    #[command(hide = true)]
    Gateway {
        #[command(flatten)]
        command: GatewayCommand,
    },
}

#[derive(Args)]
pub(crate) struct BenchmarkOptions {
    /// Number of rounds, each of which measures everything; the tables show medians of the rounds
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..))]
    rounds: u32,

    /// Duration of one measurement, in seconds; a warm-up of a quarter of it comes first
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,

    /// One round of 0.2 s: checks that everything works; the numbers mean little
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,

    /// The load shapes to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = LoadShape::ALL)]
    pub(crate) shapes: Vec<LoadShape>,

    /// The peers to measure, by name or by transport; the peers that they are compared with are
    /// added
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = PeerSelector::ALL_TRANSPORTS)]
    peers: Vec<PeerSelector>,

    /// Bytes of text in a call
    #[arg(long, value_delimiter = ',', default_values_t = [16, 4096], value_parser = payload)]
    pub(crate) payloads: Vec<usize>,

    /// Which processes of tce busy-poll before their thread sleeps
    #[arg(long, value_enum, default_value_t = BusyPollMode::Usual)]
    pub(crate) busy_poll: BusyPollMode,

    #[command(flatten)]
    pub(crate) cores: CoreOptions,

    /// Also writes all rounds and a description of the machine to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) comparison: ComparisonOptions,
}

impl BenchmarkOptions {
    pub(crate) fn rounds(&self) -> u32 {
        if self.quick { 1 } else { self.rounds }
    }

    /// The selected peers over a transport and those that they are compared with, each once, in
    /// the order of [`Peer::over`].
    pub(crate) fn peers(&self, transport: Transport) -> Vec<Peer> {
        let all = Peer::over(transport).iter().copied();
        let is_selected =
            |peer: Peer| (self.peers.iter()).any(|selector| selector.matches(peer, transport));
        let is_reference = |peer: Peer| {
            let mut selected = all.clone().filter(|&other| is_selected(other));
            selected.any(|other| other.floor() == peer || other.direct() == Some(peer))
        };
        all.clone()
            .filter(|&peer| is_selected(peer) || is_reference(peer))
            .collect()
    }

    /// How long one measurement counts calls.
    pub(crate) fn measured(&self) -> Duration {
        Duration::from_secs_f64(if self.quick { 0.2 } else { self.seconds })
    }

    /// How long the clients call. Connections, buffers and caches settle during the warm-up.
    pub(crate) fn extent(&self) -> LoadExtent {
        LoadExtent::Time {
            warm_up: self.measured() / 4,
            measured: self.measured(),
        }
    }
}

#[derive(Args)]
pub(crate) struct CountOptions {
    /// The number of counted calls of each process
    #[arg(long, default_value_t = 20_000, value_parser = value_parser!(u64).range(1000..=100_000_000))]
    pub(crate) calls: u64,

    /// The load shapes to count
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values_t = [LoadShape::Pipelined, LoadShape::Fan, LoadShape::Oneway]
    )]
    pub(crate) shapes: Vec<LoadShape>,

    /// The peers to count
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values_t = [Peer::Tce, Peer::TceGateway]
    )]
    pub(crate) peers: Vec<Peer>,

    /// Bytes of text in a call
    #[arg(long, value_delimiter = ',', default_values_t = [16], value_parser = payload)]
    pub(crate) payloads: Vec<usize>,

    #[command(flatten)]
    pub(crate) cores: CoreOptions,

    /// Keeps callgrind's files in this folder, for `callgrind_annotate`
    #[arg(long, value_name = "FOLDER")]
    pub(crate) profiles: Option<PathBuf>,

    /// Also writes the counts and a description of the machine to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) comparison: ComparisonOptions,
}

const FAIL_BEYOND: &str = "Ends with an error if a number of tce is worse by more than this, and \
    beyond the scatter";

#[derive(Args)]
pub(crate) struct ComparisonOptions {
    /// Also shows what has changed since the run that wrote this file with `--json`
    #[arg(long, value_name = "FILE")]
    pub(crate) compare: Option<PathBuf>,

    #[arg(
        long,
        value_name = "PERCENT",
        requires = "compare",
        help = FAIL_BEYOND,
        value_parser = percent
    )]
    pub(crate) fail_beyond: Option<f64>,
}

#[derive(Args)]
pub(crate) struct CoreOptions {
    /// The core that servers are pinned to
    #[arg(long, default_value_t = 0)]
    pub(crate) server_core: usize,

    /// The core that gateways and proxies are pinned to. Default: the server's core; with a broker
    /// between gateway and server, the client's core
    #[arg(long)]
    gateway_core: Option<usize>,

    /// The core that clients are pinned to
    #[arg(long, default_value_t = 1)]
    pub(crate) client_core: usize,
}

impl CoreOptions {
    /// The core for gateways and proxies. In front of a queue the default is the client's core, so
    /// that the process that reads calls from the queue has a core to itself, as in `mq-raw`.
    pub(crate) fn gateway_core(&self, transport: Transport) -> usize {
        self.gateway_core.unwrap_or(match transport {
            Transport::GatewayQueues => self.client_core,
            _ => self.server_core,
        })
    }
}

const TRANSPORTS: usize = Transport::ALL.len();

/// One value of `--peers`.
#[derive(Debug, Clone, Copy)]
enum PeerSelector {
    All(Transport),
    One(Peer),
}

impl PeerSelector {
    const ALL_TRANSPORTS: [Self; TRANSPORTS] = [
        Self::All(Transport::Sockets),
        Self::All(Transport::WebSocket),
        Self::All(Transport::Queues),
        Self::All(Transport::Gateway),
        Self::All(Transport::GatewayQueues),
    ];

    /// Whether this selects `peer` in the cases of `transport`.
    fn matches(self, peer: Peer, transport: Transport) -> bool {
        match self {
            Self::All(selected) => transport == selected,
            Self::One(selected) => peer == selected && transport == selected.transport(),
        }
    }
}

impl ValueEnum for PeerSelector {
    fn value_variants<'a>() -> &'a [Self] {
        const PEERS: usize = Peer::ALL.len();
        const ALL: [PeerSelector; TRANSPORTS + PEERS] = {
            let mut all = [PeerSelector::All(Transport::Sockets); TRANSPORTS + PEERS];
            let mut nth = 0;
            while nth < all.len() {
                all[nth] = if nth < TRANSPORTS {
                    PeerSelector::ALL_TRANSPORTS[nth]
                } else {
                    PeerSelector::One(Peer::ALL[nth - TRANSPORTS])
                };
                nth += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::One(peer) => return peer.to_possible_value(),
            Self::All(Transport::Sockets) => ("sockets", "All peers over sockets"),
            Self::All(Transport::WebSocket) => ("websocket", "All peers over WebSocket"),
            Self::All(Transport::Queues) => ("mq", "All peers over RabbitMQ"),
            Self::All(Transport::Gateway) => (
                "gateway",
                "All gateways and proxies to servers, and the same peers without them",
            ),
            Self::All(Transport::GatewayQueues) => {
                ("gateway-mq", "tce-gateway to RabbitMQ, and mq-raw")
            }
        };
        Some(PossibleValue::new(name).help(help))
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.05..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("must be a number of seconds from 0.05 to 3600".to_owned()),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.0..=1000.0).contains(&percent) => Ok(percent),
        _ => Err("must be a number of percent from 0 to 1000".to_owned()),
    }
}

fn payload(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bytes) if (1..=32 * 1024).contains(&bytes) => Ok(bytes),
        _ => Err("must be a number of bytes from 1 to 32768".to_owned()),
    }
}
