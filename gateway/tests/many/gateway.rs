//! The program `tce-gateway` in a process of its own, with a server behind it.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use tce_runtime::{
    Adapter, Communicator, IncomingCall, Proxy, RpcError, Servant, config::Options, wire::Operation,
};
use tce_test_rabbitmq::free_port;

pub(crate) static ECHO: Operation = Operation::new("test::Server::echo", 2, 0);

#[derive(Clone)]
struct Server;

impl Servant for Server {
    fn interfaces(&self) -> &'static [u16] {
        &[2]
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        let this = std::sync::Arc::new(());
        call.run(&this, |_, (text,): (String,), context| async move {
            (context, Ok(text))
        });
    }
}

/// A gateway, and the server behind it; dropping it ends both.
pub(crate) struct Gateway {
    process: GatewayProcess,
    /// The address that clients connect to.
    pub(crate) endpoint: String,
    services: PathBuf,
    _server: Adapter,
    _folder: tempfile::TempDir,
}

/// The process; dropping it ends it.
pub(crate) struct GatewayProcess(Child);

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        self.0.kill().expect("it is a process of ours");
        self.0.wait().expect("it is a process of ours");
    }
}

impl GatewayProcess {
    fn is_running(&mut self) -> bool {
        let ended = self.0.try_wait().expect("it is a process of ours");
        ended.is_none()
    }

    /// Waits until it has ended by itself. Returns when.
    pub(crate) async fn ended(mut self) -> Instant {
        while self.is_running() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Instant::now()
    }
}

impl Gateway {
    /// Starts it, with an endpoint for clients of that type and scheme, and
    /// waits until a client's call is answered.
    pub(crate) async fn start(kind: &str, scheme: &str, options: &Options) -> Self {
        Self::start_with(kind, scheme, options, &[]).await
    }

    /// The same, with properties.
    pub(crate) async fn start_with(
        kind: &str,
        scheme: &str,
        options: &Options,
        properties: &[(&str, String)],
    ) -> Self {
        let communicator = Communicator::new();
        let server = Adapter::listen(&communicator, "tcp://127.0.0.1:0").await;
        let server = server.expect("a port is free");
        server.add_servant(Server).start();

        let folder = tempfile::tempdir().expect("there is room for a file");
        let port = free_port().expect("a port is free");
        let services = folder.path().join("services.xml");
        let text = services_xml(kind, port, server.endpoint().port, options, properties);
        fs::write(&services, text).expect("the folder is writable");
        let mut gateway = Self {
            process: spawn(&services),
            endpoint: format!("{scheme}://127.0.0.1:{port}"),
            services,
            _server: server,
            _folder: folder,
        };
        while gateway.call_once(options).await.is_err() {
            assert!(gateway.process.is_running(), "the gateway has ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        gateway
    }

    /// Lets the process end by SIGTERM, and starts another one at the same address as soon
    /// as it is free. Returns the one that ends.
    pub(crate) async fn restart(&mut self) -> GatewayProcess {
        let port = self.endpoint.rsplit(':').next().unwrap_or_default();
        let address = format!("127.0.0.1:{port}");
        let id = i32::try_from(self.process.0.id()).ok();
        let id = id.and_then(Pid::from_raw).expect("it is an id");
        kill_process(id, Signal::TERM).expect("it runs");
        while TcpListener::bind(&address).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::mem::replace(&mut self.process, spawn(&self.services))
    }

    async fn call_once(&self, options: &Options) -> Result<String, RpcError> {
        let communicator = Communicator::with_options(options.clone());
        let client = Proxy::connect(&communicator, &self.endpoint).await?;
        client.call(&ECHO, ("hello",)).await
    }

    /// The resident memory, in bytes.
    pub(crate) fn resident(&self) -> usize {
        let path = format!("/proc/{}/status", self.process.0.id());
        let status = fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        let kilobytes: usize = number
            .and_then(|number| number.parse().ok())
            .expect("the system tells the memory of its processes");
        kilobytes * 1024
    }
}

fn spawn(services: &Path) -> GatewayProcess {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tce-gateway"));
    let command = command.arg(services).args(["gateway", "--set", "log=warn"]);
    GatewayProcess(command.spawn().expect("the program was built"))
}

fn services_xml(
    kind: &str,
    own: u16,
    server: u16,
    options: &Options,
    properties: &[(&str, String)],
) -> String {
    let rows = properties.iter();
    let rows = rows.map(|(name, value)| format!(r#"<property name="{name}" value="{value}"/>"#));
    let rows: String = rows.collect();
    let file = |name, path: &Option<PathBuf>| match path {
        Some(path) => format!(r#" {name}="{}""#, path.display()),
        None => String::new(),
    };
    // The client trusts this very certificate; the key lies beside it.
    let certificate = &options.tls.authority;
    let key = certificate.as_ref().map(|path| path.with_extension("key"));
    format!(
        r#"<services>
  <InterfaceDef><if id="2" name="test.Server"/></InterfaceDef>
  <EndPoints>
    <ep name="clients" type="{kind}" host="127.0.0.1" port="{own}"{}{}/>
    <ep name="servers" type="socket" host="127.0.0.1" port="{server}"/>
  </EndPoints>
  <servers>
    <server name="gateway" type="{kind} server">
      <route if="test.Server">
        <call in="clients" out="servers"/>
        <return in="servers" out="clients"/>
      </route>
      <properties><property name="listen" value="clients"/>{rows}</properties>
    </server>
  </servers>
</services>
"#,
        file("certfile", certificate),
        file("keyfile", &key),
    )
}

/// Raises the limit of open files of this process and of those that it starts.
pub(crate) fn allow_files(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        let maximum = limit.maximum.map(|maximum| maximum.max(count));
        let raised = Rlimit {
            current: Some(count),
            maximum,
        };
        setrlimit(Resource::Nofile, raised).expect("so many open files are allowed: `ulimit -Hn`");
    }
}
