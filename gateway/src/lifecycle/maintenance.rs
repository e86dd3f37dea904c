//! What a gateway does all the time beside messages: it checks the times of connections,
//! exports metrics, and forgets what has expired.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::metrics::{counter, gauge};
use tce_runtime::BusyPoll;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    readers::QueueReaders,
    threads::{GatewayThreads, UpstreamHosts},
};
use crate::{
    log,
    metrics::{self, GATEWAY, TrafficTotals},
    session::{GatewayPhase, SessionContext},
};

/// How often the times of connections are checked, which is their precision.
const MAINTENANCE_PERIOD: Duration = Duration::from_millis(200);
/// Maintenance periods between two exports of metrics.
const EXPORT_EVERY: u32 = 5;

/// Checks the times of the connections of one thread until the gateway has ended. Runs on
/// that thread: what it moves from a session to the counts of the session's client is
/// never missing from both.
pub(super) async fn watch_sessions(context: Arc<SessionContext>) {
    let mut ticks = interval(MAINTENANCE_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while *context.phase.borrow() != GatewayPhase::Ended {
        ticks.tick().await;
        let now = Instant::now();
        context.registry.for_each_where(
            |session| session.is_of(&context),
            |session| session.check_times(now),
        );
    }
}

/// Exports metrics, and forgets what has expired, until the gateway has ended.
pub(super) async fn maintain(threads: Arc<GatewayThreads>, readers: Arc<QueueReaders>) {
    let context = threads.context();
    let longest = context.properties.busy_poll_time.0;
    let _polling = longest.and_then(BusyPoll::begin);
    let mut ticks = interval(MAINTENANCE_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut exported = TrafficTotals::default();
    for period in 1_u32.. {
        ticks.tick().await;
        let has_ended = *context.phase.borrow() == GatewayPhase::Ended;
        if has_ended || period.is_multiple_of(EXPORT_EVERY) {
            let totals = context.registry.totals();
            let gone = context.registry.maintain_histories(Instant::now());
            gone.iter().for_each(|user| context.presence.changed(user));
            export_metrics(&threads, &totals);
            totals.export_since(&exported, &context.name);
            exported = totals;
            for routes in threads.routes() {
                for upstream in routes.upstreams.iter() {
                    upstream.retain_sessions(|session| context.registry.is_open(session));
                }
            }
        }
        if has_ended {
            return;
        }
        let now = Instant::now();
        context.client_calls.expire(now);
        readers.stop_due(now, context.properties.shutdown_time);
        if period.is_multiple_of(EXPORT_EVERY) {
            let now = context.start.elapsed().as_nanos();
            let now = u64::try_from(now).unwrap_or(u64::MAX);
            context.rates.forget_idle(now);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn export_metrics(threads: &GatewayThreads, totals: &TrafficTotals) {
    let context = threads.context();
    let gateway = || Arc::clone(&context.name);
    let set = |name: &'static str, value: f64| gauge!(name, GATEWAY => gateway()).set(value);
    set(metrics::CONNECTIONS, context.registry.connections() as f64);
    set(metrics::USERS, context.registry.users() as f64);
    set(metrics::CALLS_IN_FLIGHT, totals.in_flight as f64);
    if let Some(histories) = &context.registry.histories {
        set(metrics::HISTORIES, histories.count() as f64);
        set(metrics::HISTORY_BYTES, histories.bytes() as f64);
    }
    counter!(metrics::LOG_DROPPED).absolute(log::dropped_lines());
    context.dropped.export(&context.name);
    for routes in threads.routes() {
        routes
            .table
            .calls()
            .for_each(|route| route.metrics().export());
    }
    let gauge_of = |is_up: bool| if is_up { 1.0 } else { 0.0 };
    for upstream in threads.upstreams() {
        let labels = [
            (GATEWAY, context.name.to_string()),
            ("endpoint", upstream.name),
        ];
        gauge!(metrics::UPSTREAM_UP, &labels).set(gauge_of(upstream.is_up));
        gauge!(metrics::UPSTREAM_QUEUED, &labels).set(upstream.queued as f64);
        if let UpstreamHosts::Servers(servers) = upstream.hosts {
            for (host, state) in servers {
                let [gateway, endpoint] = labels.clone();
                let labels = [gateway, endpoint, ("host", host)];
                gauge!(metrics::HOST_UP, &labels).set(gauge_of(state.takes_calls()));
            }
        }
    }
}
