//! The way to the server.

use std::{path::PathBuf, time::Duration};

use tce_runtime::{
    Communicator, Proxy, RpcError,
    config::{Endpoint, EndpointError, MqConfig, Options, Scheme, TlsConfig, problem::Problems},
};

/// How the server is reached.
#[derive(Debug, clap::Args)]
pub(super) struct ConnectArgs {
    /// The credential by which a gateway knows the user
    #[arg(long, env = "TCE_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// How long to wait for an answer, such as 500ms or 10s
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(super) timeout: Duration,

    /// A pair that travels beside the call; may be given several times
    #[arg(short = 'x', long = "extra", value_name = "KEY=VALUE", value_parser = pair)]
    pub(super) extra: Vec<(String, String)>,

    /// The authorities that an ssl:// or wss:// server's certificate must come from (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Our own certificate, where the server wants one (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,

    /// The key of our own certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// The config.yml that names the message queues of an mq: endpoint
    #[arg(long, value_name = "FILE", requires = "process")]
    mq_config: Option<PathBuf>,

    /// The process of the config.yml as which to call
    #[arg(long, value_name = "NAME", requires = "mq_config")]
    process: Option<String>,
}

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoWay {
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
    #[error(
        "an mq: endpoint is one of a config.yml: name it with --mq-config, and the process with --process"
    )]
    NoQueues,
    #[error("{0}")]
    Config(#[from] Problems),
    #[error("{0}")]
    Rpc(#[from] RpcError),
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("a pair has a `=`, as in -x name=ann")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl ConnectArgs {
    /// Connects.
    pub(super) async fn connect(&self, endpoint: &str) -> Result<Proxy, NoWay> {
        let scheme = endpoint.parse::<Endpoint>()?.scheme;
        if scheme == Scheme::Mq && self.mq_config.is_none() {
            return Err(NoWay::NoQueues);
        }
        let communicator = Communicator::with_options(Options {
            timeout: self.timeout,
            token: self.token.clone(),
            tls: TlsConfig {
                certificate: self.cert.clone(),
                key: self.key.clone(),
                authority: self.ca.clone(),
            },
            ..Options::default()
        });
        if let (Some(file), Some(process)) = (&self.mq_config, &self.process) {
            communicator.open_mq(MqConfig::load(file, process)?).await?;
        }
        let proxy = Proxy::connect(&communicator, endpoint).await?;
        Ok(proxy.with_extra(self.extra.clone()))
    }
}
