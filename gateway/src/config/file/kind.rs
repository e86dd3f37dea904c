//! What an `ep` stands for: a socket, a WebSocket, or a queue at a broker.

use tce_runtime::config::{Address, MqEndpoint, TlsConfig, problem::quoted};

use super::{
    endpoint::{Family, Fields},
    xml::Sink,
};
use crate::config::{
    EndpointKind, HostPort,
    endpoint::{ANY_HOST, read_host},
    value::split,
};

/// What only an endpoint at a broker has.
const OF_MQ: [&str; 6] = ["address", "user", "password", "vhost", "batch", "prefetch"];

impl Fields<'_> {
    /// What the endpoint is; what is wrong is reported.
    pub(super) fn kind(
        &self,
        family: Family,
        name: &str,
        sink: &mut Sink<'_, '_>,
    ) -> Option<EndpointKind> {
        if family == Family::Mq {
            return self.queue(name, sink).map(EndpointKind::Mq);
        }
        for name in OF_MQ {
            self.pass_over(name, "at a socket", sink);
        }
        let hosts = self.hosts(sink);
        let tls = self.tls(sink);
        let compress = self.flag("compress", sink);
        if family == Family::Socket {
            self.pass_over("path", "at a plain socket", sink);
            return Some(EndpointKind::Socket {
                hosts: hosts?,
                tls: tls?,
                compress,
            });
        }
        if compress {
            self.pass_over("compress", "over WebSocket: browsers can't inflate", sink);
        }
        let path = self.path(sink);
        Some(EndpointKind::WebSocket {
            hosts: hosts?,
            tls: tls?,
            path: path?,
        })
    }

    /// The hosts, each with its own port or else the endpoint's.
    fn hosts(&self, sink: &mut Sink<'_, '_>) -> Option<Vec<HostPort>> {
        let right = "a number from 0 to 65535";
        let port = self.parsed("port", right, sink, |text| text.parse().ok());
        let text = self.text("host").unwrap_or(ANY_HOST);
        let right = "a host name or an address, as localhost, or several, as a:12001,b:12001";
        let mut portless = false;
        let hosts: Vec<_> = split(text)
            .map(|text| {
                let host = read_either(text)?;
                portless |= host.1.is_none();
                let port = host.1.or(port).unwrap_or_default();
                Some(HostPort { host: host.0, port })
            })
            .collect();
        if portless {
            self.demand("port", "12001", sink);
        }
        let hosts = hosts.into_iter().collect::<Option<Vec<_>>>();
        let hosts = hosts.filter(|hosts| !hosts.is_empty());
        if self.has("host") {
            self.parsed("host", right, sink, |_| hosts.as_ref());
        }
        hosts.filter(|_| port.is_some() || !portless)
    }

    /// The certificates, if it is to be TLS; none where a mistake is reported.
    fn tls(&self, sink: &mut Sink<'_, '_>) -> Option<Option<TlsConfig>> {
        let path = |name| self.text(name).map(Into::into);
        let tls = TlsConfig {
            certificate: path("certfile"),
            key: path("keyfile"),
            authority: path("cafile"),
        };
        let halves = [("certfile", "keyfile"), ("keyfile", "certfile")];
        for (there, missing) in halves {
            if let Some(field) = self.get(there).filter(|_| !self.has(missing)) {
                sink.error(
                    field.at,
                    format!("`{there}` and `{missing}` belong together; write {missing}=\"…\", or empty both"),
                );
                return None;
            }
        }
        let wanted = self.flag("tls", sink) || tls != TlsConfig::default();
        Some(wanted.then_some(tls))
    }

    fn path(&self, sink: &mut Sink<'_, '_>) -> Option<String> {
        if !self.has("path") {
            return Some(String::new());
        }
        let right = "a path that begins with /, as /chat";
        self.parsed("path", right, sink, |path| {
            let right = path.starts_with('/') && !path.contains(['?', '#', ' ']);
            right.then(|| path.to_owned())
        })
    }

    fn queue(&self, name: &str, sink: &mut Sink<'_, '_>) -> Option<MqEndpoint> {
        for name in ["compress", "path"] {
            self.pass_over(name, "at a broker", sink);
        }
        let options = "{create:always,node:{type:queue,durable:true}}";
        for (field, example) in [
            ("host", "localhost"),
            ("port", "5672"),
            ("address", &format!("{name};{options}")),
        ] {
            self.demand(field, example, sink);
        }
        let right = "one host name or address, as localhost";
        let host = self.parsed("host", right, sink, read_host);
        let port = self.positive("port", sink);
        let address = self.address(sink);
        let batch = self.flag("batch", sink);
        let prefetch = self.prefetch(sink);
        let tls = self.broker_tls(sink);
        let text = |name, default: &str| self.text(name).unwrap_or(default).to_owned();
        Some(MqEndpoint {
            name: name.to_owned(),
            user: text("user", "guest"),
            password: text("password", "guest"),
            vhost: text("vhost", "/"),
            batch,
            prefetch: prefetch?,
            tls,
            reads: false,
            writes: false,
            host: host?,
            port: port?,
            address: address?,
        })
    }

    fn positive(&self, name: &str, sink: &mut Sink<'_, '_>) -> Option<u16> {
        let right = "a number from 1 to 65535";
        self.parsed(name, right, sink, |text| {
            text.parse().ok().filter(|number| *number > 0)
        })
    }

    fn prefetch(&self, sink: &mut Sink<'_, '_>) -> Option<u16> {
        if self.has("prefetch") {
            self.positive("prefetch", sink)
        } else {
            Some(64)
        }
    }

    /// Who names certificates wants TLS, though a broker is shown none.
    fn broker_tls(&self, sink: &mut Sink<'_, '_>) -> bool {
        let files = ["certfile", "keyfile", "cafile"];
        for name in files {
            self.pass_over(
                name,
                "at a broker but tls=\"1\": it is shown no certificate",
                sink,
            );
        }
        self.flag("tls", sink) || files.into_iter().any(|name| self.has(name))
    }

    fn address(&self, sink: &mut Sink<'_, '_>) -> Option<Address> {
        let field = self.get("address")?;
        match Address::read(&field.text) {
            Ok((address, ignored)) => {
                for option in ignored {
                    let option = quoted(&option);
                    sink.warn(
                        field.at,
                        format!("{option} in an address means nothing here"),
                    );
                }
                Some(address)
            }
            Err(error) => {
                sink.error(field.at, error.to_string());
                None
            }
        }
    }
}

/// A host with or without a port.
fn read_either(text: &str) -> Option<(String, Option<u16>)> {
    if let Some(host) = read_host(text) {
        return Some((host, None));
    }
    let HostPort { host, port } = HostPort::read(text)?;
    Some((host, Some(port)))
}
