//! The server and the gateways of the demo, as `examples/cluster` sets them up.

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
    address::AmqpUrl,
    broker::Broker,
    servants::{self, Told},
    surprise::{PATIENCE, Surprise, in_time},
};
use crate::{
    console::Console,
    test::{ITerminalGatewayServerServant, ServerServant},
};

const CONFIG: &str = include_str!("../../../examples/cluster/config.yml");
const SERVICES: &str = include_str!("../../../examples/cluster/services.xml");

/// The server's communicator, and the gateways by name.
pub(super) struct Cluster {
    server: Communicator,
    pub(super) gateways: Vec<(String, RunningGateway)>,
}

impl Cluster {
    /// Starts everything, and says what is where.
    pub(super) async fn start(
        console: &mut Console,
        amqp: Option<&AmqpUrl>,
        told: &Told,
    ) -> Result<Self, Surprise> {
        let broker = Broker::new(amqp);
        writeln!(console.out, "broker   {broker}")?;
        let server = serve(console, &broker, told).await?;
        let services = Arc::new(services(&broker)?);
        let mut gateways = Vec::new();
        for server in &services.servers {
            let gateway = start(&services, &server.name, &broker, told).await?;
            show(console, &services, server, &gateway)?;
            gateways.push((server.name.clone(), gateway));
        }
        Ok(Self { server, gateways })
    }

    /// Lets what is under way end, from the server outwards.
    pub(super) async fn end(self) -> Result<(), Surprise> {
        let mut is_clean = self.server.shutdown(PATIENCE).await;
        for (_, gateway) in &self.gateways {
            is_clean &= gateway.shutdown().await;
        }
        if is_clean {
            return Ok(());
        }
        Err(Surprise::NotInTime("all calls have ended".to_owned()))
    }
}

/// Starts the server: it reads one queue, and writes to those of the gateways.
async fn serve(
    console: &mut Console,
    broker: &Broker,
    told: &Told,
) -> Result<Communicator, Surprise> {
    let mut config = MqConfig::parse(CONFIG, "config.yml", "server")?;
    for endpoint in &mut config.endpoints {
        broker.place(endpoint);
    }
    let server = in_time("the broker is there", broker.open(config)).await?;
    let adapter = Adapter::listen(&server, "mq:mq_server").await?;
    adapter
        .add_servant(ServerServant::new(servants::Server(told.clone())))
        .start();
    writeln!(
        console.out,
        "server   server of config.yml: mq_server -> Server"
    )?;
    Ok(server)
}

/// `services.xml`, with free ports to listen on and queues at `broker`.
fn services(broker: &Broker) -> Result<Services, Surprise> {
    let mut services = Services::parse(SERVICES, "services.xml", &[])?.services;
    for endpoint in &mut services.endpoints {
        match &mut endpoint.kind {
            EndpointKind::Mq(queue) => broker.place(queue),
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

async fn start(
    services: &Arc<Services>,
    name: &str,
    broker: &Broker,
    told: &Told,
) -> Result<RunningGateway, Surprise> {
    let servant = servants::Gateway(name.to_owned(), told.clone());
    let (heard, gateway) = (told.clone(), name.to_owned());
    let gateway = Gateway::new(Arc::clone(services), name)?
        .servant(ITerminalGatewayServerServant::new(servant))
        .authenticator(TokenIsUser)
        .on_user(move |user, is_on_line| {
            let where_to = if is_on_line { "on" } else { "off" };
            // The demo has ended with an error if nobody listens any more.
            let _ = heard.try_send(format!("{gateway}: {user} is {where_to} line"));
        });
    in_time("the gateway runs", broker.serve(gateway).start()).await
}

/// Says where clients find a gateway, and which way their calls go.
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
