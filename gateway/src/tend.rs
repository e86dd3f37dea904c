//! What is looked at again and again while a gateway runs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::gauge;
use tce_runtime::BusyPoll;

use crate::{
    metrics as metric, metrics::TrafficTotals, phase::Phase, session::Clients, ticks::Ticks,
};

/// How often connections are looked after: their times are kept about so
/// exactly.
const TEND_EVERY: Duration = Duration::from_millis(200);
/// How often it is said how much there is of everything.
const GAUGE_EVERY: u32 = 5;

/// Looks after the connections, and keeps the thread polling, until the gateway
/// has ended.
pub(crate) async fn tend(clients: Arc<Clients>) {
    let _polls = clients
        .core
        .properties
        .busy_poll_time
        .0
        .and_then(BusyPoll::begin);
    let mut ticks = Ticks::every(TEND_EVERY);
    let mut count = 0;
    let mut exported = TrafficTotals::default();
    loop {
        ticks.tick().await;
        if *clients.core.phase.borrow() == Phase::Ended {
            return;
        }
        let now = Instant::now();
        clients.for_each(|session| session.look_after(now));
        count = (count + 1) % GAUGE_EVERY;
        if count == 0 {
            show(&clients, &mut exported);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a floating number")]
fn show(clients: &Clients, exported: &mut TrafficTotals) {
    let totals = clients.totals();
    gauge!(metric::CONNECTIONS).set(clients.connections() as f64);
    gauge!(metric::USERS).set(clients.users.count() as f64);
    gauge!(metric::CALLS_IN_FLIGHT).set(totals.in_flight as f64);
    totals.export_since(exported);
    *exported = totals;
    clients.core.drops.export();
    for way in clients.core.table.load().ways() {
        way.meter().export();
    }
    for backend in clients.core.table.load().backends.values() {
        let endpoint = backend.name().to_owned();
        let is_up = if backend.is_up() { 1.0 } else { 0.0 };
        gauge!(metric::UPSTREAM_UP, "endpoint" => endpoint.clone()).set(is_up);
        gauge!(metric::UPSTREAM_QUEUED, "endpoint" => endpoint).set(backend.queued() as f64);
    }
}
