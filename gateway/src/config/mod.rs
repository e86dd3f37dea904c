//! `services.xml` to a checked configuration (`spec/gateway.md`).
//!
//! ```text
//! text ─► elements with locations ─► definitions ─► servers ─► overrides from the environment and flags
//! ```
//! All mistakes of a file are reported at once, each with its line and column.

mod endpoint;
mod overrides;
mod value;

mod rate;
mod redis_url;

mod properties;
mod services;
mod warnings;

mod file;
mod print;

use std::path::Path;

use tce_runtime::config::problem::{self, Problem, ProblemReport, Problems, quoted};

pub use endpoint::{EndpointId, EndpointKind, HostPort, ServiceEndpoint};
pub use overrides::{ENVIRONMENT_PREFIX, Override, OverrideSource, ValueOrigin};
pub use print::{print_config, properties_table};
pub use properties::{PROPERTIES, Properties, Property};
pub use rate::{InterfaceRate, InterfaceRates, RatePeriod};
pub use redis_url::RedisUrl;
pub use services::{Hop, InterfaceRoutes, ServerConfig, ServiceInterface, Services, UnknownServer};
pub use value::{
    Auth, Broker, CollectorUrl, DescribeRight, DrainTime, EventTarget, HostNames, JwtAlgorithm,
    KeepaliveTime, KeySetSource, LogFilter, PollTime, PresenceStore, SecondLogin, Secret, Sites,
    Threads, UnknownAlgorithm,
};

/// A file without mistakes.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedServices {
    /// The configuration.
    pub services: Services,
    /// What was ignored, and what probably is not meant.
    pub warnings: Vec<Problem>,
    scopes: warnings::WarningScopes,
}

impl LoadedServices {
    /// The warnings that concern these servers: not those of other servers, and
    /// of endpoints that only other servers use.
    pub fn warnings_of(&self, servers: &[impl AsRef<str>]) -> impl Iterator<Item = &Problem> {
        let warnings = self.warnings.iter();
        warnings.filter(|warning| self.scopes.concerns(warning, &self.services, servers))
    }
}

impl Services {
    /// Reads a file. `overrides` take precedence over it, later ones over
    /// earlier ones.
    ///
    /// # Errors
    /// Every mistake in the file and in the overrides. The file can't be read,
    /// is not UTF-8, or is larger than 1 MiB.
    pub fn load(
        path: impl AsRef<Path>,
        overrides: &[Override],
    ) -> Result<LoadedServices, Problems> {
        let path = path.as_ref();
        let text = problem::read_text(path)?;
        Self::parse(&text, &path.display().to_string(), overrides)
    }

    /// Parses the text of a file; messages refer to it as `file_name`.
    ///
    /// ```
    /// use tce_gateway::config::Services;
    ///
    /// let mistake = Services::parse("<SNS><servers></SNS>", "services.xml", &[]).unwrap_err();
    /// assert!(mistake.to_string().starts_with("services.xml:1:15: "));
    /// ```
    ///
    /// # Errors
    /// Every mistake in the text and in the overrides.
    pub fn parse(
        text: &str,
        file_name: &str,
        overrides: &[Override],
    ) -> Result<LoadedServices, Problems> {
        problem::check_size(text, file_name)?;
        let mut report = ProblemReport::new(file_name);
        let (services, scopes) = file::read(text, overrides, &mut report);
        let warnings = report.finish()?;
        Ok(LoadedServices {
            services,
            warnings,
            scopes,
        })
    }

    /// The endpoint of that id.
    ///
    /// # Panics
    /// The id belongs to another `Services` with more endpoints.
    pub fn endpoint(&self, id: EndpointId) -> &ServiceEndpoint {
        &self.endpoints[id.index()]
    }

    /// The interface of that index.
    pub fn interface(&self, ifidx: u16) -> Option<&ServiceInterface> {
        let found = self
            .interfaces
            .binary_search_by_key(&ifidx, |interface| interface.ifidx);
        found.ok().and_then(|index| self.interfaces.get(index))
    }

    /// The server of that name.
    ///
    /// # Errors
    /// The file has no server of that name; the error lists those it has.
    pub fn server(&self, name: &str) -> Result<&ServerConfig, UnknownServer> {
        let found = self.servers.iter().find(|server| server.name == name);
        found.ok_or_else(|| {
            let names = || self.servers.iter().map(|server| server.name.as_str());
            let listed: Vec<_> = names().take(10).map(quoted).collect();
            let suggestion = ProblemReport::new("")
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
