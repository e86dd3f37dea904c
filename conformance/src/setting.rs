//! A pair of testees, and everything between them: endpoints, queues, gateways.

use std::{collections::HashMap, fs, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use tce_gateway::{Gateway, RunningGateway};
use tokio::time::Instant;

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
            ..options
        };
        let command = Command::Connect { endpoint, options };
        self.ask(Role::Client, &command).await?;
        Ok(())
    }

    /// Ends the gateways; the testees end when this is dropped.
    pub(crate) async fn stop(self) {
        drop((self.client, self.server));
        for gateway in self.gateways {
            gateway.shutdown().await;
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
        let path = self.file("xml");
        fs::write(&path, self.services(server)).map_err(|error| error.to_string())?;
        let gateway = Gateway::load(&path, "gateway", &[]).map_err(|error| error.to_string())?;
        let gateway = Box::pin(gateway.start()).await;
        let gateway = gateway.map_err(|error| error.to_string())?;
        let port = gateway
            .addresses()
            .next()
            .and_then(|it| port_of(&it.to_string()));
        self.gateways.push(gateway);
        Ok(port.ok_or_else(|| "the gateway has no address".to_owned())?)
    }

    /// A `services.xml`.
    fn services(&self, server: Option<u16>) -> String {
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
  <EndPoints><ep name="clients" type="{kind}" host="127.0.0.1" port="0"/>{endpoints}</EndPoints>
  <servers>
    <server name="gateway" type="{kind} server">{routes}
      <properties><property name="listen" value="clients"/>{loopback}</properties>
    </server>
  </servers>
</SNS>"#
        )
    }

    /// Waits until a call passes the gateway.
    async fn wait_for_gateway(&mut self, transport: Transport, port: u16) -> Result<(), Failure> {
        self.connect(transport, port, Credentials::default())
            .await?;
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

/// The port of `tcp://127.0.0.1:12002`.
fn port_of(endpoint: &str) -> Option<u16> {
    endpoint
        .trim_end_matches('/')
        .rsplit(':')
        .next()?
        .parse()
        .ok()
}
