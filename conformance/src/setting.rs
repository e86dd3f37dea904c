//! A pair of testees, and everything between them: endpoints, queues, gateways.

use std::{collections::HashMap, fs, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use tce_gateway::{Gateway, RunningGateway};
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    case::Role,
    matrix::{Pair, Peer, Transport},
    process::{Testee, TesteeError},
    protocol::{Command, Interfaces, Mode, Options, Outcome, Queues},
    tools::Tools,
};

/// How long a testee may take for a command: longer than a call without a timeout of its
/// own.
const COMMAND_TIME: Duration = Duration::from_secs(40);
/// How long a gateway may take to find its server.
const GATEWAY_TIME: Duration = Duration::from_secs(15);
/// The properties of a gateway that keeps pushes.
const KEEPING: &str = r#"<property name="userid_check" value="true"/>
        <property name="auth" value="token"/><property name="resume_time" value="60"/>"#;
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Why a case failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A testee is unable to go on.
    #[error("{0}")]
    Testee(#[from] TesteeError),
    #[error("{0}")]
    Case(String),
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Case(text)
    }
}

impl Failure {
    /// Whether the testees have to be started again.
    pub(crate) fn breaks_testee(&self) -> bool {
        matches!(self, Self::Testee(TesteeError::Broken { .. }))
    }
}

/// By which the client logs in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Credentials<'a> {
    pub(crate) token: Option<&'a str>,
    pub(crate) device_id: Option<&'a str>,
    pub(crate) resume: bool,
}

/// A client and a server that run, and where the server listens so far.
pub(crate) struct Setting<'a> {
    tools: &'a Tools,
    pair: Pair,
    /// Absent where the driver is that side.
    client: Option<Testee>,
    server: Option<Testee>,
    ports: HashMap<(Transport, Interfaces), u16>,
    gateways: Vec<RunningGateway>,
    /// The one that lets in only clients with a token, and the port of its clients.
    keeping: Option<(RunningGateway, u16)>,
    /// Those that end.
    ending: Vec<JoinHandle<bool>>,
}

impl<'a> Setting<'a> {
    /// Starts both testees.
    pub(crate) fn start(tools: &'a Tools, pair: Pair) -> Result<Self, Failure> {
        let start = |peer: Peer, role: &str| match peer {
            Peer::Wire => Ok(None),
            _ => tools
                .testee(peer)
                .and_then(|command| {
                    Testee::start(&format!("the {role} ({peer})"), command, COMMAND_TIME)
                })
                .map(Some)
                .map_err(|error| {
                    Failure::Case(format!("the {role} ({peer}) can't start: {error}"))
                }),
        };
        Ok(Self {
            tools,
            pair,
            client: start(pair.client, "client")?,
            server: start(pair.server, "server")?,
            ports: HashMap::new(),
            gateways: Vec::new(),
            keeping: None,
            ending: Vec::new(),
        })
    }

