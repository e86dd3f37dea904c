//! A server, and its client as a program.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Result;

/// How long a server may take to start, and a node to reach a state.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tce,
    Ecflow,
}

pub(crate) struct Peer {
    kind: Kind,
    home: TempDir,
    port: u16,
    server: Child,
}

impl Peer {
    /// A server in a new folder that has started.
    pub(crate) fn start(kind: Kind) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = spawn(kind, &home, port)?;
        let peer = Self {
            kind,
            home,
            port,
            server,
        };
        peer.wait_until_ready()?;
        Ok(peer)
    }

    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if Instant::now() > deadline {
                return Err("the server does not start".into());
            }
            thread::sleep(Duration::from_millis(2));
        }
        if self.kind == Kind::Ecflow {
            self.client(&["--restart"])?;
        }
        Ok(())
    }

    /// Kills the server, and starts it again.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.server.kill()?;
        self.server.wait()?;
        self.server = spawn(self.kind, &self.home, self.port)?;
        self.wait_until_ready()
    }

    pub(crate) fn home(&self) -> String {
        self.home.path().display().to_string()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The client's program.
    pub(crate) fn program(&self) -> &'static str {
        match self.kind {
            Kind::Tce => env!("CARGO_BIN_EXE_ecflow_client"),
            Kind::Ecflow => "/usr/bin/ecflow_client",
        }
    }

    /// What the client prints.
    pub(crate) fn client(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(self.program())
            .args(arguments)
            .envs([
                ("ECF_HOST", "localhost"),
                ("ECF_PORT", &self.port.to_string()),
            ])
            .output()?;
        if !output.status.success() {
            return Err(
                format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into(),
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    pub(crate) fn load(&self, definition: &str) -> Result<()> {
        let path = self.home.path().join("suite.def");
        fs::write(&path, definition)?;
        self.client(&[&format!("--load={}", path.display())])?;
        Ok(())
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.home.path().join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(fs::write(path, text)?)
    }

    /// A file of the folder, when it has so many lines.
    pub(crate) fn read(&self, name: &str, lines: usize) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(self.home.path().join(name)).unwrap_or_default();
            if text.lines().count() >= lines {
                return Ok(text);
            }
            if Instant::now() > deadline {
                return Err(format!("{name} has {} lines", text.lines().count()).into());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The memory that the server has in use, in bytes.
    pub(crate) fn memory(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        Ok(kilobytes.ok_or("no VmRSS")?.parse::<f64>()? * 1024.0)
    }

    /// The processor time that the server has used, in seconds.
    pub(crate) fn processor(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.server.id()))?;
        let fields: Vec<_> = stat
            .rsplit(") ")
            .next()
            .unwrap_or_default()
            .split(' ')
            .collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
        // Of 100 ticks a second: user and system time, fields 14 and 15 of the whole line.
        Ok((ticks(11).ok_or("no time")? + ticks(12).ok_or("no time")?) / 100.0)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn spawn(kind: Kind, home: &TempDir, port: u16) -> Result<Child> {
    let mut command = match kind {
        Kind::Tce => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tce-flow"));
            let endpoint = format!("tcp://127.0.0.1:{port}");
            command
                .arg("serve")
                .arg(home.path())
                .args(["--listen", &endpoint]);
            command
        }
        Kind::Ecflow => {
            let mut command = Command::new("ecflow_server");
            command
                .arg(format!("--port={port}"))
                .env("ECF_HOME", home.path());
            command
        }
    };
    Ok(command
        .current_dir(home.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?)
}
