//! A house: the running gateways and servers of a plan.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tce_gateway::{
    Gateway, RunningGateway,
    admin::{Query, Snapshot, SnapshotSource, UpstreamState},
};
use tce_runtime::{
    Adapter, Communicator, TypedProxy,
    config::{Endpoint, MqConfig, Options},
};
use tce_tests::test::{ITerminalPrx, ServerServant};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{
    client::Client,
    plan::{By, Front, Plan},
    raw::Raw,
    seed::{Seed, Seen},
    watching::{eventually, within},
};

/// The time limit of shutdowns.
const END_TIME: Duration = Duration::from_secs(10);

/// A server behind the gateways.
pub(crate) struct Server {
    pub(crate) communicator: Communicator,
    pub(crate) seen: Arc<Seen>,
    heard: tokio::sync::Mutex<mpsc::Receiver<String>>,
    adapter: Adapter,
}

impl Server {
    pub(crate) async fn start(plan: &Plan, name: &str) -> Self {
        Self::start_at(plan, name, 0).await
    }

    /// The same, on a given port if it is connected directly.
    pub(crate) async fn start_at(plan: &Plan, name: &str, port: u16) -> Self {
        Self::start_with(plan, name, port, Options::default()).await
    }

    /// The same, with options.
    pub(crate) async fn start_with(plan: &Plan, name: &str, port: u16, options: Options) -> Self {
        let communicator = Communicator::with_options(options);
        open_queues(plan, "server", &communicator).await;
        let endpoint = match &plan.by {
            By::Direct => format!("tcp://127.0.0.1:{port}"),
            By::Broker { .. } | By::Memory(_) => format!("mq:{}", plan.calls()),
        };
        let adapter = Adapter::listen(&communicator, &endpoint).await;
        let adapter = adapter.expect("the endpoint is free");
        let (sender, heard) = mpsc::channel(1024);
        let seed = Seed {
            name: name.to_owned(),
            seen: Arc::default(),
            heard: sender,
        };
        let seen = Arc::clone(&seed.seen);
        adapter.add_servant(ServerServant::new(seed)).start();
        Self {
            communicator,
            seen,
            heard: tokio::sync::Mutex::new(heard),
            adapter,
        }
    }

    /// The port of direct connections.
    pub(crate) fn port(&self) -> u16 {
        self.adapter.endpoint().port
    }

    /// Pushes a message to all clients of all gateways.
    pub(crate) async fn tell_all(&self, plan: &Plan, text: &str) {
        let topic = format!("mq:{}", plan.queue("all"));
        let connection = self.communicator.connect(&topic).await;
        let all = ITerminalPrx::new(&connection.expect("it is open for writing"));
        let told = within(all.on_message_oneway(text)).await;
        told.expect("the broker takes it");
    }

    /// The next text of `heartbeat`.
    pub(crate) async fn next_heard(&self) -> String {
        within(self.heard.lock().await.recv())
            .await
            .expect("the servant lives")
    }
}

/// Opens the queues of a process of the plan's config.yml.
pub(crate) async fn open_queues(plan: &Plan, process: &str, communicator: &Communicator) {
    let config = || MqConfig::parse(&plan.config(), "config.yml", process).expect("it is right");
    match &plan.by {
        By::Direct => return,
        By::Memory(broker) => communicator.open_mq_in_memory(config(), broker).await,
        By::Broker { .. } => communicator.open_mq(config()).await,
    }
    .expect("the broker is there");
}

/// The running gateways and servers of a plan.
pub(crate) struct House {
    pub(crate) plan: Plan,
    pub(crate) gateways: Vec<RunningGateway>,
    pub(crate) servers: Vec<Server>,
    folder: TempDir,
}

impl House {
    pub(crate) async fn start(plan: Plan) -> Self {
        Self::start_with(plan, |gateway| gateway).await
    }

    /// The same, with additions to each gateway.
    pub(crate) async fn start_with(plan: Plan, add: impl Fn(Gateway) -> Gateway) -> Self {
        let mut servers = Vec::new();
        for number in 0..plan.servers {
            servers.push(Server::start(&plan, &format!("server{number}")).await);
        }
        let ports: Vec<_> = servers.iter().map(Server::port).collect();
        let mut house = Self::before(plan, &ports, add).await;
        house.servers = servers;
        house.is_ready().await;
        house
    }

