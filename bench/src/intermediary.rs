//! Gateways and proxies between the client and the server of a measurement.

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};

use crate::{
    callgrind::Profile,
    case::BusyPollMode,
    endpoint::{QueuePair, ServerAddress},
    peers::{Peer, tce},
    program::{ChildProgram, accepts, free_address, write},
};

/// How long a gateway or proxy may take to become ready, also under callgrind.
const START_TIME: Duration = Duration::from_secs(60);

/// How long a gateway or proxy may take to end, also under callgrind.
const STOP_TIME: Duration = Duration::from_secs(60);

/// A kind of gateway or proxy.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Intermediary {
    /// nginx as a TCP proxy.
    Nginx,
    /// haproxy as a TCP proxy.
    Haproxy,
    /// `tce-gateway` in front of a server that it reaches by a socket.
    Gateway,
    /// `tce-gateway` in front of a server that reads a queue.
    GatewayToQueues { in_batches: bool },
    /// Glacier2, the gateway of ZeroC Ice.
    Glacier2,
}

/// A gateway or proxy that runs; killed when dropped.
pub(crate) struct RunningIntermediary {
    program: ChildProgram,
    address: ServerAddress,
}

/// How a gateway or proxy is started.
struct LaunchPlan {
    command: Command,
    /// The endpoint by which clients reach the server.
    endpoint: String,
    /// Whether clients can connect.
    is_up: Box<dyn Fn() -> bool>,
}

impl Intermediary {
    /// What is between the client and the server of a peer.
    pub(crate) const fn of(peer: Peer) -> Option<Self> {
        match peer {
            Peer::RawNginx => Some(Self::Nginx),
            Peer::RawHaproxy => Some(Self::Haproxy),
            Peer::TceGateway => Some(Self::Gateway),
            Peer::IceGlacier2 => Some(Self::Glacier2),
            Peer::TceGatewayMq => Some(Self::GatewayToQueues { in_batches: false }),
            Peer::TceGatewayMqBatch => Some(Self::GatewayToQueues { in_batches: true }),
            _ => None,
        }
    }

    /// Starts the program on `core`, in front of `server`, under callgrind if a `profile` is given,
    /// and waits until clients can use it.
    ///
    /// # Errors
    /// The program can't be started, or is not ready in time.
    pub(crate) fn start(
        self,
        busy_poll: BusyPollMode,
        server: &ServerAddress,
        core: usize,
        profile: Option<&Profile>,
    ) -> Result<RunningIntermediary> {
        let home = tempfile::tempdir()?;
        let mut plan = self.plan(home.path(), free_address()?, &server.endpoint)?;
        if busy_poll == BusyPollMode::Never {
            // Only `tce-gateway` reads this variable.
            plan.command.env("TCE_GATEWAY_BUSY_POLL_TIME", "0");
        }
        if let Some(profile) = profile {
            plan.command = profile.of(&plan.command);
        }
        let mut program = ChildProgram::start(home, plan.command, Some(core))?;
        program
            .wait_until(START_TIME, plan.is_up)
            .with_context(|| format!("{self:?}"))?;
        Ok(RunningIntermediary {
            program,
            address: ServerAddress {
                endpoint: plan.endpoint,
                control: server.control,
            },
        })
    }

    /// Writes the configuration into `home`. The program listens at `listen` and forwards to the
    /// endpoint `server`.
    fn plan(self, home: &Path, listen: SocketAddr, server: &str) -> Result<LaunchPlan> {
        match self {
            Self::Nginx => nginx(home, listen, server),
            Self::Haproxy => haproxy(home, listen, server),
            Self::Gateway => gateway(home, listen, &ForwardTarget::direct(server)?),
            Self::GatewayToQueues { in_batches } => {
                gateway(home, listen, &ForwardTarget::queues(server, in_batches)?)
            }
            Self::Glacier2 => Ok(glacier2(listen, server)),
        }
    }
}

impl RunningIntermediary {
    pub(crate) fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// Ends the program in an orderly way, so that callgrind writes its profile.
    ///
    /// # Errors
    /// The program has not ended in time.
    pub(crate) fn stop(self) -> Result<()> {
        self.program.terminate(STOP_TIME)
    }
}

/// One process, defaults.
fn nginx(home: &Path, listen: SocketAddr, server: &str) -> Result<LaunchPlan> {
    let config = home.join("nginx.conf");
    let text = format!(
        "daemon off;\n\
         master_process off;\n\
         pid {home}/pid;\n\
         load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
         events {{ worker_connections 1024; }}\n\
         stream {{ server {{ listen {listen}; proxy_pass {server}; }} }}\n",
        home = home.display()
    );
    write(&config, &text)?;
    let mut command = Command::new("/usr/sbin/nginx");
    command.args(["-e", "stderr", "-c"]).arg(config);
    Ok(tcp_proxy(command, listen))
}

