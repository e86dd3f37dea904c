//! What the connections lead to: a gateway with a server behind it, or a server.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tce_runtime::{Adapter, Communicator, Context, Fault, config::Options};
use tce_test_rabbitmq::free_port;
use tempfile::TempDir;
use tokio::runtime;

use crate::{
    Cli, Through, Transport,
    bench::{Echo, EchoServant},
    clients::answers,
    process::RoleProcess,
};

/// How long a gateway or server may take to answer the first call.
const START_TIME: Duration = Duration::from_secs(20);

/// A gateway or server, in a process of its own.
pub(crate) struct Target {
    pub(crate) process: RoleProcess,
    /// The endpoint, without a host: it listens on all addresses, so that clients have more than
    /// the ports of one.
    pub(crate) endpoint: String,
    /// The server behind a gateway.
    _server: Option<RoleProcess>,
    _folder: TempDir,
}

impl Target {
    /// Starts it, and waits until it answers.
    pub(crate) fn start(cli: &Cli, max_connections: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = free_port().context("no port is free")?;
        let (scheme, kind) = match cli.transport {
            Transport::Tcp => ("tcp", "socket"),
            Transport::Ws => ("ws", "websocket"),
        };
        let (process, server) = match cli.through {
            Through::Server => (serve_at(scheme, port)?, None),
            Through::Gateway => {
                let behind = free_port().context("no port is free")?;
                let server = serve_at("tcp", behind)?;
                let services = folder.path().join("services.xml");
                fs::write(&services, services_xml(kind, port, behind, max_connections))?;
                let services = services.to_str().context("the path is not UTF-8")?;
                let arguments = ["gateway", services, "gateway", "--set", "log=warn"];
                (RoleProcess::start(&arguments)?, Some(server))
            }
        };
        let mut target = Self {
            process,
            endpoint: format!("{scheme}://:{port}"),
            _server: server,
            _folder: folder,
        };
        let began = Instant::now();
        while !answers(&target.endpoint)? {
            ensure!(
                target.process.is_running()?,
                "the gateway or server has ended"
            );
            ensure!(
                began.elapsed() < START_TIME,
                "nothing answers at {}",
                target.endpoint
            );
            thread::sleep(Duration::from_millis(50));
        }
        Ok(target)
    }
}

fn serve_at(scheme: &str, port: u16) -> Result<RoleProcess> {
    RoleProcess::start(&["server", &format!("{scheme}://0.0.0.0:{port}")])
}

fn services_xml(kind: &str, port: u16, server: u16, max_connections: usize) -> String {
    format!(
        r#"<services>
  <InterfaceDef><if id="0" name="bench.Echo"/></InterfaceDef>
  <EndPoints>
    <ep name="clients" type="{kind}" host="0.0.0.0" port="{port}"/>
    <ep name="servers" type="socket" host="127.0.0.1" port="{server}"/>
  </EndPoints>
  <servers>
    <server name="gateway" type="{kind} server">
      <route if="bench.Echo">
        <call in="clients" out="servers"/>
        <return in="servers" out="clients"/>
      </route>
      <properties>
        <property name="listen" value="clients"/>
        <property name="max_connections" value="{max_connections}"/>
      </properties>
    </server>
  </servers>
</services>
"#
    )
}

/// Serves `endpoint` until the process is killed.
pub(crate) fn serve(endpoint: &str) -> Result<()> {
    let mut options = Options::default();
    options.connection.connections = usize::MAX;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let communicator = Communicator::with_options(options);
        let adapter = Adapter::listen(&communicator, endpoint).await?;
        adapter.add_servant(EchoServant::new(EchoImpl)).start();
        std::future::pending().await
    })
}

struct EchoImpl;

impl Echo for EchoImpl {
    async fn echo(&self, text: String, _: &Context) -> Result<String, Fault> {
        Ok(text)
    }

    async fn heartbeat(&self, _: String, _: &Context) -> Result<(), Fault> {
        Ok(())
    }
}
