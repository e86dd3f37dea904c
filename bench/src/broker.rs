//! Brokers on free ports, with their data in temporary directories: a RabbitMQ node for one run,
//! and a nats-server for one measurement.

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};
use tce_test_rabbitmq::speaks_amqp;

use crate::program::{ChildProgram, accepts, free_address, write};

/// The script in the search path is not used: it switches to another user if root runs it.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const START_TIME: Duration = Duration::from_secs(120);

/// A running node; killed when dropped.
pub(crate) struct BrokerNode {
    _program: ChildProgram,
    address: SocketAddr,
}

impl BrokerNode {
    /// Starts a node and waits until it accepts AMQP connections.
    ///
    /// # Errors
    /// The node can't be started, or is not ready in time.
    pub(crate) fn start() -> Result<Self> {
        let home = tempfile::tempdir()?;
        let address = free_address()?;
        let command = command(home.path(), address)?;
        let mut program = ChildProgram::start(home, command, None)?;
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

/// A running nats-server with defaults; killed when dropped.
pub(crate) struct NatsServer {
    _program: ChildProgram,
    address: SocketAddr,
}

impl NatsServer {
    /// Starts nats-server on `core` and waits until it accepts connections.
    ///
    /// # Errors
    /// It can't be started, or is not ready in time.
    pub(crate) fn start(core: usize) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let address = free_address()?;
        let mut command = Command::new("/usr/sbin/nats-server");
        command
            .args(["--addr", &address.ip().to_string()])
            .args(["--port", &address.port().to_string()]);
        let mut program = ChildProgram::start(home, command, Some(core))?;
        program
            .wait_until(START_TIME, || accepts(address))
            .context("nats-server")?;
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
        .env("ERL_CRASH_DUMP", home.join("erl_crash.dump"))
        .env(
            "RABBITMQ_NODENAME",
            format!("bench{}@localhost", address.port()),
        )
        .env("RABBITMQ_DIST_PORT", free_address()?.port().to_string())
        .env("RABBITMQ_MNESIA_BASE", home.join("data"))
        .env("RABBITMQ_LOG_BASE", home.join("log"))
        .env("RABBITMQ_CONFIG_FILE", &config)
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("plugins"))
        .env("RABBITMQ_PID_FILE", home.join("pid"))
        // Has the script replace itself with the node, so that the child process is the node: it is
        // the one to kill, and its processor time counts as the benchmark's.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        // No busy waiting of the Erlang schedulers: server and client need the cores.
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "+sbwt none +sbwtdcpu none +sbwtdio none",
        );
    Ok(command)
}
