//! A RabbitMQ node for one run, on free ports and in a directory of its own.

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};
use tce_test_rabbitmq::speaks_amqp;

use crate::program::{Program, free_port, write};

/// Not the one in the search path, which becomes another user where root starts it.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const START_TIME: Duration = Duration::from_secs(120);

/// A running node; killed when dropped.
pub(crate) struct Broker {
    _program: Program,
    address: SocketAddr,
}

impl Broker {
    /// Starts a node and waits until it speaks AMQP.
    ///
    /// # Errors
    /// It does not come up.
    pub(crate) fn start() -> Result<Self> {
        let home = tempfile::tempdir()?;
        let address = free_port()?;
        let command = command(home.path(), address)?;
        let mut program = Program::start(home, command, None)?;
        program
            .wait_until(START_TIME, || speaks_amqp(address.port()))
            .context("RabbitMQ")?;
        Ok(Self {
            _program: program,
            address,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn command(home: &Path, address: SocketAddr) -> Result<Command> {
    let config = home.join("rabbitmq.conf");
    let settings = format!("listeners.tcp.1 = {address}\nlog.console = false\n");
    write(&config, &settings)?;
    let mut command = Command::new(PROGRAM);
    command
        .env("HOME", home)
        .env(
            "RABBITMQ_NODENAME",
            format!("bench{}@localhost", address.port()),
        )
        .env("RABBITMQ_DIST_PORT", free_port()?.port().to_string())
        .env("RABBITMQ_MNESIA_BASE", home.join("data"))
        .env("RABBITMQ_LOG_BASE", home.join("log"))
        .env("RABBITMQ_CONFIG_FILE", &config)
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("plugins"))
        .env("RABBITMQ_PID_FILE", home.join("pid"))
        // The node instead of a script that waits for it: the process that is killed, and whose
        // processor time is known.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        // Its waiting must not take the cores from who works.
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "+sbwt none +sbwtdcpu none +sbwtdio none",
        );
    Ok(command)
}
