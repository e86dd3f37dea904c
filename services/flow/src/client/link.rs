//! A connection to the server, with who calls.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tce_runtime::config::{ConnectionLimits, Options, TlsConfig};
use tce_runtime::{Communicator, ErrorCode, RpcError, TypedProxy};

use super::address::{Address, AddressError};
use super::console::Environment;
use crate::idl::flow::{FlowControlPrx, FlowJobsPrx, FlowQueryPrx};

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No server is named, or by no address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The file of TCE_FLOW_TOKEN_FILE or TAKLER_SECRET_FILE can't be used.
    #[error("{}: {reason}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// There is no connection: nothing was sent.
    #[error("{0}")]
    Unreachable(RpcError),
    /// The call was sent, and may have been executed.
    #[error("{0}")]
    Call(RpcError),
}

impl LinkError {
    /// Whether another attempt can help, and can't do anything twice.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

impl From<RpcError> for LinkError {
    fn from(error: RpcError) -> Self {
        match error.code() {
            ErrorCode::SendFailed
            | ErrorCode::ConnectUnreachable
            | ErrorCode::ConnectFailed
            | ErrorCode::ConnectReject => Self::Unreachable(error),
            _ => Self::Call(error),
        }
    }
}

/// Who calls, and how connections are made.
#[derive(Debug, Clone)]
pub struct Caller {
    extra: Vec<(&'static str, String)>,
    is_tls: bool,
    authority: Option<PathBuf>,
}

impl Caller {
    /// The caller of an environment. `user` is that of `--user`; `client` is `takler` or `ecflow`.
    ///
    /// # Errors
    /// [`LinkError::TokenFile`].
    pub fn new(
        environment: &Environment,
        user: Option<&str>,
        client: &str,
    ) -> Result<Self, LinkError> {
        let user = user.filter(|user| !user.is_empty());
        let user = user.map_or_else(|| own_name(environment), str::to_owned);
        let mut extra = vec![("user", user), ("client", client.to_owned())];
        let file = environment.first(&["TCE_FLOW_TOKEN_FILE", "TAKLER_SECRET_FILE"]);
        if let Some(file) = file {
            extra.push(("__token__", read_token(Path::new(file))?));
        }
        let is_tls = environment
            .first(&["ECF_SSL", "TAKLER_TLS_CA_FILE"])
            .is_some();
        Ok(Self {
            extra,
            is_tls,
            authority: authority(environment),
        })
    }

    /// The caller with TLS, whatever the environment says.
    #[must_use]
    pub fn with_tls(self, is_tls: bool) -> Self {
        Self {
            is_tls: self.is_tls || is_tls,
            ..self
        }
    }

    /// Who calls.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.extra[0].1
    }

    /// Connects within a time, which each call has, too.
    ///
    /// # Errors
    /// [`LinkError::Address`], or [`LinkError::Unreachable`].
    pub async fn connect(&self, address: &Address, limit: Duration) -> Result<Link, LinkError> {
        let communicator = Communicator::with_options(Options {
            timeout: limit,
            connection: ConnectionLimits {
                connect_time: limit,
                ..ConnectionLimits::default()
            },
            tls: TlsConfig {
                authority: self.authority.clone(),
                ..TlsConfig::default()
            },
            // A client makes a few calls: it need not poll for the next answer.
            busy_poll_time: None,
            ..Options::default()
        });
        let endpoint = address.endpoint(self.is_tls)?;
        let proxy = FlowQueryPrx::connect(&communicator, &endpoint).await;
        Ok(Link {
            query: proxy
                .map_err(LinkError::Unreachable)?
                .with_extra(self.extra.iter().map(|(key, value)| (key, value))),
        })
    }
}

/// A connection to the server.
#[derive(Debug, Clone)]
pub struct Link {
    query: FlowQueryPrx,
}

impl Link {
    /// To ask.
    #[must_use]
    pub fn query(&self) -> &FlowQueryPrx {
        &self.query
    }

    /// To order.
    #[must_use]
    pub fn control(&self) -> FlowControlPrx {
        FlowControlPrx::from_proxy(self.query.as_proxy().clone())
    }

    /// To tell about a job.
    #[must_use]
    pub fn jobs(&self) -> FlowJobsPrx {
        FlowJobsPrx::from_proxy(self.query.as_proxy().clone())
    }
}

/// The name of the user of this process: as the system knows it, else as the environment says.
fn own_name(environment: &Environment) -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut users = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let known = users.find(|fields| fields.get(2) == Some(&uid.as_str()));
    match known.as_deref() {
        Some([name, ..]) => (*name).to_owned(),
        _ => environment
            .first(&["LOGNAME", "USER"])
            .unwrap_or(&uid)
            .to_owned(),
    }
}

/// A token is the first line of a file that its owner alone can read.
fn read_token(path: &Path) -> Result<String, LinkError> {
    let refuse = |reason: String| LinkError::TokenFile {
        path: path.to_owned(),
        reason,
    };
    let metadata = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?;
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o777;
        let reason = format!("others can read it (mode {mode:o}): `chmod 600` it");
        return Err(refuse(reason));
    }
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    let token = text.lines().next().unwrap_or_default().trim();
    if token.is_empty() {
        return Err(refuse("it is empty".to_owned()));
    }
    Ok(token.to_owned())
}

/// The certificate to trust: the file that a variable names, else that of ecFlow's users.
fn authority(environment: &Environment) -> Option<PathBuf> {
    let named = environment.first(&["TAKLER_TLS_CA_FILE", "ECF_SSL"]);
    let named = named.map(PathBuf::from).filter(|path| path.is_file());
    named.or_else(|| {
        let home = environment.get("HOME")?;
        let file = Path::new(home).join(".ecflowrc/ssl/server.crt");
        file.is_file().then_some(file)
    })
}
