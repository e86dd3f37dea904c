//! A private RabbitMQ node for one test program, on free ports and in a
//! directory of its own.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test without its node fails"
)]

use std::{
    hash::{BuildHasher, RandomState},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    ops::Range,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread::{panicking, sleep},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
const START_TIME: Duration = Duration::from_secs(90);

/// Runs the node `$0` in a process group of its own. Kills it, as a power failure
/// would, on a line from the pipe, or when the pipe closes because the test program
/// has ended; then it removes the directory `$1`, too.
const SUPERVISOR: &str = r#"
setsid "$0" &
if read -r line; then again=1; fi
kill -KILL "-$!"
wait
if [ -z "$again" ]; then rm -rf "$1"; fi
"#;

static SHARED: OnceLock<Node> = OnceLock::new();

/// A running node; killed when it is dropped or this process ends.
#[derive(Debug)]
pub struct Node {
    home: TempDir,
    port: u16,
    dist_port: u16,
    settings: String,
    supervisor: Option<Child>,
}

impl Node {
    /// The node that the tests of this program share; they must not stop it.
    ///
    /// # Panics
    /// As [`Node::start`] does.
    pub fn shared() -> &'static Self {
        SHARED.get_or_init(Self::start)
    }

    /// A node that a test may kill.
    ///
    /// # Panics
    /// RabbitMQ is not installed, or is not up after 90 seconds.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Like [`Node::start`], with additional lines in `rabbitmq.conf`.
    ///
    /// # Panics
    /// As [`Node::start`] does.
    pub fn start_with(settings: &str) -> Self {
        assert!(
            Path::new(PROGRAMS).join("rabbitmq-server").exists(),
            "{PROGRAMS}/rabbitmq-server is missing: apt-get install -y rabbitmq-server"
        );
        let mut node = Self {
            home: tempfile::tempdir().expect("a directory for the node"),
            port: free_port().expect("a port is free"),
            dist_port: free_port().expect("a port is free"),
            settings: settings.to_owned(),
            supervisor: None,
        };
        node.restart();
        node
    }

    /// The port at which it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn name(&self) -> String {
        format!("tce{}@localhost", self.port)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Kills the node, as a power failure would.
    pub fn kill(&mut self) {
        if let Some(mut supervisor) = self.supervisor.take() {
            if let Some(pipe) = &mut supervisor.stdin {
                let _ = pipe.write_all(b"end\n");
            }
            let _ = supervisor.wait();
        }
    }

    /// Stops the node's process as SIGSTOP does: its connections stay open, and it
    /// answers nothing until [`Node::resume`].
    ///
    /// # Panics
    /// The node does not run.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Ends [`Node::pause`].
    ///
    /// # Panics
    /// The node does not run.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.path("pid")).expect("the node's process id");
        let sent = Command::new("kill").args([signal, pid.trim()]).status();
        assert!(sent.expect("kill runs").success(), "{signal} {pid}");
    }

    /// Starts the node with its previous data.
    ///
    /// # Panics
    /// As [`Node::start`] does.
    pub fn restart(&mut self) {
        let config = self.path("rabbitmq.conf");
        let text = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\nlog.console = false\ndisk_free_limit.absolute = 1MB\n{}",
            self.port, self.settings
        );
        std::fs::write(&config, text).expect("the node's configuration");
        let log = std::fs::File::create(self.path("output")).expect("the node's output");
        let supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR])
            .arg(Path::new(PROGRAMS).join("rabbitmq-server"))
            .arg(self.home.path())
            .env("HOME", self.home.path())
            .env("ERL_CRASH_DUMP", self.path("erl_crash.dump"))
            .env("RABBITMQ_NODENAME", self.name())
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", self.path("data"))
            .env("RABBITMQ_LOG_BASE", self.path("log"))
            .env("RABBITMQ_CONFIG_FILE", &config)
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.path("plugins"))
            .env("RABBITMQ_PID_FILE", self.path("pid"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1 +sbwt none")
            // Not in the tests' process group: a terminal's Ctrl-C must not reach it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("the node's output"))
            .stderr(log)
            .spawn()
            .expect("sh runs");
        self.supervisor = Some(supervisor);
        self.wait_until_up();
    }

    /// Prints the node's logs, to show why a test failed.
    fn print_logs(&self) {
        let logs = std::fs::read_dir(self.path("log")).into_iter().flatten();
        for log in logs.flatten() {
            let text = std::fs::read_to_string(log.path()).unwrap_or_default();
            eprintln!("{}:\n{text}", log.path().display());
        }
    }

    fn wait_until_up(&self) {
        let deadline = Instant::now() + START_TIME;
        while !speaks_amqp(self.port) {
            if Instant::now() > deadline {
                let output = std::fs::read_to_string(self.path("output")).unwrap_or_default();
                panic!("the node did not come up in {START_TIME:?}:\n{output}");
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// Runs `rabbitmqctl`, and returns the columns of each line of its output.
    ///
    /// # Panics
    /// The command fails.
    pub fn control(&self, arguments: &[&str]) -> Vec<Vec<String>> {
        let is_table = arguments
            .first()
            .is_some_and(|name| name.starts_with("list_"));
        let output = Command::new(Path::new(PROGRAMS).join("rabbitmqctl"))
            .args(["-q", "-n", &self.name()])
            .args(arguments)
            .args(is_table.then_some("--no-table-headers"))
            .env("HOME", self.home.path())
            .env("ERL_CRASH_DUMP", self.path("erl_crash.dump"))
            .output()
            .expect("rabbitmqctl runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}{errors}");
        let words = |line: &str| line.split('\t').map(str::to_owned).collect();
        text.lines().map(words).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if panicking() {
            self.print_logs();
        }
    }
}

/// Returns whether a server on this port of 127.0.0.1 answers AMQP's protocol header.
pub fn speaks_amqp(port: u16) -> bool {
    let Ok(mut socket) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let _ = socket.set_read_timeout(Some(Duration::from_secs(5)));
    socket.write_all(b"AMQP\x00\x00\x09\x01").is_ok() && socket.read_exact(&mut [0; 8]).is_ok()
}

/// Below the ephemeral ports, which begin at 32768 on Linux: so no program that lets
/// the system choose a port takes one of these between the check and its use.
const PORTS: Range<u16> = 20_000..30_000;

/// The next port to check, counted from a random start, since other test programs
/// search the same range.
static NEXT: LazyLock<AtomicU64> =
    LazyLock::new(|| AtomicU64::new(RandomState::new().hash_one(()) >> 1));

/// A port of 127.0.0.1 without a listener, returned once; `None` if all are in use.
pub fn free_port() -> Option<u16> {
    let count = u64::from(PORTS.end - PORTS.start);
    let mut ports = PORTS.map(|_| NEXT.fetch_add(1, Ordering::Relaxed) % count);
    ports.find_map(|offset| {
        let port = PORTS.start + u16::try_from(offset).ok()?;
        TcpListener::bind(("127.0.0.1", port))
            .is_ok()
            .then_some(port)
    })
}
