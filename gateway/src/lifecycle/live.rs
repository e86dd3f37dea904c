//! The state of a running gateway for the admin page.

use std::{sync::Arc, time::UNIX_EPOCH};

use crate::{
    admin::{
        ConnectionRow, DropRow, ListenerRow, Query, Readiness, RouteRow, Snapshot, SnapshotSource,
        UpstreamRow, UpstreamState,
    },
    listener::ClientListener,
    routing::{RouteTarget, interface_name},
    session::{GatewayPhase, Session, SessionContext},
    upstream::{HostState, Upstream, UpstreamHost, UpstreamKind},
};

/// Takes snapshots of a running gateway.
pub(super) struct LiveSource {
    pub(super) context: Arc<SessionContext>,
    pub(super) listeners: Arc<Vec<ClientListener>>,
}

impl SnapshotSource for LiveSource {
    fn snapshot(&self, query: &Query) -> Snapshot {
        let context = &self.context;
        let mut rows = Vec::new();
        context
            .registry
            .for_each(|session| rows.push(self.connection(session)));
        let dropped = context.dropped.all().into_iter();
        Snapshot {
            gateway: context.name.clone(),
            uptime_ms: u64::try_from(context.start.elapsed().as_millis()).unwrap_or(u64::MAX),
            users: context.registry.users(),
            totals: context.registry.totals(),
            drops: dropped
                .map(|(reason, count)| DropRow {
                    reason: reason.to_owned(),
                    count,
                })
                .collect(),
            listeners: self.listeners(),
            routes: self.routes(),
            upstreams: self.upstreams(),
            connections: query.select(rows),
        }
    }

    fn readiness(&self) -> Readiness {
        let mut reasons = Vec::new();
        match *self.context.phase.borrow() {
            GatewayPhase::Starting => reasons.push("starting".to_owned()),
            GatewayPhase::Stopping | GatewayPhase::Ended => reasons.push("stopping".to_owned()),
            GatewayPhase::Serving => {}
        }
        let routes = self.context.routes.load();
        let down = routes.upstreams.iter().filter(|upstream| !upstream.is_up());
        reasons.extend(down.map(|upstream| match upstream.unavailable() {
            Some(reason) => format!("{}: {}", upstream.name(), reason.text()),
            None => format!("{} is away", upstream.name()),
        }));
        Readiness { reasons }
    }
}

impl LiveSource {
    fn connection(&self, session: &Session) -> ConnectionRow {
        let totals = session.totals();
        let since = session.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let endpoint = self.context.endpoint_keys.name(session.endpoint);
        ConnectionRow {
            id: session.number,
            peer: session.address.to_string(),
            user: session.user().map(|user| user.to_string()),
            endpoint: endpoint.to_string(),
            since_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            calls: totals.calls,
            in_flight: totals.in_flight,
            bytes_in: totals.bytes_in,
            bytes_out: totals.bytes_out,
        }
    }

    fn listeners(&self) -> Vec<ListenerRow> {
        let rows = self.listeners.iter().flat_map(|listener| {
            let endpoint = self.context.endpoint_keys.name(listener.endpoint);
            listener.addresses().map(move |address| ListenerRow {
                endpoint: endpoint.to_string(),
                address: address.to_string(),
                connections: listener.connections(),
            })
        });
        rows.collect()
    }

    /// The routes of clients' calls.
    fn routes(&self) -> Vec<RouteRow> {
        let routes = self.context.routes.load();
        let keys = &self.context.endpoint_keys;
        let to_servers = routes
            .table
            .calls()
            .filter(|route| route.target() == RouteTarget::Servers);
        let rows = to_servers.map(|route| RouteRow {
            interface: interface_name(&routes.services, route.ifidx()),
            ifidx: route.ifidx(),
            from: keys.name(route.from()).to_string(),
            to: keys.name(route.to()).to_string(),
            calls: route.metrics().calls(),
        });
        rows.collect()
    }

    /// The upstreams, by name.
    fn upstreams(&self) -> Vec<UpstreamRow> {
        let routes = self.context.routes.load();
        let rows = routes.upstreams.iter();
        let mut rows: Vec<_> = rows.flat_map(|upstream| upstream_rows(upstream)).collect();
        rows.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
        rows
    }
}

fn host_state(host: &UpstreamHost) -> UpstreamState {
    match host.state() {
        HostState::Down => UpstreamState::Down,
        HostState::Up => UpstreamState::Up,
        HostState::Recovering => UpstreamState::Recovering,
        HostState::Unhealthy(_) => UpstreamState::Unhealthy,
    }
}

fn upstream_rows(upstream: &Upstream) -> Vec<UpstreamRow> {
    let row = |address: &str, state: UpstreamState, queued: usize| UpstreamRow {
        endpoint: upstream.name().to_owned(),
        address: address.to_owned(),
        state,
        queued,
    };
    match upstream.kind() {
        UpstreamKind::Queue(queue) => {
            let state = match upstream.is_up() {
                true => UpstreamState::Up,
                false => UpstreamState::Down,
            };
            vec![row(&queue.broker, state, upstream.queued())]
        }
        UpstreamKind::Direct(direct) => {
            let hosts = direct.hosts().iter();
            hosts
                .map(|host| row(&host.address, host_state(host), 0))
                .collect()
        }
    }
}
