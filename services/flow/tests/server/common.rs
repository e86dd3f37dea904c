//! A server, a client, and jobs that the tests play.

use std::time::Duration;

use tce_flow::idl::flow::{FlowControlPrx, FlowJobsPrx, FlowQueryPrx, Job, Reply};
use tce_flow::runner::{Order, Runner, RunnerLink};
use tce_flow::server::{Server, ServerOptions};
use tce_runtime::{Communicator, TypedProxy};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// How long a test waits for what has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Hands the orders to the test, which plays the jobs.
struct Stage(mpsc::Sender<Order>);

impl Runner for Stage {
    fn run(
        self: Box<Self>,
        mut link: RunnerLink,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            while let Some(order) = link.orders.recv().await {
                if self.0.send(order).await.is_err() {
                    return;
                }
            }
        })
    }
}

/// A server with a client.
pub(crate) struct Fixture {
    _home: TempDir,
    pub(crate) server: Server,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) jobs: FlowJobsPrx,
    pub(crate) control: FlowControlPrx,
    pub(crate) query: FlowQueryPrx,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With other options.
    pub(crate) async fn with(change: impl FnOnce(&mut ServerOptions)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (sender, orders) = mpsc::channel(1000);
        let mut options = ServerOptions::new(home.path(), "tcp://127.0.0.1:0");
        options.runner = Box::new(Stage(sender));
        change(&mut options);
        let server = Server::start(options).await.unwrap();
        let endpoint = server.endpoints()[0].to_string();
        let communicator = Communicator::new();
        let control = FlowControlPrx::connect(&communicator, &endpoint).await;
        let control = control.unwrap();
        Self {
            jobs: FlowJobsPrx::new(control.connection()),
            query: FlowQueryPrx::new(control.connection()),
            control: control.with_extra([("user", "tester")]),
            _home: home,
            server,
            orders,
        }
    }

    /// Loads and begins a definition.
    pub(crate) async fn begin(&self, definition: &str) {
        let loaded = self.control.load(definition, "def", false).await.unwrap();
        assert_eq!(loaded.code, 0, "{}", loaded.text);
        self.control.begin(&[], false).await.unwrap();
    }

    /// The next job that the server starts.
    pub(crate) async fn next_job(&mut self) -> Job {
        let order = tokio::time::timeout(PATIENCE, self.orders.recv()).await;
        job(order.unwrap().unwrap())
    }

    pub(crate) async fn state(&self, path: &str) -> String {
        let reply = self.query.query("state", path, "").await.unwrap();
        assert_eq!(reply.code, 0, "{}", reply.text);
        reply.text
    }
}

/// The job of an order.
pub(crate) fn job(order: Order) -> Job {
    let Order::Effect(tce_flow::machine::Effect::Submit {
        path,
        try_no,
        password,
        ..
    }) = order
    else {
        panic!("no job is started: {order:?}");
    };
    Job {
        path,
        password: password.into(),
        rid: "77".to_owned(),
        try_no: i32::try_from(try_no).unwrap(),
        host: "here".to_owned(),
    }
}

/// The text of a reply that is a success.
pub(crate) fn text(reply: Reply) -> String {
    assert_eq!(reply.code, 0, "{}", reply.text);
    reply.text
}
