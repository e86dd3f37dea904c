//! An agent, from its start to its end.

use std::{path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tce_runtime::{
    Adapter, Communicator, RpcError, TypedMulti as _,
    config::{Options, problem::Problems},
};
use uuid::Uuid;

use crate::{
    broker::{Broker, BrokerError, COMMANDS, Link, Publisher},
    clock::unix_ms,
    config::{FrameConfig, is_name},
    cron::CrontabContext,
    host::{DRAIN_TIME, HostEndpoint},
    hosted::{Counters, HostedPackages},
    idl::frame::{ManagementMulti, ManagementServant},
    management::ManagementImpl,
    service::ServiceContext,
};

/// What an agent is started with.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// The namespace; by default `service_group` of the file.
    pub namespace: Option<String>,
    /// The URI of the broker, `amqp://user:password@host:5672/vhost`.
    pub amqp: String,
    /// The frame's file.
    pub conf: PathBuf,
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The frame's file has mistakes.
    #[error("{0}")]
    Config(#[from] Problems),
    /// There is no namespace.
    #[error("no namespace: give `--namespace`, or `service_group` in `{}`", .0.display())]
    NoNamespace(PathBuf),
    /// The namespace is no name.
    #[error("`{0}` can't be a namespace: take 1 to 64 letters, digits, `_`, `.` and `-`")]
    Namespace(String),
    /// The broker can't be used.
    #[error("{0}")]
    Broker(#[from] BrokerError),
    /// The topic of commands or the loopback port can't be opened.
    #[error("{0}")]
    Open(#[from] RpcError),
}

/// A running agent. Dropping it ends its processes without waiting for calls.
pub struct Agent {
    inner: Arc<HostedPackages>,
    /// The topic of commands, and what announces the agent there.
    commands: Adapter,
    communicators: [Communicator; 2],
}

impl Agent {
    /// Starts an agent: reads its packages, starts their processes, and answers commands.
    ///
    /// # Errors
    /// The frame's file has mistakes, or the broker can't be used. A package at fault is no error: it
    /// is shown as rejected.
    pub async fn start(options: AgentOptions) -> Result<Self, AgentError> {
        let config = FrameConfig::load(&options.conf)?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let namespace = options.namespace.or_else(|| config.service_group.clone());
        let namespace = namespace.ok_or_else(|| AgentError::NoNamespace(options.conf.clone()))?;
        if !is_name(&namespace) {
            return Err(AgentError::Namespace(namespace.escape_debug().to_string()));
        }
        let broker = Broker::new(&options.amqp, &namespace)?;
        let communicator = Communicator::with_options(Options {
            names_broker_user: true,
            ..Options::default()
        });
        communicator.open_mq(broker.commands()).await?;
        let loopback = Communicator::new();
        let services = ServiceContext {
            link: Link::new(&broker, "consume"),
            publisher: Arc::new(Publisher::new(&broker)),
            hosts: Arc::new(HostEndpoint::open(&loopback).await?),
            broker,
        };
        let endpoint = format!("mq:{COMMANDS}");
        let id = format!("{namespace}-{}", Uuid::new_v4());
        let crontabs = CrontabContext {
            broker: services.broker.clone(),
            publisher: Arc::clone(&services.publisher),
            agent: id.clone(),
            install_root: config.agent.install_root.clone(),
            log_keep: config.agent.log_keep,
        };
        let inner = Arc::new(HostedPackages {
            id,
            crontabs,
            started_ms: unix_ms(),
            config_file: options.conf.clone(),
            settings: config.agent.clone(),
            services: Arc::new(services),
            others: ManagementMulti::connect(&communicator, &endpoint).await?,
            packages: Mutex::default(),
            rejected: Mutex::default(),
            changes: tokio::sync::Mutex::new(()),
            counters: Counters::default(),
        });
        inner.load(&config).await;
        let commands = Adapter::listen(&communicator, &endpoint).await?;
        commands.add_servant(ManagementServant::new(ManagementImpl(Arc::clone(&inner))));
        commands.join(&inner.id).await?;
        commands.start();
        let agent = &inner.id;
        tracing::info!(agent, "the agent is ready");
        Ok(Self {
            inner,
            commands,
            communicators: [communicator, loopback],
        })
    }

    /// The id, `<namespace>-<uuid>`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Takes no more calls and commands, lets those that run end, at most 30 s, and ends all processes.
    pub async fn shutdown(self) {
        // Says `bye`.
        self.commands.shutdown(DRAIN_TIME).await;
        self.inner.shutdown().await;
        for communicator in &self.communicators {
            communicator.shutdown(Duration::from_secs(5)).await;
        }
    }
}
