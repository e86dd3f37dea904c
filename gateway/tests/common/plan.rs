//! The services.xml and config.yml of a test: gateways, each with all kinds of
//! endpoints for clients, and servers behind them.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use tce_runtime::MemoryBroker;
use tce_test_rabbitmq::Node;

/// The kinds of client endpoints, in the order of `listen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Front {
    Socket,
    WebSocket,
    Ssl,
    Wss,
}

pub(crate) const FRONTS: [Front; 4] = [Front::Socket, Front::WebSocket, Front::Ssl, Front::Wss];

/// The kind of upstream.
#[derive(Debug, Clone)]
pub(crate) enum By {
    /// Queues at a broker on this port, in batches or not.
    Broker { port: u16, in_batches: bool },
    /// Queues within the process.
    Memory(MemoryBroker),
    /// Sockets.
    Direct,
}

/// The gateways and servers of a test.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) by: By,
    pub(crate) gateways: usize,
    pub(crate) servers: usize,
    /// The properties of every gateway.
    properties: Vec<(&'static str, String)>,
    /// Additional rows of `EndPoints`.
    endpoints: String,
    /// Additional attributes of the endpoints of clients.
    attributes: String,
    /// Makes the names of queues unique to a test.
    tag: String,
    calls: &'static str,
    /// The roles that may call `test.Server`; empty for all users.
    allow: &'static str,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The environment variable that sets the property `threads` of every gateway that
/// sets none itself.
const THREADS: &str = "TCE_TEST_GATEWAY_THREADS";

impl Plan {
    /// One gateway and one server.
    pub(crate) fn by(by: By) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            by,
            gateways: 1,
            servers: 1,
            properties: Vec::new(),
            endpoints: String::new(),
            attributes: String::new(),
            tag: format!("_{}_{number}", std::process::id()),
            calls: "calls",
            allow: "",
        }
    }

    pub(crate) fn rabbitmq() -> Self {
        let port = Node::shared().port();
        Self::at_broker(port)
    }

    pub(crate) fn at_broker(port: u16) -> Self {
        let in_batches = false;
        Self::by(By::Broker { port, in_batches })
    }

    pub(crate) fn rabbitmq_in_batches() -> Self {
        let port = Node::shared().port();
        let in_batches = true;
        Self::by(By::Broker { port, in_batches })
    }

    pub(crate) fn memory() -> Self {
        Self::by(By::Memory(MemoryBroker::new()))
    }

    pub(crate) fn direct() -> Self {
        Self::by(By::Direct)
    }

    pub(crate) fn gateways(self, gateways: usize) -> Self {
        Self { gateways, ..self }
    }

    pub(crate) fn servers(self, servers: usize) -> Self {
        Self { servers, ..self }
    }

    pub(crate) fn property(mut self, name: &'static str, value: &str) -> Self {
        self.properties.push((name, value.to_owned()));
        self
    }

    /// Lets only users with one of these roles call `test.Server`.
    pub(crate) fn allow(self, allow: &'static str) -> Self {
        Self { allow, ..self }
    }

    /// Adds attributes to all endpoints of clients.
    pub(crate) fn at_fronts(self, attributes: &str) -> Self {
        let attributes = attributes.to_owned();
        Self { attributes, ..self }
    }

    /// Adds a socket that gateways connect to.
    pub(crate) fn socket(mut self, name: &str, port: u16) -> Self {
        let row = format!(r#"<ep name="{name}" type="socket" host="127.0.0.1" port="{port}"/>"#);
        line(&mut self.endpoints, &row);
        self
    }

    /// The name of a queue or topic of this test.
    pub(crate) fn queue(&self, name: &str) -> String {
        format!("{name}{}", self.tag)
    }

    /// The endpoint that calls are forwarded to.
    pub(crate) fn calls(&self) -> String {
        self.queue(self.calls)
    }

    /// Changes the endpoint that calls are forwarded to.
    pub(crate) fn name_calls(&mut self, calls: &'static str) {
        self.calls = calls;
    }

    /// The endpoint of a gateway's RETURNs, and of pushes to its users.
    pub(crate) fn returns(&self, gateway: usize) -> String {
        self.queue(&format!("gw{gateway}_returns"))
    }

    /// Writes the services.xml, and the certificate that it names.
    pub(crate) fn write(&self, folder: &Path, ports: &[u16]) -> PathBuf {
        let names = vec!["127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("the name is one");
        let write = |name: &str, text: &str| {
            let file = folder.join(name);
            std::fs::write(&file, text).expect("the folder is writable");
            file
        };
        write("server.pem", &made.cert.pem());
        write("server.key", &made.signing_key.serialize_pem());
        write("services.xml", &self.services(folder, ports))
    }

    /// The services.xml, with servers on these ports where they are reached
    /// directly; `folder` has `server.pem` and `server.key`.
    pub(crate) fn services(&self, folder: &Path, ports: &[u16]) -> String {
        let gateways = (0..self.gateways).map(|gateway| self.gateway(gateway));
        let gateways: String = gateways.collect();
        format!(
            r#"<SNS>
    <InterfaceDef>
        <if id="0" name="test.BaseServer"/>
        <if id="1" name="test.ITerminalGatewayServer"/>
        <if id="2" name="test.Server"/>
        <if id="3" name="test.ITerminal"/>
    </InterfaceDef>
    <EndPoints>
{}{}{}    </EndPoints>
    <servers>
{gateways}    </servers>
</SNS>
"#,
            self.fronts(folder),
            self.backs(ports),
            self.endpoints,
        )
    }

    fn fronts(&self, folder: &Path) -> String {
        let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
        let tls = format!(
            r#" certfile="{}" keyfile="{}""#,
            certificate.display(),
            key.display()
        );
        let mut text = String::new();
        for gateway in 0..self.gateways {
            for (name, kind, tls) in [
                ("socket", "socket", ""),
                ("websocket", "websocket", ""),
                ("ssl", "socket", &tls),
                ("wss", "websocket", &tls),
            ] {
                let name = format!("gw{gateway}_{name}");
                let more = &self.attributes;
                line(
                    &mut text,
                    &format!(
                        r#"<ep name="{name}" type="{kind}" host="127.0.0.1" port="0"{tls}{more}/>"#
                    ),
                );
            }
        }
        text
    }

    fn backs(&self, ports: &[u16]) -> String {
        let mut text = String::new();
        let (port, batch) = match &self.by {
            By::Direct => {
                let hosts: Vec<_> = ports
                    .iter()
                    .map(|port| format!("127.0.0.1:{port}"))
                    .collect();
                let hosts = hosts.join(",");
                let name = self.calls();
                line(
                    &mut text,
                    &format!(r#"<ep name="{name}" type="socket" host="{hosts}"/>"#),
                );
                return text;
            }
            By::Broker { port, in_batches } => (*port, u8::from(*in_batches)),
            By::Memory(_) => (1, 0),
        };
        for (name, node) in self.nodes() {
            line(
                &mut text,
                &format!(
                    r#"<ep name="{name}" type="qpid" host="127.0.0.1" port="{port}" batch="{batch}" address="{name};{{create:always,node:{{type:{node},durable:true}}}}"/>"#
                ),
            );
        }
        text
    }

    /// The queues and topics of this test.
    fn nodes(&self) -> Vec<(String, &'static str)> {
        let mut nodes = vec![
            (self.calls(), "queue"),
            (self.queue("all"), "topic"),
            (self.queue("events"), "queue"),
            (self.queue("logins"), "queue"),
        ];
        nodes.extend((0..self.gateways).map(|gateway| (self.returns(gateway), "queue")));
        nodes
    }

    fn gateway(&self, gateway: usize) -> String {
        let fronts =
            ["socket", "websocket", "ssl", "wss"].map(|name| format!("gw{gateway}_{name}"));
        let (calls, returns, all) = (self.calls(), self.returns(gateway), self.queue("all"));
        let mut rows = String::new();
        for front in &fronts {
            line(&mut rows, &format!(r#"<call in="{front}" out="{calls}"/>"#));
        }
        // As in TCE's own example: broadcasts of one gateway reach its sockets,
        // those of the next one its WebSockets.
        let heard = &fronts[gateway % 2];
        let mut listen = fronts.join(",");
        let mut terminal = String::new();
        let mut extra = String::new();
        if !matches!(self.by, By::Direct) {
            line(
                &mut rows,
                &format!(r#"<return in="{returns}" out="{heard}"/>"#),
            );
            terminal = format!(
                r#"<route if="test.ITerminal"><call in="{returns}" out="{heard}"/><call in="{all}" out="{heard}"/></route>"#
            );
            let _ = write!(listen, ",{returns},{all}");
            extra = format!(r#"<property name="loopback" value="{calls}#{returns}"/>"#);
        }
        let mut properties = self.properties.clone();
        if let Ok(threads) = std::env::var(THREADS)
            && !properties.iter().any(|(name, _)| *name == "threads")
        {
            properties.push(("threads", threads));
        }
        // Most tests end a gateway while clients are connected that go nowhere.
        if !properties.iter().any(|(name, _)| *name == "drain_time") {
            properties.push(("drain_time", "0".to_owned()));
        }
        for (name, value) in &properties {
            let _ = write!(extra, r#"<property name="{name}" value="{value}"/>"#);
        }
        let allow = match self.allow {
            "" => String::new(),
            roles => format!(r#" allow="{roles}""#),
        };
        format!(
            r#"<server name="gw{gateway}" type="socket server">
<route if="test.Server"{allow}>
{rows}</route>
<route if="test.BaseServer">
{rows}</route>
{terminal}
<properties><property name="listen" value="{listen}"/>{extra}</properties>
</server>
"#
        )
    }

    /// The config.yml of three processes: `server`; `events`, which receives the
    /// events of users; and `logins`, the authenticator.
    pub(crate) fn config(&self) -> String {
        let (port, in_batches) = match &self.by {
            By::Broker { port, in_batches } => (*port, *in_batches),
            By::Memory(_) | By::Direct => (1, false),
        };
        let mut text = "common_defs:\n  endpoints:\n".to_owned();
        let mut server = String::new();
        for (name, node) in self.nodes() {
            line(
                &mut text,
                &format!(
                    "- {{name: {name}, host: 127.0.0.1, port: {port}, type: qpid, batch: {in_batches}, address: '{name};{{create:always,node:{{type:{node},durable:true}}}}'}}"
                ),
            );
            let mode = match name == self.calls() {
                true => "AF_READ",
                false => "AF_WRITE",
            };
            line(&mut server, &format!("- {{name: {name}, af_mode: {mode}}}"));
        }
        let mut text = format!("{text}server:\n  endpoints:\n{server}");
        for process in ["events", "logins"] {
            let queue = self.queue(process);
            let _ = write!(
                text,
                "{process}:\n  endpoints:\n    - {{name: {queue}, af_mode: AF_READ}}\n"
            );
        }
        text
    }
}

fn line(text: &mut String, line: &str) {
    let _ = writeln!(text, "    {line}");
}
