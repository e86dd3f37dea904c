//! The exchange between the client and the server of a peer, with a gateway or proxy between them
//! where the peer has one. Each exchange has new processes, so that no state remains from an
//! earlier one.

use std::net::SocketAddr;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::{
    broker::NatsServer,
    callgrind::Profile,
    case::Case,
    cli::CoreOptions,
    endpoint::ServerAddress,
    intermediary::Intermediary,
    meter::{LoadExtent, Measurement},
    peers::Peer,
    process::{ClientJob, ServerJob, ServerProcess, run_client},
};

/// A process of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProcessKind {
    Client,
    Server,
    /// A gateway or proxy.
    Gateway,
}

impl ProcessKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Gateway => "gateway",
        }
    }
}

pub(crate) struct Exchange<'a> {
    pub(crate) peer: Peer,
    pub(crate) case: Case,
    pub(crate) extent: LoadExtent,
    pub(crate) cores: &'a CoreOptions,
    /// The address of RabbitMQ, in cases with a broker.
    pub(crate) broker: Option<SocketAddr>,
    /// The process that runs under callgrind.
    pub(crate) profiled: Option<(ProcessKind, &'a Profile)>,
}

impl Exchange<'_> {
    /// Runs the client to its end, and ends the other processes.
    ///
    /// # Errors
    /// Any of the processes failed.
    pub(crate) fn run(&self) -> Result<Measurement> {
        let nats = match self.peer {
            Peer::Nats => Some(NatsServer::start(self.intermediary_core())?),
            _ => None,
        };
        let job = ServerJob {
            peer: self.peer,
            case: self.case,
            core: self.cores.server_core,
            broker: nats.as_ref().map(NatsServer::address).or(self.broker),
        };
        let server = ServerProcess::start(&job, self.profile_of(ProcessKind::Server))?;
        let measurement = match Intermediary::of(self.peer) {
            None => self.drive(server.address()),
            Some(intermediary) => self.drive_through(intermediary, server.address()),
        };
        // If both failed, the server's failure caused the client's, so it is the one to report.
        server.stop().and(measurement)
    }

    fn drive(&self, server: &ServerAddress) -> Result<Measurement> {
        let job = ClientJob {
            peer: self.peer,
            case: self.case,
            core: self.cores.client_core,
            extent: self.extent,
            server: server.clone(),
        };
        run_client(&job, self.profile_of(ProcessKind::Client))
    }

    fn drive_through(
        &self,
        intermediary: Intermediary,
        server: &ServerAddress,
    ) -> Result<Measurement> {
        let profile = self.profile_of(ProcessKind::Gateway);
        let running = intermediary.start(
            self.case.busy_poll,
            server,
            self.intermediary_core(),
            profile,
        )?;
        let measurement = self.drive(running.address())?;
        // Without a profile it is killed, which is faster.
        if profile.is_some() {
            running.stop()?;
        }
        Ok(measurement)
    }

    fn intermediary_core(&self) -> usize {
        self.cores.gateway_core(self.case.transport)
    }

    fn profile_of(&self, kind: ProcessKind) -> Option<&Profile> {
        let (profiled, profile) = self.profiled?;
        (profiled == kind).then_some(profile)
    }
}
