//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, value_parser};
use tce_gateway::GatewayCommand;

use crate::{
    case::{BusyPoll, Shape, Transport},
    peers::{Chosen, Peer},
    process::{ClientJob, ServerJob},
};

/// Measures tce, its peers and the floor under them, side by side, in one run.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// What the program is when it has started itself again for one measurement.
#[derive(Subcommand)]
pub(crate) enum Role {
    #[command(hide = true)]
    Serve { job: ServerJob },
    #[command(hide = true)]
    Drive { job: ClientJob },
    /// What the program `tce-gateway` is, too.
    #[command(hide = true)]
    Gateway {
        #[command(flatten)]
        command: GatewayCommand,
    },
}

#[derive(Args)]
pub(crate) struct Options {
    /// How often everything is measured; the table shows medians of the rounds
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..))]
    rounds: u32,

    /// Seconds that one measurement counts; a quarter of it is spent before as warm-up
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,

    /// One short round: shows that everything runs, the numbers mean little
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,

    /// The shapes of load to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Shape::ALL)]
    pub(crate) shapes: Vec<Shape>,

    /// The peers to measure, or all over one transport; what they are compared with always runs
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Chosen::ALL_TRANSPORTS)]
    peers: Vec<Chosen>,

    /// Bytes of text in a call
    #[arg(long, value_delimiter = ',', default_values_t = [16, 4096], value_parser = payload)]
    pub(crate) payloads: Vec<usize>,

    /// Who of ours polls before its thread sleeps
    #[arg(long, value_enum, default_value_t = BusyPoll::Usual)]
    pub(crate) busy_poll: BusyPoll,

    /// The core that servers are pinned to
    #[arg(long, default_value_t = 0)]
    pub(crate) server_core: usize,

    /// The core that gateways and proxies are pinned to. Unless set, the servers' one; the
    /// clients' one where a broker stands between gateway and server
    #[arg(long)]
    gateway_core: Option<usize>,

    /// The core that clients are pinned to
    #[arg(long, default_value_t = 1)]
    pub(crate) client_core: usize,

    /// Also writes every round and the machine's facts to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl Options {
    pub(crate) fn rounds(&self) -> u32 {
        if self.quick { 1 } else { self.rounds }
    }

    /// The chosen peers over a transport and those they are compared with, in their usual order,
    /// each once.
    pub(crate) fn peers(&self, transport: Transport) -> Vec<Peer> {
        let all = Peer::over(transport).iter().copied();
        let is_chosen =
            |peer: Peer| (self.peers.iter()).any(|chosen| chosen.holds(peer, transport));
        let is_needed = |peer: Peer| {
            let mut chosen = all.clone().filter(|&other| is_chosen(other));
            chosen.any(|other| other.floor() == peer || other.direct() == Some(peer))
        };
        all.clone()
            .filter(|&peer| is_chosen(peer) || is_needed(peer))
            .collect()
    }

    /// Where what stands between client and server runs. Beyond a broker there is another side,
    /// which keeps its core, as in the floor.
    pub(crate) fn gateway_core(&self, transport: Transport) -> usize {
        self.gateway_core.unwrap_or(match transport {
            Transport::GatewayQueues => self.client_core,
            _ => self.server_core,
        })
    }

    /// How long one measurement counts calls.
    pub(crate) fn measured(&self) -> Duration {
        Duration::from_secs_f64(if self.quick { 0.2 } else { self.seconds })
    }

    /// How long calls run before they count: connections, buffers and caches settle.
    pub(crate) fn warm_up(&self) -> Duration {
        self.measured() / 4
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.05..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.05 to 3600".to_owned()),
    }
}

fn payload(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bytes) if (1..=32 * 1024).contains(&bytes) => Ok(bytes),
        _ => Err("a number of bytes from 1 to 32768".to_owned()),
    }
}
