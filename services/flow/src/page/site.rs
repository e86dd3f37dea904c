//! The answers to requests.

use std::fmt::Write;
use std::net::IpAddr;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::server::Monitor;

pub(super) fn router(monitor: Monitor) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .with_state(monitor)
        .layer(middleware::from_fn(check_host))
}

/// Refuses other host names: another site can resolve its own name to this address (DNS
/// rebinding), and its page could then read the answers. IP addresses are safe.
async fn check_host(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    if name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok() {
        return next.run(request).await;
    }
    let text = "This server is reached by its IP address or as localhost.\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

/// Whether the server answers at all.
async fn health(State(monitor): State<Monitor>) -> Response {
    match monitor.facts().await {
        Some(_) => "ok\n".into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the server is ending\n").into_response(),
    }
}

/// Whether it starts jobs.
async fn readiness(State(monitor): State<Monitor>) -> Response {
    let state = monitor.facts().await.map(|facts| facts.state);
    match state {
        Some("RUNNING") => "ok\n".into_response(),
        state => {
            let text = format!("{}\n", state.unwrap_or("the server is ending"));
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

/// The format of Prometheus.
async fn metrics(State(monitor): State<Monitor>) -> Response {
    let Some(facts) = monitor.facts().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let mut text = String::new();
    let gauges = [
        ("tce_flow_running", usize::from(facts.state == "RUNNING")),
        ("tce_flow_nodes", facts.nodes),
        ("tce_flow_suites", facts.suites),
        ("tce_flow_zombies", facts.zombies),
        ("tce_flow_watchers", monitor.watchers()),
    ];
    // Writing to a string never fails.
    for (name, value) in gauges {
        let _ = writeln!(text, "# TYPE {name} gauge\n{name} {value}");
    }
    let _ = writeln!(text, "# TYPE tce_flow_calls_total counter");
    for (operation, count) in monitor.counts() {
        let _ = writeln!(
            text,
            "tce_flow_calls_total{{operation=\"{operation}\"}} {count}"
        );
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, text).into_response()
}
