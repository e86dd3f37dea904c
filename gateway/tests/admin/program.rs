//! A gateway as a process of its own, a server behind it, and a client.

use std::{
    io::{BufRead, BufReader, Read},
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

/// A gateway's process, until it is dropped.
pub(crate) struct Process {
    child: Child,
    log: mpsc::Receiver<String>,
    _folder: TempDir,
    /// Where the page is.
    pub(crate) admin: SocketAddr,
}

impl Process {
    /// Starts it with a `services.xml`; its page is there then.
    pub(crate) async fn start(services: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("services.xml");
        std::fs::write(&file, services).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tce-gateway"))
            .arg(&file)
            .args(["gwserver", "--set", "admin=0", "--set", "log_format=json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway starts");
        let mut log = lines(child.stderr.take().unwrap());
        let there = logged(&mut log, "serving the admin page").await;
        Self {
            admin: there["address"].as_str().unwrap().parse().unwrap(),
            child,
            log,
            _folder: folder,
        }
    }

    /// Where a browser finds the page.
    pub(crate) fn page(&self) -> String {
        format!("http://{}/", self.admin)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads to the end, so that the gateway never waits to log.
fn lines(log: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel(100);
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            let _ = tell.try_send(line);
        }
    });
    told
}

/// The next line of the log with this message.
async fn logged(log: &mut mpsc::Receiver<String>, message: &str) -> Value {
    loop {
        let line = timeout(PATIENCE, log.recv()).await;
        let line = line.expect("it is logged").expect("the gateway runs");
        let event: Value = serde_json::from_str(&line).expect(&line);
        if event["message"] == message {
            return event;
        }
    }
}

/// A gateway, and a server behind it.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    pub(crate) server: Communicator,
    _adapter: Adapter,
    /// Where clients connect to.
    endpoint: String,
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        let server = Communicator::new();
        let adapter = Adapter::listen(&server, "tcp://127.0.0.1:0").await.unwrap();
        adapter.add_servant(Server(Arc::default())).start();
        let mut process = Process::start(&services(adapter.endpoint().port)).await;
        let serves = logged(&mut process.log, "accepting clients").await;
        let gateway = Self {
            process,
            server,
            _adapter: adapter,
            endpoint: serves["endpoint"].as_str().unwrap().to_owned(),
        };
        timeout(PATIENCE, gateway.ready()).await.unwrap();
        gateway
    }

    /// Waits until the server is connected.
    async fn ready(&self) {
        while get(self.process.admin, "/readyz").await.status != 200 {
            sleep(PAUSE).await;
        }
    }

    /// A client that has just connected.
    pub(crate) async fn client(&self) -> (Communicator, Proxy) {
        let communicator = Communicator::new();
        let proxy = Proxy::connect(&communicator, &self.endpoint).await;
        (communicator, proxy.unwrap())
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
