//! The connection to a server, over each transport.

use std::path::PathBuf;

use tce_gateway::terminal::escape_control;
use tce_runtime::{
    Communicator, ErrorCode, Proxy, RpcError,
    config::{Endpoint, EndpointError, MqConfig, Options, Scheme, TlsConfig, problem::Problems},
};

/// Options of the connection.
#[derive(Debug, clap::Args)]
pub(crate) struct ConnectArgs {
    /// Token that authenticates the user to a gateway
    #[arg(long, env = "TCE_TOKEN", hide_env_values = true)]
    token: Option<String>,

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
pub(crate) enum ConnectError {
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
    #[error(
        "an mq: endpoint needs --mq-config, its config.yml, and --process, the section of that file"
    )]
    NoConfig,
    #[error("{0}")]
    Config(#[from] Problems),
    /// The text names the broker.
    #[error("{0}\nTry this: {advice}", advice = .0.advice())]
    Broker(RpcError),
    #[error("{0}")]
    Rpc(#[from] RpcError),
}

impl ConnectArgs {
    /// The token. Templates set variables to nothing, and secrets that come from files end with a
    /// line end.
    fn token(&self) -> Option<String> {
        let token = self.token.as_deref()?.trim_end_matches(['\r', '\n']);
        (!token.is_empty()).then(|| token.to_owned())
    }

    /// Connects to an endpoint. The token and the certificates in `options` are set here.
    pub(crate) async fn connect(
        &self,
        endpoint: &str,
        options: Options,
    ) -> Result<Proxy, ConnectError> {
        let scheme = endpoint.parse::<Endpoint>()?.scheme;
        if scheme == Scheme::Mq && self.mq_config.is_none() {
            return Err(ConnectError::NoConfig);
        }
        let communicator = Communicator::with_options(Options {
            token: self.token(),
            tls: TlsConfig {
                certificate: self.cert.clone(),
                key: self.key.clone(),
                authority: self.ca.clone(),
            },
            ..options
        });
        if let (Some(file), Some(process)) = (&self.mq_config, &self.process) {
            let opened = communicator.open_mq(MqConfig::load(file, process)?).await;
            opened.map_err(ConnectError::Broker)?;
        }
        Ok(Proxy::connect(&communicator, endpoint).await?)
    }
}

/// The text of an error, and what to do about it.
pub(crate) fn with_advice(error: &RpcError) -> String {
    let text = escape_control(&error.to_string());
    let advice = match error.code() {
        // The servant's own text: there is no general advice.
        ErrorCode::RemoteException | ErrorCode::Other(_) => return text,
        ErrorCode::Timeout => "raise --timeout, or check why the servant takes so long",
        _ => error.advice(),
    };
    format!("{text}\nTry this: {advice}")
}
