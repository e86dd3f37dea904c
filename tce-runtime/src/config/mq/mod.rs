//! The message queues of a process: `config.yml`, and the Qpid addresses in it
//! and in `services.xml` (`spec/gateway.md`).

mod address;
mod address_text;
mod endpoint;
mod file;
mod opened;
mod problem;
mod yaml;

use std::{fs::File, io, io::Read, path::Path};

pub use address::{Address, AddressError, NodeType};
pub use endpoint::MqEndpoint;
pub use problem::{MqConfigErrors, MqConfigProblem};

use problem::Report;

/// The bytes that a file may have: some thousand endpoints.
const LARGEST: usize = 1 << 20;

/// What a process opens at message queues, out of a `config.yml`
/// (`spec/gateway.md`).
///
/// An endpoint is defined in `common_defs.endpoints`; what the process's own
/// `endpoints` say of it again goes before. Listed once with `AF_READ` and once
/// with `AF_WRITE` (or with `AF_READ|AF_WRITE`) it is open for both. An endpoint
/// that only a pair names is open for what the pair does with it.
///
/// ```
/// use tce_runtime::config::MqConfig;
///
/// let config = MqConfig::parse(
///     "
/// common_defs:
///   endpoints:
///     - name: mq_server
///       host: localhost
///       port: 5672
///       address: mq_server;{create:always,node:{type:queue,durable:true}}
///       type: qpid
/// server:
///   endpoints:
///     - name: mq_server
///       af_mode: AF_READ
/// ",
///     "config.yml",
///     "server",
/// )?;
/// let endpoint = config.endpoint("mq_server").ok_or("it is there")?;
/// assert!(endpoint.reads && !endpoint.writes);
/// assert_eq!(endpoint.address.name, "mq_server");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MqConfig {
    /// The endpoints that the process opens, in the order in which it names
    /// them.
    pub endpoints: Vec<MqEndpoint>,
    /// For calls sent to the first endpoint, the second gets their RETURN; one
    /// pair at most for each first.
    pub pairs: Vec<(String, String)>,
    /// What was passed over: keys and address options that mean nothing here,
    /// endpoints listed twice.
    pub warnings: Vec<MqConfigProblem>,
}

impl MqConfig {
    /// Reads the file and logs its warnings. `process` is the name that the
    /// program gives itself (`init('server')` in TCE).
    ///
    /// # Errors
    /// Every mistake in what the process uses and in the common definitions;
    /// a file that can't be read, is no UTF-8 or larger than 1 MiB.
    pub fn load(path: impl AsRef<Path>, process: &str) -> Result<Self, MqConfigErrors> {
        let path = path.as_ref();
        let file_name = path.display().to_string();
        let bytes = read_file(path).map_err(|error| {
            let message = format!("the file can't be read: {error}");
            MqConfigErrors::one(&file_name, None, message)
        })?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let before = bytes.iter().take(error.valid_up_to());
            let line = before.filter(|byte| **byte == b'\n').count() + 1;
            MqConfigErrors::one(&file_name, Some(line), "this is no UTF-8")
        })?;
        let config = Self::parse(text, &file_name, process)?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        Ok(config)
    }

    /// Reads the text of a file that messages call `file_name`.
    ///
    /// # Errors
    /// As for [`MqConfig::load`].
    pub fn parse(text: &str, file_name: &str, process: &str) -> Result<Self, MqConfigErrors> {
        if text.len() > LARGEST {
            let message = format!("the file has more than {LARGEST} bytes");
            return Err(MqConfigErrors::one(file_name, None, message));
        }
        let mut report = Report::new(file_name);
        let config =
            yaml::read(text, &mut report).map(|root| file::read(&root, process, &mut report));
        let warnings = report.finish()?;
        Ok(Self {
            warnings,
            ..config.unwrap_or_default()
        })
    }

    /// The endpoint of that name, if the process opens one.
    pub fn endpoint(&self, name: &str) -> Option<&MqEndpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == name)
    }
}

/// One byte more than is allowed tells a file that is too large.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(LARGEST + 1).unwrap_or(u64::MAX);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
