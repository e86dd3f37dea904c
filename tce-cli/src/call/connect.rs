//! Connects to the server, and the errors of connecting and calling.

use std::{io, path::PathBuf, time::Duration};

use tce_runtime::{
    Communicator, ErrorCode, Proxy, RpcError,
    config::{Endpoint, EndpointError, MqConfig, Options, Scheme, TlsConfig, problem::Problems},
};

use crate::console::CommandError;

/// Options of the connection.
#[derive(Debug, clap::Args)]
pub(super) struct ConnectArgs {
    /// Token that authenticates the user to a gateway
    #[arg(long, env = "TCE_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// Time limit of a call, such as 500ms or 10s
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(super) timeout: Duration,

    /// Entry of the call's extra; can be repeated
    #[arg(short = 'x', long = "extra", value_name = "KEY=VALUE", value_parser = pair)]
    pub(super) extra: Vec<(String, String)>,

    /// Certificate authorities to trust for ssl:// and wss:// instead of the system's (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Client certificate, if the server requires one (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,

    /// Private key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// The config.yml with the message queues of an mq: endpoint
    #[arg(long, value_name = "FILE", requires = "process")]
    mq_config: Option<PathBuf>,

    /// Section of the config.yml to use
    #[arg(long, value_name = "NAME", requires = "mq_config")]
    process: Option<String>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
    #[error(
        "an mq: endpoint needs --mq-config, its config.yml, and --process, the section of that file"
    )]
    NoConfig,
    #[error("{0}")]
    Config(#[from] Problems),
    /// The text names the broker.
    #[error(
        "{0}\nTry this: check that the broker runs, and its host, port, user and vhost in the config.yml"
    )]
    Broker(RpcError),
    #[error("{0}")]
    Rpc(#[from] RpcError),
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("expected KEY=VALUE, such as -x name=ann")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl ConnectArgs {
    /// The token. Templates set variables to nothing, and secrets that come from files end with a
    /// line end.
    fn token(&self) -> Option<String> {
        let token = self.token.as_deref()?.trim_end_matches(['\r', '\n']);
        (!token.is_empty()).then(|| token.to_owned())
    }

    /// Connects to an endpoint.
    pub(super) async fn connect(&self, endpoint: &str) -> Result<Proxy, ConnectError> {
        let scheme = endpoint.parse::<Endpoint>()?.scheme;
        if scheme == Scheme::Mq && self.mq_config.is_none() {
            return Err(ConnectError::NoConfig);
        }
        let communicator = Communicator::with_options(Options {
            timeout: self.timeout,
            token: self.token(),
            tls: TlsConfig {
                certificate: self.cert.clone(),
                key: self.key.clone(),
                authority: self.ca.clone(),
            },
            ..Options::default()
        });
        if let (Some(file), Some(process)) = (&self.mq_config, &self.process) {
            let opened = communicator.open_mq(MqConfig::load(file, process)?).await;
            opened.map_err(ConnectError::Broker)?;
        }
        let proxy = Proxy::connect(&communicator, endpoint).await?;
        Ok(proxy.with_extra(self.extra.clone()))
    }
}

/// Why `tce call` failed.
pub(super) enum CallError {
    /// The command line is wrong.
    Usage(String),
    /// The server, or the connection to it, failed.
    Failed(String),
    /// The output failed, or the message has been written.
    Command(CommandError),
}

impl CallError {
    pub(super) fn usage(error: impl std::fmt::Display) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<RpcError> for CallError {
    fn from(error: RpcError) -> Self {
        Self::Failed(with_advice(&error))
    }
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> Self {
        Self::Command(error.into())
    }
}

/// The text of an error, and what to do about it.
pub(super) fn with_advice(error: &RpcError) -> String {
    let text = escape_control(&error.to_string());
    let advice = match error.code() {
        // The servant's own text: there is no general advice.
        ErrorCode::RemoteException | ErrorCode::Other(_) => return text,
        ErrorCode::Timeout => "raise --timeout, or check why the servant takes so long",
        _ => error.advice(),
    };
    format!("{text}\nTry this: {advice}")
}

/// Escapes control characters, since a peer could send control sequences for the terminal.
fn escape_control(text: &str) -> String {
    let characters = text.chars().map(|c| match c {
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    });
    characters.collect()
}
