//! Two queues for one test: one for calls, one for their RETURNs.

use std::sync::atomic::{AtomicU32, Ordering};

use tce_runtime::{
    Adapter, Communicator, MemoryBroker, Proxy,
    config::{MqConfig, Options},
};

use crate::common::probe::{Probe, Server};

/// The queues, and how endpoints use them.
#[derive(Debug, Clone)]
pub(crate) struct Queues {
    pub(crate) calls: String,
    pub(crate) replies: String,
    /// The broker's port; 1 for a broker in memory.
    pub(crate) port: u16,
    pub(crate) is_durable: bool,
    pub(crate) in_batches: bool,
    pub(crate) prefetch: u16,
    pub(crate) delivery_limit: u16,
    pub(crate) is_tls: bool,
    pub(crate) memory: Option<MemoryBroker>,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Queues {
    /// Queues with unique names, at a broker on `port`.
    pub(crate) fn at(port: u16) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            calls: format!("calls{number}"),
            replies: format!("replies{number}"),
            port,
            is_durable: true,
            in_batches: false,
            prefetch: 64,
            delivery_limit: 10,
            is_tls: false,
            memory: None,
        }
    }

    pub(crate) fn in_memory() -> Self {
        Self {
            memory: Some(MemoryBroker::new()),
            ..Self::at(1)
        }
    }

    pub(crate) fn text(&self) -> String {
        let Self {
            calls,
            replies,
            port,
            is_durable,
            in_batches,
            prefetch,
            delivery_limit,
            is_tls,
            ..
        } = self;
        let endpoint = |name: &str| {
            format!(
                "    - name: {name}
      host: 127.0.0.1
      port: {port}
      address: {name};{{create:always,node:{{type:queue,durable:{is_durable}}}}}
      type: qpid
      batch: {in_batches}
      prefetch: {prefetch}
      delivery_limit: {delivery_limit}
      tls: {is_tls}
"
            )
        };
        format!(
            "common_defs:
  endpoints:
{}{}
server:
  endpoints:
    - {{name: {calls}, af_mode: AF_READ}}
    - {{name: {replies}, af_mode: AF_WRITE}}
client:
  endpoints:
    - {{name: {calls}, af_mode: AF_WRITE}}
    - {{name: {replies}, af_mode: AF_READ}}
  endpoint_pairs:
    - {{call: {calls}, return: {replies}}}
reader:
  endpoints:
    - {{name: {calls}, af_mode: AF_READ}}
writer:
  endpoints:
    - {{name: {calls}, af_mode: AF_WRITE}}
",
            endpoint(calls),
            endpoint(replies),
        )
    }

    pub(crate) fn config(&self, process: &str) -> MqConfig {
        MqConfig::parse(&self.text(), "config.yml", process).expect("the text is valid")
    }

    /// A communicator with the queues of `process` open: `server` and `client` have
    /// both, `reader` and `writer` only the one for calls.
    pub(crate) async fn open(&self, process: &str) -> Communicator {
        self.open_with(process, Options::default()).await
    }

    pub(crate) async fn open_with(&self, process: &str, options: Options) -> Communicator {
        let communicator = Communicator::with_options(options);
        let config = self.config(process);
        match &self.memory {
            Some(broker) => communicator.open_mq_in_memory(config, broker).await,
            None => communicator.open_mq(config).await,
        }
        .expect("the broker is reachable");
        communicator
    }

    /// Serves a probe as `server` or `reader`.
    pub(crate) async fn serve(&self, process: &str) -> Server {
        self.serve_with(process, Options::default()).await
    }

    pub(crate) async fn serve_with(&self, process: &str, options: Options) -> Server {
        let communicator = self.open_with(process, options).await;
        let adapter = Adapter::listen(&communicator, &self.endpoint())
            .await
            .expect("the queue exists");
        let probe = Probe::default();
        adapter.add_servant(probe.clone()).start();
        Server {
            communicator,
            adapter,
            probe: probe.0,
        }
    }

    /// The endpoint of the calls.
    pub(crate) fn endpoint(&self) -> String {
        format!("mq:{}", self.calls)
    }

    pub(crate) async fn proxy(&self, communicator: &Communicator) -> Proxy {
        Proxy::connect(communicator, &self.endpoint())
            .await
            .expect("it is open for writing")
    }
}
