//! A RabbitMQ node for one run, on free ports and in a directory of its own.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// Not the one in the search path, which becomes another user where root starts it.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const START_TIME: Duration = Duration::from_secs(120);

/// A running node; killed when dropped.
pub(crate) struct Broker {
    process: Child,
    address: SocketAddr,
    home: TempDir,
}

impl Broker {
    /// Starts a node and waits until it speaks AMQP.
    ///
    /// # Errors
    /// It is not installed, or does not come up.
    pub(crate) fn start() -> Result<Self> {
        ensure!(
            Path::new(PROGRAM).exists(),
            "message queues are measured against RabbitMQ, and there is no {PROGRAM}: \
             `apt-get install rabbitmq-server`, or leave them out with --peers sockets,websocket"
        );
        let home = tempfile::tempdir()?;
        let address = free_port()?;
        let process = spawn(home.path(), address)?;
        let mut broker = Self {
            process,
            address,
            home,
        };
        broker.wait_until_up()?;
        Ok(broker)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn wait_until_up(&mut self) -> Result<()> {
        let started = Instant::now();
        while !speaks_amqp(self.address) {
            let ended = self.process.try_wait()?;
            if ended.is_some() || started.elapsed() > START_TIME {
                let output = fs::read_to_string(self.home.path().join("output"))?;
                bail!("RabbitMQ did not come up:\n{output}");
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // There is nothing to be done about a process that can't be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(home: &Path, address: SocketAddr) -> Result<Child> {
    let config = home.join("rabbitmq.conf");
    let settings = format!("listeners.tcp.1 = {address}\nlog.console = false\n");
    fs::write(&config, settings)?;
    let output = File::create(home.join("output"))?;
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
        )
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    command
        .spawn()
        .with_context(|| format!("starting {PROGRAM}"))
}

/// Whether somebody answers AMQP's greeting.
fn speaks_amqp(address: SocketAddr) -> bool {
    let greet = || {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.write_all(b"AMQP\x00\x00\x09\x01")?;
        socket.read_exact(&mut [0; 8])
    };
    greet().is_ok()
}

fn free_port() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?)
}
