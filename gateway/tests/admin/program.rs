//! A gateway as a process of its own, a server behind it, and a client.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tce_runtime::{Adapter, Communicator, IncomingCall, Proxy, Servant, wire::Operation};
use tempfile::TempDir;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::client::get;

/// A program that starts on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(50);

/// `string echo(string text)`.
pub(crate) const ECHO: Operation = Operation::new("test::Server::echo", 2, 0);
/// `void wait()`, which never returns.
pub(crate) const WAIT: Operation = Operation::new("test::Server::wait", 2, 1);

struct Server(Arc<()>);

impl Servant for Server {
    fn interfaces(&self) -> &'static [u16] {
        &[2]
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        match call.opidx() {
            0 => call.run(&self.0, |_, (text,): (String,), ctx| async move {
                (ctx, Ok(text))
            }),
            _ => call.run(&self.0, |_, (), ctx| async move {
                std::future::pending::<()>().await;
                (ctx, Ok(()))
            }),
        }
    }
}

/// All three, until it is dropped.
pub(crate) struct Gateway {
    process: Child,
    _file: TempDir,
    pub(crate) server: Communicator,
    _adapter: Adapter,
    /// Where clients connect to.
    endpoint: String,
    /// Where the page is.
    pub(crate) admin: SocketAddr,
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        let server = Communicator::new();
        let adapter = Adapter::listen(&server, "tcp://127.0.0.1:0").await.unwrap();
        adapter.add_servant(Server(Arc::default())).start();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("services.xml");
        std::fs::write(&file, services(adapter.endpoint().port)).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_tce-gateway"))
            .arg(&file)
            .args(["gwserver", "--set", "admin=0", "--set", "log_format=json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway starts");
        let (admin, endpoint) = timeout(PATIENCE, places(&mut process)).await.unwrap();
        let gateway = Self {
            process,
            _file: folder,
            server,
            _adapter: adapter,
            endpoint,
            admin: admin.parse().unwrap(),
        };
        timeout(PATIENCE, gateway.ready()).await.unwrap();
        gateway
    }

    /// Waits until the server is connected.
    async fn ready(&self) {
        while get(self.admin, "/readyz").await.status != 200 {
            sleep(PAUSE).await;
        }
    }

    /// Where a browser finds the page.
    pub(crate) fn page(&self) -> String {
        format!("http://{}/", self.admin)
    }

    /// A client that has just connected.
    pub(crate) async fn client(&self) -> (Communicator, Proxy) {
        let communicator = Communicator::new();
        let proxy = Proxy::connect(&communicator, &self.endpoint).await;
        (communicator, proxy.unwrap())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn services(port: u16) -> String {
    format!(
        r#"<SNS>
             <InterfaceDef><if id="2" name="test.Server"/></InterfaceDef>
             <EndPoints>
               <ep name="clients" type="socket" host="127.0.0.1" port="0"/>
               <ep name="servers" type="socket" host="127.0.0.1" port="{port}"/>
             </EndPoints>
             <servers><server name="gwserver" type="socket server">
               <route if="test.Server"><call in="clients" out="servers"/></route>
               <properties><property name="listen" value="clients"/></properties>
             </server></servers>
           </SNS>"#
    )
}

/// Where the page is and where clients connect to, as the log tells it.
async fn places(process: &mut Child) -> (String, String) {
    let log = BufReader::new(process.stderr.take().unwrap());
    let (tell, mut told) = mpsc::channel(100);
    // It reads to the end, so that the gateway never waits to log.
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            let _ = tell.try_send(line);
        }
    });
    let (mut admin, mut clients) = (None, None);
    loop {
        let line = told.recv().await.expect("the gateway runs");
        let event: Value = serde_json::from_str(&line).expect(&line);
        let text = |key: &str| event[key].as_str().map(str::to_owned);
        match event["message"].as_str() {
            Some("the admin page is there") => admin = text("address"),
            Some("serves clients") => clients = text("endpoint"),
            _ => {}
        }
        if let (Some(admin), Some(clients)) = (&admin, &clients) {
            return (admin.clone(), clients.clone());
        }
    }
}
