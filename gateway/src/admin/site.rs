//! The answers to requests: pages, health checks, metrics, state.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use axum::{
    Json, Router,
    extract::{Path, Query as UrlQuery, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use rust_embed::RustEmbed;
use serde::Serialize;

use super::{
    actions,
    snapshot::{Query, Readiness, Snapshot, SnapshotSource},
    watchdog::Watchdog,
};
use crate::metrics::Recorder;

/// Only the page's own files may load: text that a client sent can't do harm even
/// if it got into the page as markup, and no other site can frame the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The headers of every answer.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

#[derive(RustEmbed)]
#[folder = "src/admin/page/"]
struct PageFiles;

/// The state that requests share.
pub(super) struct Site {
    pub(super) source: Arc<dyn SnapshotSource>,
    pub(super) watchdog: Arc<Watchdog>,
    /// The host names that requests may name beside IP addresses and `localhost`: those
    /// of the properties `admin` and `admin_hosts`.
    pub(super) hosts: Vec<String>,
    /// The property `admin_token`.
    pub(super) token: Option<String>,
    pub(super) recorder: Option<Recorder>,
}

pub(super) fn router(site: Site) -> Router {
    let actions = actions::routes(Arc::clone(&site.source), site.token.clone());
    let site = Arc::new(site);
    Router::new()
        .route("/", get(|| async { file("index.html") }))
        .route(
            "/{name}",
            get(|Path(name): Path<String>| async move { file(&name) }),
        )
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .route("/api/state", get(state))
        .with_state(Arc::clone(&site))
        .merge(actions)
        .layer(middleware::from_fn_with_state(site, check_host))
        .layer(middleware::from_fn(add_headers))
}

async fn check_host(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    // RFC 9112, 3.2: a proxy before the gateway may read another one than the
    // gateway does.
    if second.is_some() || request.uri().authority().is_some() {
        let text = "A request names its host once, in the header `Host`.\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    let host = first
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    if is_valid_host(host, &site.hosts) {
        return next.run(request).await;
    }
    let text = "The gateway does not serve this host name. Use an IP address, set the \
                property `admin` to the host name and port, or add the name to `admin_hosts`.\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

/// Whether `Host` names this server, by one of the `configured` names. Others
/// are refused: another site can resolve its own name to this address (DNS
/// rebinding), and its page could then read the answers. IP addresses are safe.
fn is_valid_host(host: &str, configured: &[String]) -> bool {
    let name = without_port(host);
    name.eq_ignore_ascii_case("localhost")
        || configured
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
        || is_address(name)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_address(name: &str) -> bool {
    let bracketed = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => name.parse::<Ipv4Addr>().is_ok(),
    }
}

async fn add_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

/// Serves a file of the page.
fn file(name: &str) -> Response {
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    match PageFiles::get(name) {
        Some(file) => ([(header::CONTENT_TYPE, kind)], file.data).into_response(),
        None => (StatusCode::NOT_FOUND, "Not found.\n").into_response(),
    }
}

/// Liveness: an orchestrator restarts a gateway that fails this check.
async fn health(State(site): State<Arc<Site>>) -> Response {
    match site.watchdog.stuck_for() {
        None => "alive\n".into_response(),
        Some(silence) => {
            let text = format!("stuck for {} s\n", silence.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

/// Readiness: a load balancer sends clients only to gateways that pass.
async fn readiness(State(site): State<Arc<Site>>) -> Response {
    let readiness = site.source.readiness();
    if readiness.is_ready() {
        return "ready\n".into_response();
    }
    let mut text = readiness.reasons.join("\n");
    text.push('\n');
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn metrics(State(site): State<Arc<Site>>) -> Response {
    let Some(recorder) = site.recorder.clone() else {
        let text = "This program has installed another metrics recorder.\n";
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    blocking(move || ([(header::CONTENT_TYPE, kind)], recorder.render())).await
}

/// The answer of `/api/state`.
#[derive(Serialize)]
struct StateAnswer {
    version: &'static str,
    readiness: Readiness,
    #[serde(flatten)]
    snapshot: Snapshot,
}

async fn state(State(site): State<Arc<Site>>, UrlQuery(query): UrlQuery<Query>) -> Response {
    blocking(move || {
        Json(StateAnswer {
            version: env!("CARGO_PKG_VERSION"),
            readiness: site.source.readiness(),
            snapshot: site.source.snapshot(&query),
        })
    })
    .await
}

/// Builds an answer on a thread of its own, so that a snapshot of ten thousand
/// connections does not delay calls.
async fn blocking<T: IntoResponse>(make: impl FnOnce() -> T + Send + 'static) -> Response {
    let answer = tokio::task::spawn_blocking(|| make().into_response()).await;
    answer.unwrap_or_else(|error| {
        tracing::error!("can't build an answer of the admin page: {error}");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}
