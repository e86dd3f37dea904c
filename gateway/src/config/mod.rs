//! `services.xml` to a checked configuration (`spec/gateway.md`).
//!
//! ```text
//! text ─► elements with places ─► definitions ─► servers, with what the environment and flags say
//! ```
//! Every mistake is told with its line and column, all of them at once.

mod choice;
mod endpoint;
mod file;
mod overrides;
mod print;
mod properties;
mod services;
mod value;

use std::path::Path;

use tce_runtime::config::{
    problem::{Problem, Problems, Report, quoted},
    text,
};

pub use choice::{Auth, Broker, SecondLogin};
pub use endpoint::{Endpoint, EndpointId, EndpointKind, HostPort};
pub use overrides::{ENVIRONMENT_PREFIX, Origin, Override, Source};
pub use print::{print_config, properties_table};
pub use properties::{PROPERTIES, Properties, Property};
pub use services::{Hop, Interface, Route, Server, Services, UnknownServer};
pub use value::{LogFilter, PollTime, Secret, Sites};

/// A file that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub services: Services,
    /// What was passed over, and what likely does not do what was meant.
    pub warnings: Vec<Problem>,
}

impl Services {
    /// Reads the file; `overrides` go before what it says, the last first.
    ///
    /// # Errors
    /// Every mistake in the file and in the overrides; a file that can't be
    /// read, is no UTF-8 or larger than 1 MiB.
    pub fn load(path: impl AsRef<Path>, overrides: &[Override]) -> Result<Loaded, Problems> {
        let path = path.as_ref();
        let text = text::read(path)?;
        Self::parse(&text, &path.display().to_string(), overrides)
    }

    /// Reads the text of a file that messages call `file_name`.
    ///
    /// ```
    /// use tce_gateway::config::Services;
    ///
    /// let mistake = Services::parse("<SNS><servers></SNS>", "services.xml", &[]).unwrap_err();
    /// assert!(mistake.to_string().starts_with("services.xml:1:15: "));
    /// ```
    ///
    /// # Errors
    /// As for [`Services::load`].
    pub fn parse(text: &str, file_name: &str, overrides: &[Override]) -> Result<Loaded, Problems> {
        text::check_length(text, file_name)?;
        let mut report = Report::new(file_name);
        let services = file::read(text, overrides, &mut report);
        let warnings = report.finish()?;
        Ok(Loaded { services, warnings })
    }

    /// The endpoint of that id.
    ///
    /// # Panics
    /// Of an id of other services that have more endpoints.
    pub fn endpoint(&self, id: EndpointId) -> &Endpoint {
        &self.endpoints[id.index()]
    }

    /// The interface of that index.
    pub fn interface(&self, ifidx: u16) -> Option<&Interface> {
        let found = self
            .interfaces
            .binary_search_by_key(&ifidx, |interface| interface.ifidx);
        found.ok().and_then(|place| self.interfaces.get(place))
    }

    /// The server that a process is started as.
    ///
    /// # Errors
    /// There is none of that name; the names that there are.
    pub fn server(&self, name: &str) -> Result<&Server, UnknownServer> {
        let found = self.servers.iter().find(|server| server.name == name);
        found.ok_or_else(|| {
            let names = || self.servers.iter().map(|server| server.name.as_str());
            let listed: Vec<_> = names().take(10).map(quoted).collect();
            let suggestion = Report::new("")
                .suggestion(name, names())
                .unwrap_or_default();
            UnknownServer(format!(
                "there is no server {}; the file has {}{suggestion}",
                quoted(name),
                listed.join(", "),
            ))
        })
    }
}
