//! Starting and ending a server.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tce_runtime::config::{Endpoint, Options};
use tce_runtime::{Adapter, Communicator, RpcError};
use tokio::sync::{mpsc, oneshot};

use crate::idl::flow::{FlowControlServant, FlowJobsServant, FlowQueryServant};
use crate::machine::{AlterAction, Command, Machine, ServerState};
use crate::runner::{NoJobs, Reports, Runner, RunnerLink};

use super::control::ControlServant;
use super::jobs::JobServant;
use super::owner::{Owner, OwnerHandle};
use super::queries::QueryServant;
use super::uploads::Uploads;

/// Orders that wait for the runner; the owner keeps further ones.
const QUEUED_ORDERS: usize = 64;
/// Reports of the runner that wait for the owner.
const QUEUED_REPORTS: usize = 256;
/// How long calls may take to end when the server ends.
const SHUTDOWN_TIME: Duration = Duration::from_secs(3);

/// How a server is started.
pub struct ServerOptions {
    /// ECF_HOME: where scripts are, and where jobs and their output go.
    pub home: PathBuf,
    /// The endpoints, such as `tcp://127.0.0.1:3141`. Jobs are told the port of the first one as
    /// ECF_PORT and of the last one as TAKLER_PORT.
    pub endpoints: Vec<String>,
    /// The host that jobs are told.
    pub announced_host: String,
    /// Whether a new server starts no jobs until it is told to.
    pub is_halted: bool,
    /// What starts jobs.
    pub runner: Box<dyn Runner>,
    /// The options of connections.
    pub connections: Options,
}

impl ServerOptions {
    /// A server on one endpoint that starts no jobs.
    #[must_use]
    pub fn new(home: &Path, endpoint: &str) -> Self {
        Self {
            home: home.to_owned(),
            endpoints: vec![endpoint.to_owned()],
            announced_host: "localhost".to_owned(),
            is_halted: false,
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
    /// A thread can't be started.
    #[error("can't start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The owner of the state has ended.
    #[error("the server has ended while it started")]
    Ended,
}

/// A server that runs. It ends by [`Server::shutdown`].
pub struct Server {
    communicator: Communicator,
    endpoints: Vec<Endpoint>,
    owner: OwnerHandle,
    /// Ends with the owner.
    ended: oneshot::Receiver<()>,
}

impl Server {
    /// Starts a server: it listens when this returns.
    ///
    /// # Errors
    ///
    /// [`StartError`] if an endpoint is malformed or taken.
    pub async fn start(options: ServerOptions) -> Result<Self, StartError> {
        let communicator = Communicator::with_options(options.connections.clone());
        let mut adapters = Vec::new();
        for endpoint in &options.endpoints {
            let adapter = Adapter::listen(&communicator, endpoint).await;
            adapters.push(adapter.map_err(|error| StartError::Listen {
                endpoint: endpoint.clone(),
                error,
            })?);
        }
        let endpoints: Vec<Endpoint> = adapters.iter().map(|it| it.endpoint().clone()).collect();
        let (orders, received_orders) = mpsc::channel(QUEUED_ORDERS);
        let (reports, received_reports) = mpsc::channel(QUEUED_REPORTS);
        let (owner, handle) = Owner::new(Machine::default(), orders, received_reports);
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        thread::Builder::new()
            .name("tce-flow owner".to_owned())
            .spawn(move || {
                runtime.block_on(owner.run());
                let _ = end.send(());
            })?;
        announce(&options, &endpoints, &handle).await?;
        let link = RunnerLink {
            orders: received_orders,
            reports: Reports::new(reports),
        };
        tokio::spawn(options.runner.run(link));
        for adapter in &adapters {
            serve(adapter, &handle);
        }
        Ok(Self {
            communicator,
            endpoints,
            owner: handle,
            ended,
        })
    }

    /// The endpoints, with the ports that were bound.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Ends the server: calls in flight end, or are cut off after 3 s. Jobs go on.
    pub async fn shutdown(self) {
        self.communicator.shutdown(SHUTDOWN_TIME).await;
        drop(self.owner);
        let _ = tokio::time::timeout(SHUTDOWN_TIME, self.ended).await;
    }
}

fn serve(adapter: &Adapter, owner: &OwnerHandle) {
    adapter.add_servant(FlowJobsServant::new(JobServant(owner.clone())));
    adapter.add_servant(FlowControlServant::new(ControlServant {
        owner: owner.clone(),
        uploads: Uploads::default(),
    }));
    adapter.add_servant(FlowQueryServant::new(QueryServant(owner.clone())));
    adapter.start();
}

/// Sets the variables of the server that depend on where it runs.
async fn announce(
    options: &ServerOptions,
    endpoints: &[Endpoint],
    owner: &OwnerHandle,
) -> Result<(), StartError> {
    let (Some(first), Some(last)) = (endpoints.first(), endpoints.last()) else {
        return Err(StartError::NoEndpoint);
    };
    let home = options.home.display().to_string();
    let variables = [
        ("ECF_HOME", home.clone()),
        ("ECF_HOST", options.announced_host.clone()),
        ("ECF_PORT", first.port.to_string()),
        ("ECF_PID", std::process::id().to_string()),
        ("TAKLER_HOME", home),
        ("TAKLER_HOST", options.announced_host.clone()),
        ("TAKLER_PORT", last.port.to_string()),
    ];
    for (name, value) in variables {
        let action = AlterAction::Change {
            attribute: crate::machine::Attribute::Variable,
            name: name.into(),
            value: value.into(),
        };
        let command = Command::Alter {
            paths: vec!["/".into()],
            action,
        };
        let applied = owner.apply("", command).await;
        applied
            .map_err(|_| StartError::Ended)?
            .map_err(|_| StartError::Ended)?;
    }
    if options.is_halted {
        let halted = owner.apply("", Command::Server(ServerState::Halted)).await;
        halted
            .map_err(|_| StartError::Ended)?
            .map_err(|_| StartError::Ended)?;
    }
    Ok(())
}
