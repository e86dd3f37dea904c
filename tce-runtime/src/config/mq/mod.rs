//! The message queues of a process: `config.yml`, and the Qpid addresses in it
//! and in `services.xml` (`spec/gateway.md`).

mod address;
mod address_parser;
mod config_yml;
mod endpoint;
mod opened;
mod yaml;

use std::path::Path;

pub use address::{Address, AddressError, NodeType};
pub use endpoint::MqEndpoint;

use crate::config::{
    problem::{Problem, Problems, Report},
    text,
};

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
    pub warnings: Vec<Problem>,
}

impl MqConfig {
    /// Reads the file and logs its warnings. `process` is the name that the
    /// program gives itself (`init('server')` in TCE).
    ///
    /// # Errors
    /// Every mistake in what the process uses and in the common definitions;
    /// a file that can't be read, is no UTF-8 or larger than 1 MiB.
    pub fn load(path: impl AsRef<Path>, process: &str) -> Result<Self, Problems> {
        let path = path.as_ref();
        let text = text::read(path)?;
        let config = Self::parse(&text, &path.display().to_string(), process)?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        Ok(config)
    }

    /// Reads the text of a file that messages call `file_name`.
    ///
    /// # Errors
    /// As for [`MqConfig::load`].
    pub fn parse(text: &str, file_name: &str, process: &str) -> Result<Self, Problems> {
        text::check_length(text, file_name)?;
        let mut report = Report::new(file_name);
        let config =
            yaml::read(text, &mut report).map(|root| config_yml::read(&root, process, &mut report));
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
