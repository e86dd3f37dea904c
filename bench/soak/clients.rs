//! The clients: each has a connection of its own and makes calls of all kinds at a steady rate.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use tce_runtime::{
    Communicator, Context, Fault, RpcError, TypedProxy,
    config::{MqConfig, Options},
};
use tokio::{
    sync::{Semaphore, watch},
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    ledger::{Ledger, Path, Promise},
    soak::{Client, ClientServant, ServerPrx},
};

/// The time limit of a call.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
/// The most calls of a client in flight.
const IN_FLIGHT: usize = 16;
/// The time until a client that could not connect tries again.
const RETRY_TIME: Duration = Duration::from_millis(200);

/// Where a client connects, and how its calls travel from there.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) endpoint: String,
    pub(crate) path: Path,
    /// Whether servers can make twoway calls to it.
    pub(crate) can_be_asked: bool,
    /// The config.yml of a client that calls by the queue itself.
    pub(crate) config: Option<std::path::PathBuf>,
}

/// The servant for calls of servers.
struct Listener {
    pushes: Arc<AtomicU64>,
}

impl Client for Listener {
    async fn ask(&self, text: String, _ctx: &Context) -> Result<String, Fault> {
        Ok(text)
    }

    async fn pushed(&self, _number: i32, _ctx: &Context) -> Result<(), Fault> {
        self.pushes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Makes `rate` calls a second until `is_over`, and waits until all have ended.
pub(crate) async fn run(
    client: i32,
    target: Target,
    rate: f64,
    ledger: Arc<Ledger>,
    pushes: Arc<AtomicU64>,
    is_over: watch::Receiver<bool>,
) -> Result<()> {
    let communicator = Communicator::with_options(Options {
        token: Some(format!("user{client}")),
        ..Options::default()
    });
    if let Some(config) = &target.config {
        let config = MqConfig::load(config, "client")?;
        communicator.open_mq(config).await?;
    }
    let server = loop {
        match ServerPrx::connect(&communicator, &target.endpoint).await {
            // A timeout that the proxy sets travels with each call, as its deadline.
            Ok(server) => break server.with_timeout(TIMEOUT),
            Err(_) => sleep(RETRY_TIME).await,
        }
    };
    server
        .connection()
        .add_servant(ClientServant::new(Listener { pushes }));
    let caller = Arc::new(Caller {
        client,
        next: AtomicI32::new(0),
        server,
        target: target.name,
        path: target.path,
        is_by_queue: target.config.is_some(),
        can_be_asked: target.can_be_asked,
        ledger,
    });
    let slots = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*is_over.borrow() {
        ticks.tick().await;
        let slot = Arc::clone(&slots).acquire_owned().await?;
        let caller = Arc::clone(&caller);
        tokio::spawn(async move {
            caller.call().await;
            drop(slot);
        });
    }
    let all = u32::try_from(IN_FLIGHT)?;
    let _ = slots.acquire_many(all).await?;
    Ok(())
}

struct Caller {
    client: i32,
    next: AtomicI32,
    server: ServerPrx,
    target: &'static str,
    path: Path,
    is_by_queue: bool,
    can_be_asked: bool,
    ledger: Arc<Ledger>,
}

impl Caller {
    /// Makes a call of a random kind, and enters it into the ledger.
    async fn call(&self) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (client, server) = (self.client, &self.server);
        let kind = fastrand::u8(..100);
        let is_oneway = kind < 15;
        let promise = match (is_oneway, self.is_by_queue) {
            (false, _) => Promise::Twoway { timeout: TIMEOUT },
            (true, true) => Promise::Confirmed,
            (true, false) => Promise::Oneway,
        };
        self.ledger.begin((client, number), promise, self.path);
        let result: Result<(), RpcError> = match kind {
            0..15 => server.note_oneway(client, number).await,
            // A gateway passes oneway calls alone to clients.
            15..25 if self.can_be_asked => server.nested(client, number).await.map(drop),
            15..35 => server.push(client, number).await,
            35..40 => {
                let sleep = fastrand::i32(1..50);
                server.run(client, number, sleep, &[]).await.map(drop)
            }
            _ => {
                let size = if kind < 43 {
                    64 << 10
                } else {
                    fastrand::usize(..2048)
                };
                server
                    .run(client, number, 0, &vec![7; size])
                    .await
                    .map(drop)
            }
        };
        self.ledger.end((client, number), self.target, &result);
    }
}
