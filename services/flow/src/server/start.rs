//! Starting and ending a server.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tce_runtime::config::{Endpoint, Options, Scheme};
use tce_runtime::{Adapter, Communicator, ConnectionEvent, RpcError};
use tokio::sync::{mpsc, oneshot, watch};

use crate::access::{Access, AccessOptions, Trust, WhiteListError};
use crate::idl::flow::{FlowControlServant, FlowJobsServant, FlowQueryServant};
use crate::machine::{AlterAction, Attribute, Command, Refusal, ServerState};
use crate::runner::{NoJobs, Reports, Runner, RunnerLink};
use crate::store::{Source, Store, StoreError, Summary};

use super::clock::now;
use super::control::ControlServant;
use super::jobs::JobServant;
use super::log::{Kind, Log};
use super::monitor::Monitor;
use super::owner::{Links, Owner, OwnerHandle};
use super::queries::QueryServant;
use super::renderings::Renderings;
use super::shared::{Listener, Shared};
use super::statistics::CountCalls;
use super::uploads::Uploads;
use super::watchers::Watchers;

/// Orders that wait for the runner; the owner keeps further ones.
const QUEUED_ORDERS: usize = 64;
/// Reports of the runner that wait for the owner.
const QUEUED_REPORTS: usize = 256;
/// How long calls may take to end when the server ends, and then the last snapshot.
const SHUTDOWN_TIME: Duration = Duration::from_secs(2);

/// How a server is started.
pub struct ServerOptions {
    /// ECF_HOME: where scripts are, and where jobs and their output go.
    pub home: PathBuf,
    /// The endpoints, such as `tcp://127.0.0.1:3141`. Jobs are told the port of the first one as
    /// ECF_PORT and of the last one as TAKLER_PORT.
    pub endpoints: Vec<String>,
    /// Whether endpoints without TLS may be reached from other machines.
    pub is_insecure: bool,
    /// The host that jobs are told; if there is none `localhost`, or the name of this machine where
    /// an endpoint can be reached from others.
    pub announced_host: Option<String>,
    /// Whether a new server starts no jobs until it is told to.
    pub is_halted: bool,
    /// Where the state is kept.
    pub store: Source,
    /// The log file.
    pub log: PathBuf,
    /// Who may do what.
    pub access: AccessOptions,
    /// What starts jobs.
    pub runner: Box<dyn Runner>,
    /// The options of connections.
    pub connections: Options,
}

