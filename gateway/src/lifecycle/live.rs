//! What the admin page shows of a running gateway.

use std::{sync::Arc, time::UNIX_EPOCH};

use crate::{
    admin::{
        BackendRow, BackendState, ConnectionRow, DropRow, ListenerRow, Query, Readiness, RouteRow,
        Snapshot, Source,
    },
    listener::Listening,
    phase::Phase,
    session::{Clients, Session},
    table::interface,
    upstream::{Backend, Kind},
};

/// A running gateway, to be looked at.
pub(crate) struct State {
    pub(crate) clients: Arc<Clients>,
    pub(crate) listening: Arc<Vec<Listening>>,
}

impl Source for State {
    fn snapshot(&self, query: &Query) -> Snapshot {
        let clients = &self.clients;
        let core = &clients.core;
        let mut rows = Vec::new();
        clients.for_each(|session| rows.push(self.connection(session)));
        let drops = core.drops.all().into_iter();
        Snapshot {
            gateway: core.name.clone(),
            uptime_ms: u64::try_from(core.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            users: clients.users.count(),
            totals: clients.totals(),
            drops: drops
                .map(|(reason, count)| DropRow {
                    reason: reason.to_owned(),
                    count,
                })
                .collect(),
            listeners: self.listeners(),
            routes: self.routes(),
            backends: self.backends(),
            connections: query.select(rows),
        }
    }

    fn readiness(&self) -> Readiness {
        let mut reasons = Vec::new();
        match *self.clients.core.phase.borrow() {
            Phase::Starting => reasons.push("starting".to_owned()),
            Phase::Stopping | Phase::Ended => reasons.push("stopping".to_owned()),
            Phase::Serving => {}
        }
        let table = self.clients.core.table.load();
        let away = table.backends.values().filter(|backend| !backend.is_up());
        reasons.extend(away.map(|backend| format!("{} is away", backend.name())));
        Readiness { reasons }
    }
}

impl State {
    fn connection(&self, session: &Session) -> ConnectionRow {
        let totals = session.totals();
        let since = session.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        ConnectionRow {
            id: session.number,
            peer: session.address.to_string(),
            user: session.user().map(|user| user.to_string()),
            endpoint: self.clients.core.slots.name(session.endpoint).to_string(),
            since_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            calls: totals.calls,
            in_flight: totals.in_flight,
            bytes_in: totals.bytes_in,
            bytes_out: totals.bytes_out,
        }
    }

    fn listeners(&self) -> Vec<ListenerRow> {
        let listeners = self.listening.iter().flat_map(|listening| {
            let endpoint = self.clients.core.slots.name(listening.slot).to_string();
            let addresses = listening.addresses();
            addresses.map(move |address| ListenerRow {
                endpoint: endpoint.clone(),
                address: address.to_string(),
                connections: listening.connections(),
            })
        });
        listeners.collect()
    }

    fn routes(&self) -> Vec<RouteRow> {
        let table = self.clients.core.table.load();
        let rows = table.ways().map(|way| RouteRow {
            interface: interface(&table.services, way.ifidx()),
            ifidx: way.ifidx(),
            from: self.clients.core.slots.name(way.from()).to_string(),
            to: way.backend().name().to_owned(),
            calls: way.meter().calls(),
        });
        rows.collect()
    }

    fn backends(&self) -> Vec<BackendRow> {
        let table = self.clients.core.table.load();
        let rows = table.backends.values().flat_map(|backend| rows_of(backend));
        rows.collect()
    }
}

fn rows_of(backend: &Backend) -> Vec<BackendRow> {
    let row = |address: &str, is_up: bool, queued: usize| BackendRow {
        endpoint: backend.name().to_owned(),
        address: address.to_owned(),
        state: if is_up {
            BackendState::Up
        } else {
            BackendState::Down
        },
        detail: String::new(),
        queued,
    };
    match &backend.kind {
        Kind::Queue(queue) => vec![row(&queue.address, backend.is_up(), backend.queued())],
        Kind::Direct(direct) => {
            let hosts = direct.hosts().iter();
            hosts
                .map(|host| row(&host.endpoint, host.is_up(), 0))
                .collect()
        }
    }
}
