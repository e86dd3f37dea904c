//! The state of a running gateway for the admin page.

use std::{future::ready, pin::Pin, sync::Arc, time::UNIX_EPOCH};

use super::{
    operator::LiveOperator,
    threads::{GatewayThreads, UpstreamHosts, UpstreamStatus},
};
use crate::{
    admin::{
        ConnectionRow, ListenerRow, Operator, Query, Readiness, ReasonRow, RouteRow, Snapshot,
        SnapshotSource, UpstreamRow, UpstreamState,
    },
    listener::ClientListener,
    metrics::ReasonCounters,
    routing::{Route, RouteTarget, interface_name},
    session::{GatewayPhase, Session, SessionContext},
    upstream::HostState,
};

/// Takes snapshots of a running gateway.
pub(super) struct LiveSource {
    pub(super) threads: Arc<GatewayThreads>,
    pub(super) listeners: Arc<Vec<ClientListener>>,
    pub(super) operator: Arc<LiveOperator>,
}

impl SnapshotSource for LiveSource {
    fn snapshot(&self, query: &Query) -> Snapshot {
        let context = self.context();
        let mut rows = Vec::new();
        context
            .registry
            .for_each(|session| rows.push(self.connection(session)));
        Snapshot {
            gateway: context.name.to_string(),
            uptime_ms: u64::try_from(context.start.elapsed().as_millis()).unwrap_or(u64::MAX),
            users: context.registry.users(),
            totals: context.registry.totals(),
            drops: reason_rows(&context.dropped),
            refusals: reason_rows(&context.refused),
            listeners: self.listeners(),
            routes: self.routes(),
            upstreams: self.upstreams(),
            connections: query.select(rows),
        }
    }

    fn readiness(&self) -> Readiness {
        let mut reasons = Vec::new();
        match *self.context().phase.borrow() {
            GatewayPhase::Starting => reasons.push("starting".to_owned()),
            GatewayPhase::Draining => reasons.push("draining".to_owned()),
            GatewayPhase::Stopping | GatewayPhase::Ended => reasons.push("stopping".to_owned()),
            GatewayPhase::Serving => {}
        }
        let down = self.threads.upstreams().into_iter();
        let down = down.filter(|upstream| !upstream.is_up);
        reasons.extend(down.map(|upstream| match upstream.unavailable {
            Some(reason) => format!("{}: {}", upstream.name, reason.text()),
            None => format!("{} is away", upstream.name),
        }));
        Readiness { reasons }
    }

    fn responded(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        match self.threads.pool() {
            Some(pool) => Box::pin(pool.responded()),
            None => Box::pin(ready(())),
        }
    }

    fn operator(&self) -> Option<Arc<dyn Operator>> {
        Some(Arc::clone(&self.operator) as Arc<dyn Operator>)
    }
}

impl LiveSource {
    fn context(&self) -> &SessionContext {
        self.threads.context()
    }

    fn connection(&self, session: &Session) -> ConnectionRow {
        let totals = session.totals();
        let since = session.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let endpoint = self.context().endpoint_keys.name(session.endpoint);
        ConnectionRow {
            id: session.number,
            peer: session.address.to_string(),
            user: session.user().map(|user| user.to_string()),
            device: session.device().map(str::to_owned),
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
            let endpoint = self.context().endpoint_keys.name(listener.endpoint);
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
        let of_threads = self.threads.routes();
        let Some(routes) = of_threads.first() else {
            return Vec::new();
        };
        // During a reload, one thread may have the new routes and another one the old.
        let of_all_threads = |route: &Route| {
            let tables = of_threads.iter().map(|routes| &routes.table);
            let same = tables.filter_map(|table| table.call(route.ifidx(), route.from()));
            same.fold((0, 0, 0), |(calls, answered, nanos), route| {
                let (more_answered, more_nanos) = route.metrics().answers();
                (
                    calls + route.metrics().calls(),
                    answered + more_answered,
                    nanos + more_nanos,
                )
            })
        };
        let keys = &self.context().endpoint_keys;
        let to_servers = routes
            .table
            .calls()
            .filter(|route| route.target() == RouteTarget::Servers);
        let rows = to_servers.map(|route| {
            let (calls, answered, nanos) = of_all_threads(route);
            RouteRow {
                interface: interface_name(&routes.services, route.ifidx()),
                ifidx: route.ifidx(),
                from: keys.name(route.from()).to_string(),
                to: keys.name(route.to()).to_string(),
                calls,
                answered,
                answer_us: nanos / 1000,
            }
        });
        rows.collect()
    }

    /// The upstreams, by name.
    fn upstreams(&self) -> Vec<UpstreamRow> {
        let all = self.threads.upstreams();
        let mut rows: Vec<_> = all.iter().flat_map(upstream_rows).collect();
        rows.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
        rows
    }
}

fn upstream_rows(upstream: &UpstreamStatus) -> Vec<UpstreamRow> {
    let row = |address: &str, state: UpstreamState, queued: usize| UpstreamRow {
        endpoint: upstream.name.clone(),
        address: address.to_owned(),
        state,
        queued,
    };
    match &upstream.hosts {
        UpstreamHosts::Broker(address) => {
            let state = match upstream.is_up {
                true => UpstreamState::Up,
                false => UpstreamState::Down,
            };
            vec![row(address, state, upstream.queued)]
        }
        UpstreamHosts::Servers(servers) => {
            let servers = servers.iter();
            servers
                .map(|(address, state)| row(address, shown(*state), 0))
                .collect()
        }
    }
}

fn shown(state: HostState) -> UpstreamState {
    match state {
        HostState::Down => UpstreamState::Down,
        HostState::Unhealthy(_) => UpstreamState::Unhealthy,
        HostState::Recovering => UpstreamState::Recovering,
        HostState::Up => UpstreamState::Up,
    }
}

fn reason_rows(counters: &ReasonCounters) -> Vec<ReasonRow> {
    let counts = counters.all().into_iter();
    let rows = counts.map(|(reason, count)| ReasonRow {
        reason: reason.to_owned(),
        count,
    });
    rows.collect()
}