impl ServerOptions {
    /// A server on one endpoint that starts no jobs and keeps its state in memory.
    #[must_use]
    pub fn new(home: &Path, endpoint: &str) -> Self {
        Self {
            home: home.to_owned(),
            endpoints: vec![endpoint.to_owned()],
            is_insecure: false,
            announced_host: None,
            is_halted: false,
            store: Source::Memory,
            log: home.join("tce-flow.log"),
            access: AccessOptions {
                tokens: home.join("tce-flow.tokens"),
                ..AccessOptions::default()
            },
            runner: Box::new(NoJobs),
            connections: Options::default(),
        }
    }
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An endpoint can't be listened on.
    #[error("can't listen on {endpoint}: {error}")]
    Listen {
        /// The endpoint.
        endpoint: String,
        /// Why.
        error: RpcError,
    },
    /// There is no endpoint.
    #[error("a server needs an endpoint to listen on")]
    NoEndpoint,
    /// An endpoint without TLS could be reached from other machines.
    #[error(
        "{0} can be reached from other machines, and is not encrypted: use ssl:// or wss://, or \
         --insecure if only trusted machines can reach it"
    )]
    Insecure(String),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The white list can't be used.
    #[error(transparent)]
    WhiteList(#[from] WhiteListError),
    /// The log can't be written.
    #[error("can't write the log {path}: {error}")]
    Log {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// A thread can't be started.
    #[error("can't start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// A first command was refused.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The server has ended while it started.
    #[error("{0}")]
    Failed(#[from] Failure),
}

/// Why a server that ran has ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The store can't even be read any more.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A mistake in the server.
    #[error("the server has ended by an internal error")]
    Internal,
}

/// A server that runs. It ends by [`Server::shutdown`].
pub struct Server {
    communicator: Communicator,
    endpoints: Vec<Endpoint>,
    shared: Arc<Shared>,
    summary: Summary,
    /// Ends with the owner.
    ended: oneshot::Receiver<Result<(), StoreError>>,
}

impl Server {
    /// Starts a server: it listens when this returns.
    ///
    /// # Errors
    ///
    /// [`StartError`] if an endpoint is malformed, taken or not permitted, or the store can't be
    /// used.
    pub async fn start(options: ServerOptions) -> Result<Self, StartError> {
        let parsed = permitted(&options)?;
        let access = Access::new(options.access.clone())?;
        // Before the store: a port that is taken leaves the store alone.
        let communicator = Communicator::with_options(options.connections.clone());
        let adapters = listen(&communicator, &options.endpoints).await?;
        let endpoints: Vec<Endpoint> = adapters.iter().map(|it| it.endpoint().clone()).collect();
        let opened = Store::open(&options.store)?;
        let summary = opened.summary.clone();
        let log = Log::open(options.log.clone()).map_err(|error| StartError::Log {
            path: options.log.display().to_string(),
            error,
        })?;
        for note in &summary.notes {
            tracing::warn!("{note}");
            log.add(Kind::Warning, now(), note);
        }
        log.flush();
        let log = Arc::new(log);
        let watchers = Arc::<Watchers>::default();
        let (orders, received_orders) = mpsc::channel(QUEUED_ORDERS);
        let (reports, received_reports) = mpsc::channel(QUEUED_REPORTS);
        let links = Links {
            orders,
            reports: received_reports,
            watchers: Arc::clone(&watchers),
            log: Arc::clone(&log),
        };
        let (owner, handle) = Owner::new(opened, links);
        let ended = spawn(owner)?;
        let shared = Arc::new(Shared {
            owner: handle,
            access,
            log,
            watchers,
            statistics: Arc::default(),
            uploads: Uploads::default(),
            renderings: Renderings::default(),
            home: options.home.clone(),
            started_at: now(),
            is_terminated: watch::channel(false).0,
        });
        announce(&options, &endpoints, &summary, &shared.owner).await?;
        let link = RunnerLink {
            orders: received_orders,
            reports: Reports::new(reports),
        };
        tokio::spawn(options.runner.run(link));
        for (adapter, trust) in adapters.iter().zip(parsed) {
            serve(adapter, trust, &shared);
        }
        Ok(Self {
            communicator,
            endpoints,
            shared,
            summary,
            ended,
        })
    }

    /// The endpoints, with the ports that were bound.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// What was in the store.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The numbers for monitoring.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor::new(&self.shared)
    }

    /// Waits until an operator ends the server, or the store can't even be read any more.
    ///
    /// # Errors
    ///
    /// [`Failure`] in the latter case, or after an internal error.
    pub async fn terminated(&mut self) -> Result<(), Failure> {
        let mut is_terminated = self.shared.is_terminated.subscribe();
        tokio::select! {
            _ = is_terminated.wait_for(|is_terminated| *is_terminated) => Ok(()),
            ended = &mut self.ended => match ended {
                Ok(result) => Ok(result?),
                Err(_) => Err(Failure::Internal),
            },
        }
    }

    /// Ends the server: calls in flight end, or are cut off after 2 s; then a snapshot is written.
    /// Jobs go on.
    pub async fn shutdown(self) {
        self.communicator.shutdown(SHUTDOWN_TIME).await;
        self.shared.owner.end().await;
        let _ = tokio::time::timeout(SHUTDOWN_TIME, self.ended).await;
    }
}

