//! Our gateway: the program `tce-gateway`, which is in this one, with defaults.

use std::{net::SocketAddr, path::Path, process::Command};

use anyhow::{Context, Result};

use super::Setup;
use crate::{endpoint::Queues, peers::tce, program::write};

/// Before a server that is reached by a socket.
pub(super) fn to_server(home: &Path, own: SocketAddr, server: &str) -> Result<Setup> {
    let server = server.strip_prefix("tcp://").context("no server of tce")?;
    let server: SocketAddr = server.parse()?;
    let endpoint = format!(
        r#"<ep name="servers" type="socket" host="{}" port="{}"/>"#,
        server.ip(),
        server.port()
    );
    let way = Way {
        endpoints: &endpoint,
        calls_to: "servers",
        returns_from: "servers",
        loopback: "",
    };
    way.setup(home, own)
}

/// Before a server that reads a queue.
pub(super) fn to_queues(
    home: &Path,
    own: SocketAddr,
    queues: &str,
    in_batches: bool,
) -> Result<Setup> {
    let queues: Queues = queues.parse()?;
    let (host, port, batch) = (
        queues.broker.ip(),
        queues.broker.port(),
        u8::from(in_batches),
    );
    let endpoint = |name, queue: &str| {
        format!(
            r#"<ep name="{name}" type="mq" host="{host}" port="{port}" batch="{batch}"
              address="{queue};{{create:always,node:{{type:queue,durable:false}}}}"/>"#
        )
    };
    let way = Way {
        endpoints: &(endpoint("calls", &queues.calls()) + &endpoint("answers", &queues.answers())),
        calls_to: "calls",
        returns_from: "answers",
        loopback: r#"<property name="loopback" value="calls#answers"/>"#,
    };
    way.setup(home, own)
}

/// What differs between the two.
struct Way<'a> {
    endpoints: &'a str,
    calls_to: &'a str,
    returns_from: &'a str,
    loopback: &'a str,
}

impl Way<'_> {
    fn setup(&self, home: &Path, own: SocketAddr) -> Result<Setup> {
        let services = home.join("services.xml");
        write(&services, &self.services(own))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("gateway").arg(services).arg("gateway");
        let endpoint = format!("tcp://{own}");
        Ok(Setup {
            command,
            endpoint: endpoint.clone(),
            // It may listen before the server is reached.
            is_up: Box::new(move || tce::answers(&endpoint)),
        })
    }

    fn services(&self, own: SocketAddr) -> String {
        let Self {
            endpoints,
            calls_to,
            returns_from,
            loopback,
        } = self;
        let (host, port) = (own.ip(), own.port());
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
      <properties><property name="listen" value="clients"/>{loopback}</properties>
    </server>
  </servers>
</services>
"#
        )
    }
}
