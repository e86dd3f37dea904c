//! Gateways and proxies between the client and the server of a measurement.

mod gateway;
mod glacier2;
mod haproxy;
mod nginx;

use std::{net::SocketAddr, process::Command, time::Duration};

use anyhow::{Context, Result};

use crate::{
    case::BusyPoll,
    process::Address,
    program::{Program, free_port},
};

const START_TIME: Duration = Duration::from_secs(20);

/// What stands between a client and a server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Between {
    Nginx,
    Haproxy,
    Gateway,
    GatewayToQueues { in_batches: bool },
    Glacier2,
}

/// One that runs; killed when dropped.
pub(crate) struct Middle {
    _program: Program,
    address: Address,
}

/// How one is started, and when it is ready.
struct Setup {
    command: Command,
    /// Where clients reach the server by it.
    endpoint: String,
    is_up: Box<dyn Fn() -> bool>,
}

impl Middle {
    /// Starts one on a core, before the server at `address`, and waits until it can be used.
    pub(crate) fn start(
        between: Between,
        busy_poll: BusyPoll,
        server: &Address,
        core: usize,
    ) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let (own, endpoint) = (free_port()?, server.endpoint.as_str());
        let mut setup = match between {
            Between::Nginx => nginx::setup(home.path(), own, endpoint)?,
            Between::Haproxy => haproxy::setup(home.path(), own, endpoint)?,
            Between::Gateway => gateway::to_server(home.path(), own, endpoint)?,
            Between::GatewayToQueues { in_batches } => {
                gateway::to_queues(home.path(), own, endpoint, in_batches)?
            }
            Between::Glacier2 => glacier2::setup(own, endpoint),
        };
        if busy_poll == BusyPoll::Never {
            // Only ours asks for it.
            setup.command.env("TCE_GATEWAY_BUSY_POLL_TIME", "0");
        }
        let mut program = Program::start(home, setup.command, Some(core))?;
        program
            .wait_until(START_TIME, setup.is_up)
            .with_context(|| format!("{between:?}"))?;
        Ok(Self {
            _program: program,
            address: Address {
                endpoint: setup.endpoint,
                control: server.control,
            },
        })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }
}

impl Setup {
    /// Of a proxy that copies bytes: it is ready when it accepts connections.
    fn of_bytes(command: Command, own: SocketAddr) -> Self {
        Self {
            command,
            endpoint: own.to_string(),
            is_up: Box::new(move || crate::program::accepts(own)),
        }
    }
}
