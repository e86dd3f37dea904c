//! Everything that would keep the servers of a file from starting, or their first
//! connections from working, except what only the system and the network know:
//! whether ports are free, names can be resolved, and brokers answer.

use std::path::Path;

use tce_runtime::config::{
    MqEndpoint, NodeType, TlsConfig,
    problem::{Location, Problem, ProblemReport, Problems, quoted},
};

use crate::{
    auth::{BadJwtKey, JwtAuthenticator},
    config::{
        Auth, Broker, EndpointId, EndpointKind, HostPort, ServerConfig, Services, ValueOrigin,
    },
    presence::Presence,
    upstream::{is_same_queue, return_queues},
};

/// The longest name of a virtual host in bytes: AMQP sends it as a short string.
const MAX_VHOST: usize = 255;

/// The shortest token of the admin page that is not warned of, in bytes.
const MIN_ADMIN_TOKEN: usize = 16;

/// Checks the servers of each process. Returns warnings.
///
/// # Errors
/// Everything for which the start would fail, with its location in `file`.
pub(crate) fn check_start<'a>(
    services: &Services,
    file: &Path,
    processes: impl IntoIterator<Item = &'a [&'a ServerConfig]>,
) -> Result<Vec<Problem>, Problems> {
    let mut check = StartCheck {
        services,
        report: ProblemReport::new(&file.display().to_string()),
    };
    let mut of_other_processes: Vec<&ServerConfig> = Vec::new();
    for servers in processes {
        for (index, server) in servers.iter().enumerate() {
            check.server(server);
            for other in &servers[..index] {
                check.shared_ports(other, server);
                for (id, message) in check.shared_queues(other, server) {
                    check.endpoint_error(id, &message);
                }
            }
            for other in &of_other_processes {
                for (id, message) in check.shared_queues(other, server) {
                    check.endpoint_warning(id, &message);
                }
            }
            check.shared_log(servers[0], server);
        }
        of_other_processes.extend(servers);
    }
    check.report.finish()
}

struct StartCheck<'a> {
    services: &'a Services,
    report: ProblemReport,
}

impl<'a> StartCheck<'a> {
    fn server(&mut self, server: &ServerConfig) {
        self.auth(server);
        if let Err(error) = Presence::new(&server.properties, &server.name) {
            self.property_error(server, "presence", &error.to_string());
        }
        let token = server.properties.admin_token.as_ref();
        if token.is_some_and(|token| token.0.len() < MIN_ADMIN_TOKEN) {
            let message = format!(
                "`admin_token` can be guessed: use at least {MIN_ADMIN_TOKEN} random characters"
            );
            self.warn(place(server, "admin_token"), message);
        }
        for id in &server.listen {
            self.listener(*id);
        }
        for id in &server.upstreams {
            self.upstream(*id);
        }
        for id in server.reads.iter().chain(&server.writes) {
            self.queue(*id, server.properties.mq);
        }
    }

    fn auth(&mut self, server: &ServerConfig) {
        let properties = &server.properties;
        match properties.auth {
            _ if !properties.userid_check => {}
            Auth::None => {
                let message = "`userid_check` needs an authenticator, but `auth` is none; set `auth` \
                               to token, jwt or interface, or `userid_check` to false";
                self.property_error(server, "userid_check", message);
            }
            Auth::Jwt => {
                if let Err(error) = JwtAuthenticator::from_properties(properties) {
                    let property = match (&error, &properties.auth_jwt_secret) {
                        (BadJwtKey::Missing, _) => "auth",
                        (BadJwtKey::KeySet { .. }, _) => "auth_jwt_jwks",
                        (_, Some(_)) => "auth_jwt_secret",
                        (_, None) => "auth_jwt_key",
                    };
                    self.property_error(server, property, &error.to_string());
                }
            }
            Auth::Token | Auth::Interface => {}
        }
    }

    fn listener(&mut self, id: EndpointId) {
        let endpoint = self.services.endpoint(id);
        let Some((_, Some(tls))) = endpoint.kind.sockets() else {
            return;
        };
        match tls.check_adapter() {
            Ok(()) => self.dates(id, tls),
            Err(error) => self.endpoint_error(id, &error.to_string()),
        }
    }

    /// Certificates that the start accepts, and peers don't.
    fn dates(&mut self, id: EndpointId, tls: &TlsConfig) {
        if let Err(error) = tls.check_dates() {
            self.endpoint_warning(id, &error.to_string());
        }
    }

    fn upstream(&mut self, id: EndpointId) {
        let endpoint = self.services.endpoint(id);
        let Some((hosts, Some(tls))) = endpoint.kind.sockets() else {
            return;
        };
        let mut is_usable = true;
        for host in hosts {
            if let Err(error) = tls.check_client(&host.host) {
                self.endpoint_error(id, &error.to_string());
                is_usable = false;
            }
        }
        if is_usable {
            self.dates(id, tls);
        }
    }

    fn queue(&mut self, id: EndpointId, broker: Broker) {
        let EndpointKind::Mq(queue) = &self.services.endpoint(id).kind else {
            return;
        };
        if broker == Broker::Memory {
            return;
        }
        if queue.vhost.len() > MAX_VHOST {
            let message =
                format!("`vhost` is longer than {MAX_VHOST} bytes, which no broker accepts");
            self.endpoint_error(id, &message);
        }
        if queue.tls
            && let Err(error) = TlsConfig::default().check_client(&queue.host)
        {
            self.endpoint_error(id, &error.to_string());
        }
    }