/// One process with one thread, defaults.
fn haproxy(home: &Path, listen: SocketAddr, server: &str) -> Result<LaunchPlan> {
    let config = home.join("haproxy.cfg");
    let text = format!(
        "global\n  nbthread 1\n\
         defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n\
         listen echo\n  bind {listen}\n  server echo {server}\n"
    );
    write(&config, &text)?;
    let mut command = Command::new("/usr/sbin/haproxy");
    command.args(["-db", "-f"]).arg(config);
    Ok(tcp_proxy(command, listen))
}

/// A TCP proxy is ready when it accepts connections.
fn tcp_proxy(command: Command, listen: SocketAddr) -> LaunchPlan {
    LaunchPlan {
        command,
        endpoint: listen.to_string(),
        is_up: Box::new(move || accepts(listen)),
    }
}

/// Defaults, without authentication.
fn glacier2(listen: SocketAddr, server: &str) -> LaunchPlan {
    let router = format!("tcp -h {} -p {}", listen.ip(), listen.port());
    let mut command = Command::new("/usr/bin/glacier2router");
    command
        .arg(format!("--Glacier2.Client.Endpoints={router}"))
        .arg("--Glacier2.PermissionsVerifier=Glacier2/NullPermissionsVerifier");
    LaunchPlan {
        command,
        endpoint: format!("{server}|Glacier2/router:{router}"),
        is_up: Box::new(move || accepts(listen)),
    }
}

/// The gateway's side towards the server, as parts of `services.xml`.
struct ForwardTarget {
    /// `ep` elements.
    endpoints: String,
    /// Name of the endpoint that calls go to.
    calls_to: &'static str,
    /// Name of the endpoint that answers come from.
    returns_from: &'static str,
    /// `property` elements.
    properties: &'static str,
}

impl ForwardTarget {
    fn direct(server: &str) -> Result<Self> {
        let server = server
            .strip_prefix("tcp://")
            .context("the server's endpoint is not tcp")?;
        let server: SocketAddr = server.parse()?;
        Ok(Self {
            endpoints: format!(
                r#"<ep name="servers" type="socket" host="{}" port="{}"/>"#,
                server.ip(),
                server.port()
            ),
            calls_to: "servers",
            returns_from: "servers",
            properties: "",
        })
    }

    /// The queues are transient, without confirmations.
    fn queues(server: &str, in_batches: bool) -> Result<Self> {
        let queues: QueuePair = server.parse()?;
        let (host, port) = (queues.broker.ip(), queues.broker.port());
        let batch = u8::from(in_batches);
        let endpoint = |name, queue: &str| {
            format!(
                r#"<ep name="{name}" type="mq" host="{host}" port="{port}" batch="{batch}"
              address="{queue};{{create:always,node:{{type:queue,durable:false}}}}"/>"#
            )
        };
        Ok(Self {
            endpoints: endpoint("calls", &queues.calls()) + &endpoint("answers", &queues.answers()),
            calls_to: "calls",
            returns_from: "answers",
            properties: r#"<property name="loopback" value="calls#answers"/>"#,
        })
    }

    /// The text of `services.xml`.
    fn services(&self, listen: SocketAddr) -> String {
        let Self {
            endpoints,
            calls_to,
            returns_from,
            properties,
        } = self;
        let (host, port) = (listen.ip(), listen.port());
        format!(
            r#"<services>
  <InterfaceDef><if id="0" name="bench.Echo"/></InterfaceDef>
  <EndPoints><ep name="clients" type="socket" host="{host}" port="{port}"/>{endpoints}</EndPoints>
  <servers>
    <server name="gateway" type="socket server">
      <route if="bench.Echo">
        <call in="clients" out="{calls_to}"/>
        <return in="{returns_from}" out="clients"/>
      </route>
      <properties><property name="listen" value="clients"/>{properties}</properties>
    </server>
  </servers>
</services>
"#
        )
    }
}

/// This program in the role of `tce-gateway`, with defaults.
fn gateway(home: &Path, listen: SocketAddr, upstream: &ForwardTarget) -> Result<LaunchPlan> {
    let services = home.join("services.xml");
    write(&services, &upstream.services(listen))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("gateway").arg(services).arg("gateway");
    let endpoint = format!("tcp://{listen}");
    Ok(LaunchPlan {
        command,
        endpoint: endpoint.clone(),
        // The gateway may listen before it has reached the server.
        is_up: Box::new(move || tce::answers(&endpoint)),
    })
}
