//! A RabbitMQ node for one test program, on free ports and in a directory of its own.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Not the one in the search path, which becomes another user where root starts it.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const START_TIME: Duration = Duration::from_secs(120);

/// A running node; killed when dropped.
pub(crate) struct Node {
    process: Child,
    port: u16,
    home: TempDir,
}

impl Node {
    pub(crate) fn start() -> Self {
        assert!(
            Path::new(PROGRAM).exists(),
            "there is no {PROGRAM}: apt-get install rabbitmq-server"
        );
        let home = tempfile::tempdir().unwrap();
        let port = free_port();
        let process = spawn(home.path(), port);
        let mut node = Self {
            process,
            port,
            home,
        };
        node.wait_until_up();
        node
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn wait_until_up(&mut self) {
        let started = Instant::now();
        while !speaks_amqp(self.port) {
            let output = || fs::read_to_string(self.home.path().join("output"));
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "RabbitMQ ended: {:?}", output());
            assert!(
                started.elapsed() < START_TIME,
                "RabbitMQ is not up after {START_TIME:?}: {:?}",
                output()
            );
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // There is nothing to be done about a process that can't be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(home: &Path, port: u16) -> Child {
    let config = home.join("rabbitmq.conf");
    fs::write(&config, format!("listeners.tcp.1 = 127.0.0.1:{port}\n")).unwrap();
    let output = File::create(home.join("output")).unwrap();
    Command::new(PROGRAM)
        .env("HOME", home)
        .env("RABBITMQ_NODENAME", format!("tce{port}@localhost"))
        .env("RABBITMQ_DIST_PORT", free_port().to_string())
        .env("RABBITMQ_MNESIA_BASE", home.join("data"))
        .env("RABBITMQ_LOG_BASE", home.join("log"))
        .env("RABBITMQ_CONFIG_FILE", &config)
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("plugins"))
        .env("RABBITMQ_PID_FILE", home.join("pid"))
        // The node itself instead of a script that waits for it, so that killing it is enough.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap()
}

/// Whether somebody answers AMQP's greeting.
fn speaks_amqp(port: u16) -> bool {
    let greet = || {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.write_all(b"AMQP\x00\x00\x09\x01")?;
        socket.read_exact(&mut [0; 8])
    };
    greet().is_ok()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