    /// Ports that two servers of one process both listen on.
    fn shared_ports(&mut self, first: &'a ServerConfig, second: &'a ServerConfig) {
        for port in self.ports(second) {
            let others = self.ports(first);
            let mut others = others.iter();
            if let Some(other) = others.find(|other| other.address.overlaps(port.address)) {
                let (first, second) = (quoted(&first.name), quoted(&second.name));
                let message = format!(
                    "{first} ({}) and {second} ({}) both listen on {}; change the port of one, or \
                     run each server in a process of its own",
                    other.what, port.what, port.address
                );
                self.error(port.place, message);
            }
        }
    }

    fn ports(&self, server: &'a ServerConfig) -> Vec<ListenPort<'a>> {
        let mut ports = Vec::new();
        for id in &server.listen {
            let endpoint = self.services.endpoint(*id);
            let (hosts, _) = endpoint.kind.sockets().unwrap_or_default();
            ports.extend(hosts.iter().map(|address| ListenPort {
                what: quoted(&endpoint.name),
                address,
                place: Place::File(self.location(*id)),
            }));
        }
        ports.extend(server.properties.admin.as_ref().map(|address| ListenPort {
            what: "`admin`".to_owned(),
            address,
            place: place(server, "admin"),
        }));
        ports
    }

    /// The queues with RETURNs that two servers both read, each with a message. The
    /// broker refuses the second reader, which would take RETURNs of the other.
    fn shared_queues(
        &self,
        first: &ServerConfig,
        second: &ServerConfig,
    ) -> Vec<(EndpointId, String)> {
        if second.properties.mq == Broker::Memory {
            return Vec::new();
        }
        let returns = [first, second].map(|server| return_queues(self.services, server));
        let brings_returns = |id: EndpointId| {
            let name = self.services.endpoint(id).name.as_str();
            returns.iter().any(|names| names.contains(name))
        };
        let is_shared = |id: &EndpointId| {
            let queue = self.read_queue(*id)?;
            let mut read = first.reads.iter();
            read.find(|other| {
                let is_same = self.read_queue(**other).map(|it| is_same_queue(it, queue));
                is_same == Some(true) && (brings_returns(*id) || brings_returns(**other))
            })
        };
        let shared = second.reads.iter().filter(|id| is_shared(id).is_some());
        let (first, second) = (quoted(&first.name), quoted(&second.name));
        let message = |id: &EndpointId| {
            format!(
                "{first} and {second} both read RETURNs from {}, so that the broker refuses \
                 the second one; give each a queue of its own",
                quoted(&self.services.endpoint(*id).name)
            )
        };
        shared.map(|id| (*id, message(id))).collect()
    }

    /// A queue that a server reads; `None` for a topic, of which each reader has a queue
    /// of its own.
    fn read_queue(&self, id: EndpointId) -> Option<&'a MqEndpoint> {
        match &self.services.endpoint(id).kind {
            EndpointKind::Mq(queue) if queue.address.node == NodeType::Queue => Some(queue),
            _ => None,
        }
    }

    /// The log of a process is set up once.
    fn shared_log(&mut self, first: &ServerConfig, second: &ServerConfig) {
        let (used, unused) = (&first.properties, &second.properties);
        for (property, is_same) in [
            ("log", used.log == unused.log),
            ("log_format", used.log_format == unused.log_format),
        ] {
            if !is_same && second.origin(property) != ValueOrigin::Default {
                let (first, name) = (quoted(&first.name), quoted(&second.name));
                let message = format!(
                    "`{property}` of {name} has no effect: both servers run in one process, whose \
                     log is set up as {first} says"
                );
                self.warn(place(second, property), message);
            }
        }
    }

    fn location(&self, id: EndpointId) -> Location {
        let locations = &self.services.endpoint_locations;
        locations.get(id.index()).copied().unwrap_or_default()
    }

    fn endpoint_error(&mut self, id: EndpointId, message: &str) {
        let name = quoted(&self.services.endpoint(id).name);
        let location = self.location(id);
        self.report.error(location, format!("{name}: {message}"));
    }

    fn endpoint_warning(&mut self, id: EndpointId, message: &str) {
        let name = quoted(&self.services.endpoint(id).name);
        let location = self.location(id);
        self.report.warn(location, format!("{name}: {message}"));
    }

    fn property_error(&mut self, server: &ServerConfig, property: &str, message: &str) {
        self.error(place(server, property), message.to_owned());
    }

    fn error(&mut self, place: Place, message: String) {
        match place {
            Place::File(location) => self.report.error(location, message),
            Place::Override(name) => self.report.error_of(&name, message),
        }
    }

    fn warn(&mut self, place: Place, message: String) {
        match place {
            Place::File(location) => self.report.warn(location, message),
            Place::Override(name) => self.report.warn_of(&name, message),
        }
    }
}

/// A port that a server listens on.
struct ListenPort<'a> {
    /// What listens: an endpoint or a property.
    what: String,
    address: &'a HostPort,
    place: Place,
}

/// Where something is set.
enum Place {
    File(Location),
    /// A variable of the environment, or a flag.
    Override(String),
}

/// Where a property of a server is set: at the server if it has its default.
fn place(server: &ServerConfig, property: &str) -> Place {
    match server.origin(property) {
        ValueOrigin::Default => Place::File(server.location),
        ValueOrigin::File(location) => Place::File(location),
        ValueOrigin::Override(source) => Place::Override(source.name_of(property)),
    }
}
