//! `services.xml`: files written for TCE, additional properties, the message for
//! each mistake, and the routes.

#[cfg(test)]
mod golden;
#[cfg(test)]
mod loading;
#[cfg(test)]
mod mutated;
#[cfg(test)]
mod overrides;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod start;

use std::path::{Path, PathBuf};

use tce_gateway::config::{LoadedServices, Override, Services};
use tce_runtime::config::problem::Problems;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

fn parse(text: &str) -> Result<LoadedServices, Problems> {
    parse_with(text, &[])
}

fn parse_with(text: &str, overrides: &[Override]) -> Result<LoadedServices, Problems> {
    Services::parse(text, "services.xml", overrides)
}

/// A file with one server that listens on a socket and forwards calls to a
/// queue, with additional properties.
fn with_properties(properties: &str) -> String {
    format!(
        r#"<SNS>
  <InterfaceDef><if id="2" name="test.Server"/></InterfaceDef>
  <EndPoints>
    <ep name="socket_gateway" type="socket" port="12002"/>
    <ep name="mq_gateway" type="qpid" host="localhost" port="5672" address="mq_gateway;{{create:always}}"/>
    <ep name="mq_server" type="qpid" host="localhost" port="5672" address="mq_server;{{create:always}}"/>
    <ep name="auth" type="socket" host="localhost" port="12003"/>
  </EndPoints>
  <servers>
    <server name="gwserver" type="socket server">
      <route if="test.Server">
        <call in="socket_gateway" out="mq_server"/>
        <return in="mq_gateway" out="socket_gateway"/>
      </route>
      <properties>
        <property name="listen" value="socket_gateway"/>
        <property name="loopback" value="mq_server#mq_gateway"/>
        {properties}
      </properties>
    </server>
  </servers>
</SNS>
"#
    )
}