    /// Has a testee carry out a command.
    pub(crate) async fn ask(&mut self, role: Role, command: &Command) -> Result<Value, Failure> {
        let testee = match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        };
        match testee {
            Some(testee) => Ok(testee.ask(command).await?),
            None => Err(Failure::Case("the driver itself is that side".to_owned())),
        }
    }

    /// Calls by the client's connection.
    pub(crate) async fn call(&mut self, command: &Command) -> Result<Outcome, Failure> {
        let answer = self.ask(Role::Client, command).await?;
        serde_json::from_value(answer)
            .map_err(|error| Failure::Case(format!("the outcome can't be read: {error}")))
    }

    /// Empties the records of both sides.
    pub(crate) async fn forget(&mut self) -> Result<(), Failure> {
        for testee in [&mut self.client, &mut self.server].into_iter().flatten() {
            testee.ask(&Command::Forget).await?;
        }
        Ok(())
    }

    /// The port to which the client connects; the server listens from now on. 0 for queues.
    pub(crate) async fn port(
        &mut self,
        transport: Transport,
        serve: Interfaces,
    ) -> Result<u16, Failure> {
        if let Some(port) = self.ports.get(&(transport, serve)) {
            return Ok(*port);
        }
        let port = match transport {
            Transport::Tcp | Transport::Ws => {
                let endpoint = format!("{transport}://127.0.0.1:0");
                self.listen(&endpoint, serve, Options::default()).await?
            }
            Transport::Ssl | Transport::Wss => {
                let options = Options {
                    certificate: Some(self.tools.certificate.clone()),
                    key: Some(self.tools.key.clone()),
                    ..Options::default()
                };
                let endpoint = format!("{transport}://127.0.0.1:0");
                self.listen(&endpoint, serve, options).await?
            }
            Transport::Mq => {
                self.listen_to_queue("direct", serve).await?;
                0
            }
            Transport::Gateway => {
                let server = Box::pin(self.port(Transport::Tcp, serve)).await?;
                self.start_gateway(Some(server)).await?
            }
            Transport::GatewayMq => {
                self.listen_to_queue("gateway", serve).await?;
                self.start_gateway(None).await?
            }
        };
        self.ports.insert((transport, serve), port);
        if matches!(transport, Transport::Gateway | Transport::GatewayMq) {
            self.wait_for_gateway(transport, port).await?;
        }
        Ok(port)
    }

    /// As [`Self::port`]; `keeps_pushes` chooses the gateway that does so.
    pub(crate) async fn port_for(
        &mut self,
        transport: Transport,
        serve: Interfaces,
        keeps_pushes: bool,
    ) -> Result<u16, Failure> {
        if !keeps_pushes || transport != Transport::Gateway {
            return self.port(transport, serve).await;
        }
        if let Some((_, port)) = &self.keeping {
            return Ok(*port);
        }
        let server = self.port(Transport::Tcp, serve).await?;
        let gateway = self.gateway(Some(server), KEEPING, 0).await?;
        let port = clients_port(&gateway)?;
        self.keeping = Some((gateway, port));
        self.wait_for_gateway(transport, port).await?;
        Ok(port)
    }

    /// Starts another gateway at the address of the one that keeps pushes, which sends its
    /// clients there and ends.
    pub(crate) async fn drain_gateway(&mut self) -> Result<(), Failure> {
        let keeping = self.keeping.take();
        let (old, port) = keeping.ok_or_else(|| "the case needs `resume`".to_owned())?;
        let server = self.port(Transport::Tcp, Interfaces::default()).await?;
        self.ending
            .push(tokio::spawn(async move { old.shutdown().await }));
        // The port is free when a thread of the old one runs next.
        let deadline = Instant::now() + GATEWAY_TIME;
        let next = loop {
            match self.gateway(Some(server), KEEPING, port).await {
                Ok(gateway) => break gateway,
                Err(failure) if Instant::now() > deadline => return Err(failure),
                Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
            }
        };
        self.keeping = Some((next, port));
        Ok(())
    }

    /// Connects the client, through `port` if it is not the server's own.
    pub(crate) async fn connect(
        &mut self,
        transport: Transport,
        port: u16,
        credentials: Credentials<'_>,
    ) -> Result<(), Failure> {
        let is_browser = self.pair.client == Peer::Browser;
        let (endpoint, options) = match transport {
            Transport::Tcp | Transport::Ws => (
                format!("{transport}://127.0.0.1:{port}"),
                Options::default(),
            ),
            Transport::Ssl | Transport::Wss => {
                let options = Options {
                    authority: Some(self.tools.certificate.clone()),
                    ..Options::default()
                };
                (format!("{transport}://localhost:{port}"), options)
            }
            Transport::Mq => {
                let options = Options {
                    queues: Some(Queues {
                        file: self.queues()?,
                        process: "client".to_owned(),
                    }),
                    ..Options::default()
                };
                (format!("mq:{}", self.queue("direct")), options)
            }
            Transport::Gateway | Transport::GatewayMq => {
                let scheme = if is_browser { "ws" } else { "tcp" };
                (format!("{scheme}://127.0.0.1:{port}"), Options::default())
            }
        };
        let options = Options {
            token: credentials.token.map(str::to_owned),
            device_id: credentials.device_id.map(str::to_owned),
            resume: credentials.resume,
            ..options
        };
        let command = Command::Connect { endpoint, options };
        self.ask(Role::Client, &command).await?;
        Ok(())
    }

    /// Ends the gateways; the testees end when this is dropped.
    pub(crate) async fn stop(self) {
        drop((self.client, self.server));
        let keeping = self.keeping.map(|(gateway, _)| gateway);
        for gateway in self.gateways.into_iter().chain(keeping) {
            gateway.shutdown().await;
        }
        for ending in self.ending {
            // A gateway that panics has failed its case before.
            let _ = ending.await;
        }
    }

    async fn listen(
        &mut self,
        endpoint: &str,
        serve: Interfaces,
        options: Options,
    ) -> Result<u16, Failure> {
        let command = Command::Listen {
            endpoint: endpoint.to_owned(),
            serve,
            options,
        };
        let answer = self.ask(Role::Server, &command).await?;
        // A queue has no port.
        Ok(answer.as_str().and_then(port_of).unwrap_or(0))
    }

    /// The name of the queue from which the server takes calls of `by`.
    fn queue(&self, by: &str) -> String {
        format!("{}_{}_{by}", self.pair.client, self.pair.server)
    }

    /// A `config.yml` with the queues of this pair.
    fn queues(&self) -> Result<PathBuf, Failure> {
        let port = self.tools.broker_port();
        let names = ["direct", "direct_returns", "gateway", "gateway_returns"];
        let [direct, direct_returns, gateway, gateway_returns] = names.map(|name| self.queue(name));
        let defined: String = [&direct, &direct_returns, &gateway, &gateway_returns]
            .iter()
            .map(|name| {
                format!(
                    "    - {{name: {name}, host: 127.0.0.1, port: {port}, type: qpid, \
                     address: \"{name};{{create:always,node:{{type:queue}}}}\"}}\n"
                )
            })
            .collect();
        let text = format!(
            "common_defs:
  endpoints:
{defined}client:
  endpoints:
    - {{name: {direct}, af_mode: AF_WRITE}}
    - {{name: {direct_returns}, af_mode: AF_READ}}
  endpoint_pairs:
    - {{call: {direct}, return: {direct_returns}}}
server:
  endpoints:
    - {{name: {direct}, af_mode: AF_READ}}
    - {{name: {direct_returns}, af_mode: AF_WRITE}}
    - {{name: {gateway}, af_mode: AF_READ}}
    - {{name: {gateway_returns}, af_mode: AF_WRITE}}
"
        );
        let path = self.file("yml");
        fs::write(&path, text).map_err(|error| error.to_string())?;
        Ok(path)
    }

    fn file(&self, extension: &str) -> PathBuf {
        let name = format!("{}_{}.{extension}", self.pair.client, self.pair.server);
        self.tools.folder().join(name)
    }

    async fn listen_to_queue(&mut self, by: &str, serve: Interfaces) -> Result<(), Failure> {
        let options = Options {
            queues: Some(Queues {
                file: self.queues()?,
                process: "server".to_owned(),
            }),
            ..Options::default()
        };
        let endpoint = format!("mq:{}", self.queue(by));
        self.listen(&endpoint, serve, options).await?;
        Ok(())
    }

    /// Starts a gateway in front of the server's port, or its queue, and returns its port.
    async fn start_gateway(&mut self, server: Option<u16>) -> Result<u16, Failure> {
        let gateway = self.gateway(server, "", 0).await?;
        let port = clients_port(&gateway)?;
        self.gateways.push(gateway);
        Ok(port)
    }

    /// A gateway with these properties, for clients at `port`, 0 for any.
    async fn gateway(
        &self,
        server: Option<u16>,
        properties: &str,
        port: u16,
    ) -> Result<RunningGateway, Failure> {
        let path = self.file("xml");
        let services = self.services(server, properties, port);
        fs::write(&path, services).map_err(|error| error.to_string())?;
        let gateway = Gateway::load(&path, "gateway", &[]).map_err(|error| error.to_string())?;
        let gateway = Box::pin(gateway.start()).await;
        Ok(gateway.map_err(|error| error.to_string())?)
    }

    /// A `services.xml`.
    fn services(&self, server: Option<u16>, properties: &str, clients: u16) -> String {
        let kind = match self.pair.client {
            Peer::Browser => "websocket",
            _ => "socket",
        };
        let (calls, returns) = (self.queue("gateway"), self.queue("gateway_returns"));
        let (endpoints, out, back, loopback) = if let Some(port) = server {
            let endpoint =
                format!(r#"<ep name="server" type="socket" host="127.0.0.1" port="{port}"/>"#);
            (endpoint, "server", "server", String::new())
        } else {
            let broker = self.tools.broker_port();
            let queue = |name: &str| {
                format!(
                    r#"<ep name="{name}" type="qpid" host="127.0.0.1" port="{broker}" address="{name};{{create:always,node:{{type:queue}}}}"/>"#
                )
            };
            let endpoints = queue(&calls) + &queue(&returns);
            let loopback = format!(r#"<property name="loopback" value="{calls}#{returns}"/>"#);
            (endpoints, calls.as_str(), returns.as_str(), loopback)
        };
        let routes: String = ["zoo.Keeper", "conformance.Probe"]
            .iter()
            .map(|interface| {
                format!(
                    r#"
      <route if="{interface}">
        <call in="clients" out="{out}"/><return in="{back}" out="clients"/>
        <call in="{back}" out="clients"/>
      </route>"#
                )
            })
            .collect();
        format!(
            r#"<SNS>
  <InterfaceDef><if id="0" name="zoo.Keeper"/><if id="10" name="conformance.Probe"/></InterfaceDef>
  <EndPoints><ep name="clients" type="{kind}" host="127.0.0.1" port="{clients}"/>{endpoints}</EndPoints>
  <servers>
    <server name="gateway" type="{kind} server">{routes}
      <properties><property name="listen" value="clients"/>{loopback}{properties}</properties>
    </server>
  </servers>
</SNS>"#
        )
    }

    /// Waits until a call passes the gateway.
    async fn wait_for_gateway(&mut self, transport: Transport, port: u16) -> Result<(), Failure> {
        let credentials = Credentials {
            token: Some("probe"),
            ..Credentials::default()
        };
        self.connect(transport, port, credentials).await?;
        let probe = Command::Call {
            operation: "Keeper.truth".to_owned(),
            args: vec![json!(true)],
            mode: Mode::Twoway,
            timeout_ms: Some(1000),
            extra: Vec::new(),
        };
        let deadline = Instant::now() + GATEWAY_TIME;
        loop {
            match self.call(&probe).await? {
                Outcome::Result { .. } => break,
                Outcome::Error(error) if Instant::now() > deadline => {
                    return Err(Failure::Case(format!(
                        "no call passes the gateway: {}",
                        error.text
                    )));
                }
                Outcome::Error(_) => tokio::time::sleep(RETRY_PAUSE).await,
            }
        }
        self.ask(Role::Client, &Command::Close).await?;
        self.forget().await
    }
}

/// The port that the clients of a gateway connect to.
fn clients_port(gateway: &RunningGateway) -> Result<u16, String> {
    let port = gateway.addresses().next();
    let port = port.and_then(|it| port_of(&it.to_string()));
    port.ok_or_else(|| "the gateway has no address".to_owned())
}

/// The port of `tcp://127.0.0.1:12002`.
fn port_of(endpoint: &str) -> Option<u16> {
    endpoint
        .trim_end_matches('/')
        .rsplit(':')
        .next()?
        .parse()
        .ok()
}
