//! The server and the gateways of the demo, with the configuration of `examples/cluster`.

use std::{
    io::{self, Write},
    sync::Arc,
};

use tce_gateway::{
    Gateway, RunningGateway,
    auth::TokenIsUser,
    config::{EndpointKind, HostPort, ServerConfig, Services},
};
use tce_runtime::{Adapter, Communicator, config::MqConfig};

use super::{
    broker::{AmqpUrl, DemoBroker},
    generated::test::{ITerminalGatewayServerServant, ServerServant},
    servants::{EventSender, GatewayImpl, ServerImpl},
    transcript::{DemoError, STEP_TIMEOUT, in_time},
};
use crate::console::Console;

const CONFIG: &str = include_str!("files/config.yml");
const SERVICES: &str = include_str!("files/services.xml");

/// The server's communicator, and the gateways by name.
pub(super) struct Cluster {
    server: Communicator,
    pub(super) gateways: Vec<(String, RunningGateway)>,
}

impl Cluster {
    /// Starts the server and the gateways, and prints their endpoints.
    pub(super) async fn start(
        console: &mut Console,
        amqp: Option<&AmqpUrl>,
        events: &EventSender,
    ) -> Result<Self, DemoError> {
        let broker = DemoBroker::new(amqp);
        writeln!(console.out, "broker   {broker}")?;
        let server = start_server(console, &broker, events).await?;
        let services = Arc::new(services(&broker)?);
        let mut gateways = Vec::new();
        for server in &services.servers {
            let gateway = start_gateway(&services, &server.name, &broker, events).await?;
            show(console, &services, server, &gateway)?;
            gateways.push((server.name.clone(), gateway));
        }
        Ok(Self { server, gateways })
    }

    /// Shuts down the server, then the gateways; calls in flight end first.
    pub(super) async fn shut_down(self) -> Result<(), DemoError> {
        let mut is_clean = self.server.shutdown(STEP_TIMEOUT).await;
        for (_, gateway) in &self.gateways {
            is_clean &= gateway.shutdown().await;
        }
        if is_clean {
            return Ok(());
        }
        Err(DemoError::NotInTime("all calls end".to_owned()))
    }
}

/// Starts the server, which reads one queue and writes to those of the gateways.
async fn start_server(
    console: &mut Console,
    broker: &DemoBroker,
    events: &EventSender,
) -> Result<Communicator, DemoError> {
    let mut config = MqConfig::parse(CONFIG, "config.yml", "server")?;
    for endpoint in &mut config.endpoints {
        broker.apply(endpoint);
    }
    let server = in_time("a connection to the broker", broker.open(config)).await?;
    let adapter = Adapter::listen(&server, "mq:mq_server").await?;
    adapter
        .add_servant(ServerServant::new(ServerImpl(events.clone())))
        .start();
    writeln!(
        console.out,
        "server   server of config.yml: mq_server -> Server"
    )?;
    Ok(server)
}

/// `services.xml`, with free ports instead of its own, and its queues at `broker`.
fn services(broker: &DemoBroker) -> Result<Services, DemoError> {
    let mut services = Services::parse(SERVICES, "services.xml", &[])?.services;
    for endpoint in &mut services.endpoints {
        match &mut endpoint.kind {
            EndpointKind::Mq(queue) => broker.apply(queue),
            EndpointKind::Socket { hosts, .. } | EndpointKind::WebSocket { hosts, .. } => {
                *hosts = vec![HostPort {
                    host: "127.0.0.1".to_owned(),
                    port: 0,
                }];
            }
        }
    }
    Ok(services)
}

async fn start_gateway(
    services: &Arc<Services>,
    name: &str,
    broker: &DemoBroker,
    events: &EventSender,
) -> Result<RunningGateway, DemoError> {
    let servant = GatewayImpl {
        name: name.to_owned(),
        events: events.clone(),
    };
    let (events, gateway) = (events.clone(), name.to_owned());
    let gateway = Gateway::new(Arc::clone(services), name)?
        .servant(ITerminalGatewayServerServant::new(servant))
        .authenticator(TokenIsUser)
        .on_user(move |user, is_online| {
            let direction = if is_online { "in" } else { "out" };
            // Fails only after the demo has ended with an error.
            let _ = events.try_send(format!("{gateway}: {user} logged {direction}"));
        });
    in_time("the start of the gateway", broker.serve(gateway).start()).await
}

/// Prints the endpoints of a gateway, and the queues that calls and RETURNs take.
fn show(
    console: &mut Console,
    services: &Services,
    server: &ServerConfig,
    gateway: &RunningGateway,
) -> io::Result<()> {
    let name = &server.name;
    for address in gateway.addresses() {
        for (to, back) in &server.loopback {
            let (to, back) = (services.endpoint(*to), services.endpoint(*back));
            writeln!(
                console.out,
                "gateway  {name} of services.xml: {address} -> {}, back by {}",
                to.name, back.name
            )?;
        }
    }
    Ok(())
}
