//! Which server a client calls.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tce_runtime::config::host::{join_host_port, parse_host};

use super::console::Environment;

/// A server as the user named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The host; `ssl://` in front of it asks for TLS.
    pub host: String,
    /// The port.
    pub port: String,
}

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The connect file can't be read.
    #[error("load connect config failed: {}: {source}", path.display())]
    ConnectFile {
        /// The file of TAKLER_CONNECT_FILE.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The port is not a number from 1 to 65535.
    #[error("the port is a number from 1 to 65535, not `{0}`")]
    Port(String),
    /// The host is not one.
    #[error("`{0}` is not a host: a name or an address is expected, and the port apart from it")]
    Host(String),
}

/// The file of TAKLER_CONNECT_FILE, as Takler's server writes it.
#[derive(Debug, Deserialize)]
struct ConnectFile {
    server: ServerSection,
}

#[derive(Debug, Deserialize)]
struct ServerSection {
    address: AddressSection,
}

#[derive(Debug, Deserialize)]
struct AddressSection {
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    port: PortValue,
}

/// A port is quoted in Takler's own files, and often not in those of users.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum PortValue {
    Number(u16),
    Text(String),
}

impl Default for PortValue {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// A connect file is a few lines: more is some other file.
const CONNECT_FILE_LIMIT: u64 = 64 * 1024;

impl Address {
    /// The server of Takler's client: default, environment, connect file, flags, each over the one
    /// before, for host and port apart.
    ///
    /// # Errors
    /// [`AddressError::ConnectFile`].
    pub fn of_takler(
        environment: &Environment,
        host: Option<&str>,
        port: Option<&str>,
    ) -> Result<Self, AddressError> {
        let mut address = Self::new("localhost", "33083");
        address.set(
            environment.get("TAKLER_HOST"),
            environment.get("TAKLER_PORT"),
        );
        if let Some(path) = environment.get("TAKLER_CONNECT_FILE") {
            let (host, port) = read_connect_file(Path::new(path))?;
            address.set(Some(&host), Some(&port));
        }
        address.set(host, port);
        Ok(address)
    }

    /// The server of ecFlow's client: default, `ECF_NODE`, environment, options, for host and port
    /// apart.
    #[must_use]
    pub fn of_ecflow(environment: &Environment, host: Option<&str>, port: Option<&str>) -> Self {
        let mut address = Self::new("localhost", "3141");
        address.set(environment.get("ECF_NODE"), None);
        address.set(environment.get("ECF_HOST"), environment.get("ECF_PORT"));
        address.set(host, port);
        address
    }

    fn new(host: &str, port: &str) -> Self {
        Self {
            host: host.to_owned(),
            port: port.to_owned(),
        }
    }

    /// Sets what is given and not empty.
    fn set(&mut self, host: Option<&str>, port: Option<&str>) {
        if let Some(host) = host.filter(|host| !host.is_empty()) {
            host.clone_into(&mut self.host);
        }
        if let Some(port) = port.filter(|port| !port.is_empty()) {
            port.clone_into(&mut self.port);
        }
    }

    /// The other servers of ECF_HOSTFILE, one `host[:port]` a line; `#` begins a comment.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn alternatives(&self, file: &Path) -> std::io::Result<Vec<Self>> {
        let text = std::fs::read_to_string(file)?;
        let lines = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or("").trim());
        let named = lines.filter(|line| !line.is_empty()).map(|line| {
            let (host, port) = line.split_once(':').unwrap_or((line, &self.port));
            Self::new(host, port)
        });
        Ok(named.filter(|other| other != self).collect())
    }

    /// Whether the host asks for TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.host.starts_with("ssl://")
    }

    /// The endpoint to connect to.
    ///
    /// # Errors
    /// The host or the port is not one.
    pub fn endpoint(&self, is_tls: bool) -> Result<String, AddressError> {
        let host = self.host.trim_start_matches("ssl://");
        let host = parse_host(host).map_err(|_| AddressError::Host(self.host.clone()))?;
        let port = self.port.parse().ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| AddressError::Port(self.port.clone()))?;
        let scheme = if is_tls || self.is_tls() {
            "ssl"
        } else {
            "tcp"
        };
        Ok(format!("{scheme}://{}", join_host_port(host, port)))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

fn read_connect_file(path: &Path) -> Result<(String, String), AddressError> {
    let read = || -> Result<ConnectFile, Box<dyn std::error::Error + Send + Sync>> {
        if std::fs::metadata(path)?.len() > CONNECT_FILE_LIMIT {
            return Err(format!("it is longer than {CONNECT_FILE_LIMIT} bytes").into());
        }
        Ok(serde_saphyr::from_str(&std::fs::read_to_string(path)?)?)
    };
    let file = read().map_err(|source| AddressError::ConnectFile {
        path: path.to_owned(),
        source,
    })?;
    let port = match file.server.address.port {
        PortValue::Number(port) => port.to_string(),
        PortValue::Text(port) => port,
    };
    Ok((file.server.address.hostname, port))
}
