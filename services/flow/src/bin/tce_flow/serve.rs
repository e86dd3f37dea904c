//! `tce-flow serve`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use tce_flow::access::AccessOptions;
use tce_flow::page::AdminServer;
use tce_flow::runner::{JobRunner, RunnerOptions};
use tce_flow::server::{Server, ServerOptions};
use tce_flow::store::{Source, recover_to};
use tce_runtime::config::{Options, TlsConfig};
use tracing_subscriber::EnvFilter;

use super::Outcome;

/// The files of a server, beside its scripts.
const STORE: &str = "tce-flow.redb";
const TOKENS: &str = "tce-flow.tokens";
const LOG: &str = "tce-flow.log";

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// ECF_HOME: where scripts are, and where jobs and their output go
    #[arg(default_value = ".")]
    home: PathBuf,
    /// An endpoint to listen on: tcp://, ssl://, ws:// or wss://host:port; may be given several times
    #[arg(long, value_name = "ENDPOINT", default_values = ["tcp://127.0.0.1:3141", "tcp://127.0.0.1:33083"])]
    listen: Vec<String>,
    /// Where the state is kept [default: tce-flow.redb in the home]
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// Start with the state after this record; the present store is kept beside the new one
    #[arg(long, value_name = "N")]
    recover_to: Option<u64>,
    /// The log file [default: tce-flow.log in the home]
    #[arg(long, value_name = "FILE", env = "ECF_LOG")]
    log: Option<PathBuf>,
    /// Start a new server HALTED: it starts no jobs until it is restarted
    #[arg(long)]
    halted: bool,
    /// The host that jobs are told [default: localhost, or this machine's name]
    #[arg(long, value_name = "HOST")]
    announce: Option<String>,
    /// Tokens of operators, as `tce-flow token` keeps them [default: tce-flow.tokens in the home]
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// The white list, in ecFlow's format
    #[arg(long, value_name = "FILE", env = "ECF_LISTS")]
    lists: Option<PathBuf>,
    /// The certificate for ssl:// and wss://, as PEM
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Its key, as PEM
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Where monitoring reads /healthz, /readyz and /metrics, such as 127.0.0.1:8080
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
    /// Listen without TLS where other machines can reach it
    #[arg(long)]
    insecure: bool,
}

impl Serve {
    pub(crate) fn run(self: Box<Self>) -> Outcome {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .init();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.serve())?;
        Ok(ExitCode::SUCCESS)
    }

    async fn serve(self: Box<Self>) -> Result<(), Box<dyn std::error::Error>> {
        tce_runtime::catch_termination().await?;
        let home = std::path::absolute(&self.home)?;
        if !home.is_dir() {
            return Err(format!("{} is no folder", home.display()).into());
        }
        let store = self.store.clone().unwrap_or_else(|| home.join(STORE));
        if let Some(record) = self.recover_to {
            let (old, _) = recover_to(&store, record)?;
            println!(
                "recovered to record {record}; the store before is {}",
                old.display()
            );
        }
        let admin = self.admin.clone();
        let mut server = Server::start(self.options(&home, store)?).await?;
        let _admin = match admin {
            Some(at) => Some(AdminServer::start(&at, server.monitor()).await?),
            None => None,
        };
        for endpoint in server.endpoints() {
            println!("listening on {endpoint}");
        }
        let ended = tokio::select! {
            signal = tce_runtime::termination_signal() => signal.map_err(Into::into),
            ended = server.terminated() => ended.map_err(Into::into),
        };
        server.shutdown().await;
        ended
    }

    fn options(self, home: &Path, store: PathBuf) -> io::Result<ServerOptions> {
        Ok(ServerOptions {
            home: home.to_owned(),
            endpoints: self.listen,
            is_insecure: self.insecure,
            announced_host: self.announce,
            is_halted: self.halted,
            store: Source::File(store),
            log: self.log.unwrap_or_else(|| home.join(LOG)),
            access: AccessOptions {
                tokens: self.tokens.unwrap_or_else(|| home.join(TOKENS)),
                white_list: self.lists,
                own_user: own_user(),
            },
            runner: Box::new(JobRunner::new(RunnerOptions {
                programs: programs()?,
                ..RunnerOptions::default()
            })),
            connections: Options {
                tls: TlsConfig {
                    certificate: self.certificate,
                    key: self.key,
                    ..TlsConfig::default()
                },
                ..Options::default()
            },
        })
    }
}

/// The folder of this program, if the clients are in it: jobs find them there first.
fn programs() -> io::Result<Option<PathBuf>> {
    let mut folder = std::env::current_exe()?;
    folder.pop();
    let is_there = ["ecflow_client", "takler_client"];
    let is_there = is_there.iter().any(|name| folder.join(name).is_file());
    Ok(is_there.then_some(folder))
}

/// The name of the user that this process runs as, or its number if it has none.
fn own_user() -> String {
    let id = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(id.as_str())).then(|| name.to_owned())
    });
    name.unwrap_or(id)
}