    /// Gateways whose servers are started separately.
    pub(crate) async fn before(
        plan: Plan,
        ports: &[u16],
        add: impl Fn(Gateway) -> Gateway,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = plan.write(folder.path(), ports);
        let mut gateways = Vec::new();
        for number in 0..plan.gateways {
            let name = format!("gw{number}");
            let loaded = Gateway::load(&file, &name, &[]);
            let mut gateway = loaded.unwrap_or_else(|error| panic!("{error}"));
            if let By::Memory(broker) = &plan.by {
                gateway = gateway.in_memory(broker);
            }
            let started = within(add(gateway).start()).await;
            gateways.push(started.unwrap_or_else(|error| panic!("{error}")));
        }
        Self {
            plan,
            gateways,
            servers: Vec::new(),
            folder,
        }
    }

    /// Shuts the gateways down, and starts them again with the same file.
    pub(crate) async fn restart(&mut self) {
        for number in 0..self.gateways.len() {
            assert!(within(self.gateways[number].shutdown()).await, "it ends");
            let loaded = Gateway::load(self.file(), &format!("gw{number}"), &[]);
            let mut gateway = loaded.unwrap_or_else(|error| panic!("{error}"));
            if let By::Memory(broker) = &self.plan.by {
                gateway = gateway.in_memory(broker);
            }
            let started = within(gateway.start()).await;
            self.gateways[number] = started.unwrap_or_else(|error| panic!("{error}"));
        }
        self.is_ready().await;
    }

    /// Waits until all threads of the gateways are connected to all servers.
    pub(crate) async fn is_ready(&self) {
        eventually("the gateways reach their servers", || self.is_up()).await;
    }

    /// Whether all threads of the gateways are connected to all servers.
    pub(crate) fn is_up(&self) -> bool {
        self.gateways.iter().all(|gateway| {
            let upstreams = gateway.source().snapshot(&Query::default()).upstreams;
            let mut upstreams = upstreams.into_iter();
            upstreams.all(|upstream| upstream.state == UpstreamState::Up)
        })
    }

    pub(crate) fn server(&self) -> &Server {
        &self.servers[0]
    }

    pub(crate) fn gateway(&self) -> &RunningGateway {
        &self.gateways[0]
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("services.xml")
    }

    /// The address that clients of a gateway connect to.
    pub(crate) fn address_of(&self, gateway: usize, front: Front) -> &Endpoint {
        let mut addresses = self.gateways[gateway].addresses();
        addresses.nth(front as usize).expect("it listens there")
    }

    pub(crate) fn address(&self, front: Front) -> &Endpoint {
        self.address_of(0, front)
    }

    pub(crate) async fn client(&self, front: Front) -> Client {
        self.client_with(front, Options::default()).await
    }

    pub(crate) async fn client_with(&self, front: Front, options: Options) -> Client {
        self.client_of(0, front, options).await
    }

    pub(crate) async fn client_of(&self, gateway: usize, front: Front, options: Options) -> Client {
        let address = self.address_of(gateway, front).to_string();
        let client = Client::connect(&address, self.folder(), options).await;
        client.expect("the gateway listens")
    }

    /// A client that sends raw bytes.
    pub(crate) async fn raw(&self) -> Raw {
        Raw::connect(self.address(Front::Socket)).await
    }

    /// A client that logs in.
    pub(crate) async fn user(&self, token: &str) -> Client {
        let options = Options {
            token: Some(token.to_owned()),
            ..Options::default()
        };
        self.client_with(Front::Socket, options).await
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.gateway().source().snapshot(&Query::default())
    }

    /// The number of messages that the gateway has dropped for a reason.
    pub(crate) fn drops(&self, reason: &str) -> u64 {
        let drops = self.snapshot().drops;
        drops
            .iter()
            .find(|row| row.reason == reason)
            .map_or(0, |row| row.count)
    }

    /// Waits until the gateway has dropped `count` messages for a reason.
    pub(crate) async fn dropped(&self, reason: &str, count: u64) {
        eventually(&format!("{count} dropped: {reason}"), || {
            self.drops(reason) == count
        })
        .await;
    }

    /// Shuts everything down, and asserts that it ends in time.
    pub(crate) async fn end(self) {
        for gateway in &self.gateways {
            assert!(within(gateway.shutdown()).await, "the gateway ends");
        }
        for server in &self.servers {
            let ended = server.communicator.shutdown(END_TIME).await;
            assert!(ended, "the server ends");
        }
    }
}