/// How far the clients of each endpoint are believed.
fn permitted(options: &ServerOptions) -> Result<Vec<Trust>, StartError> {
    let trust = |text: &String| {
        let endpoint: Endpoint = text.parse().map_err(|error| StartError::Listen {
            endpoint: text.clone(),
            error: RpcError::new(tce_runtime::ErrorCode::ConnectFailed, format!("{error}")),
        })?;
        if is_loopback(&endpoint.host) {
            return Ok(Trust::Local);
        }
        let is_encrypted = matches!(endpoint.scheme, Scheme::Ssl | Scheme::Wss);
        if is_encrypted || options.is_insecure {
            Ok(Trust::Token)
        } else {
            Err(StartError::Insecure(text.clone()))
        }
    };
    options.endpoints.iter().map(trust).collect()
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address = address.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

async fn listen(
    communicator: &Communicator,
    endpoints: &[String],
) -> Result<Vec<Adapter>, StartError> {
    let mut adapters = Vec::new();
    for endpoint in endpoints {
        let adapter = Adapter::listen(communicator, endpoint).await;
        adapters.push(adapter.map_err(|error| StartError::Listen {
            endpoint: endpoint.clone(),
            error,
        })?);
    }
    Ok(adapters)
}

/// Runs the owner on a thread of its own: it waits for the disk.
fn spawn(owner: Owner) -> Result<oneshot::Receiver<Result<(), StoreError>>, StartError> {
    let (end, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    thread::Builder::new()
        .name("tce-flow owner".to_owned())
        .spawn(move || {
            let result = runtime.block_on(owner.run());
            let _ = end.send(result);
        })?;
    Ok(ended)
}

fn serve(adapter: &Adapter, trust: Trust, shared: &Arc<Shared>) {
    let listener = Listener {
        shared: Arc::clone(shared),
        trust,
    };
    adapter.add_servant(FlowJobsServant::new(JobServant(shared.owner.clone())));
    adapter.add_servant(FlowControlServant::new(ControlServant(listener.clone())));
    adapter.add_servant(FlowQueryServant::new(QueryServant(listener)));
    adapter.intercept(CountCalls(Arc::clone(&shared.statistics)));
    let shared = Arc::clone(shared);
    adapter.on_event(move |connection, event| {
        if matches!(event, ConnectionEvent::Disconnected { .. }) {
            shared.forget(connection.peer());
        }
    });
    adapter.start();
}

/// Sets the variables of the server that depend on where it runs.
async fn announce(
    options: &ServerOptions,
    endpoints: &[Endpoint],
    summary: &Summary,
    owner: &OwnerHandle,
) -> Result<(), StartError> {
    let (Some(first), Some(last)) = (endpoints.first(), endpoints.last()) else {
        return Err(StartError::NoEndpoint);
    };
    let home = options.home.display().to_string();
    let host = announced_host(options, endpoints);
    let mut variables = vec![
        ("ECF_HOME", home.clone()),
        ("ECF_HOST", host.clone()),
        ("ECF_PORT", first.port.to_string()),
        ("ECF_PID", std::process::id().to_string()),
        ("ECF_LOG", options.log.display().to_string()),
        ("TAKLER_HOME", home),
        ("TAKLER_HOST", host),
        ("TAKLER_PORT", last.port.to_string()),
    ];
    if let Some(list) = &options.access.white_list {
        variables.push(("ECF_LISTS", list.display().to_string()));
    }
    for (name, value) in variables {
        let action = AlterAction::Change {
            attribute: Attribute::Variable,
            name: name.into(),
            value: value.into(),
        };
        let paths = vec!["/".into()];
        order(owner, Command::Alter { paths, action }).await?;
    }
    if options.is_halted && summary.last == 0 {
        order(owner, Command::Server(ServerState::Halted)).await?;
    }
    Ok(())
}

async fn order(owner: &OwnerHandle, command: Command) -> Result<(), StartError> {
    let result = owner.apply("", command).await;
    result.map_err(|_| Failure::Internal)??;
    Ok(())
}

fn announced_host(options: &ServerOptions, endpoints: &[Endpoint]) -> String {
    if let Some(host) = &options.announced_host {
        return host.clone();
    }
    if endpoints.iter().all(|endpoint| is_loopback(&endpoint.host)) {
        return "localhost".to_owned();
    }
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}
