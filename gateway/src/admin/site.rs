//! What is answered to whom.

use std::sync::Arc;

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

use super::{Query, Readiness, Recorder, Snapshot, Source, host::is_ours, watchdog::Pulse};

/// The page's own files and nothing else: a text that a client sent does no harm
/// even if it got into the page as markup, and no site can frame it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What every answer says.
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
struct Files;

/// What the answers are made from.
pub(super) struct Site {
    pub(super) source: Arc<dyn Source>,
    pub(super) pulse: Arc<Pulse>,
    /// The host that we were told to listen on.
    pub(super) host: String,
    pub(super) recorder: Option<Recorder>,
}

pub(super) fn router(site: Site) -> Router {
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
        .layer(middleware::from_fn_with_state(
            Arc::clone(&site),
            check_host,
        ))
        .layer(middleware::from_fn(add_headers))
        .with_state(site)
}

async fn check_host(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    if is_ours(host, &site.host) {
        return next.run(request).await;
    }
    let text = "This is not the host that you asked for. Use an address, or name the host \
                where the gateway's configuration says `admin`.\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

async fn add_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

/// A file of the page.
fn file(name: &str) -> Response {
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    match Files::get(name) {
        Some(file) => ([(header::CONTENT_TYPE, kind)], file.data).into_response(),
        None => (StatusCode::NOT_FOUND, "There is no such page.\n").into_response(),
    }
}

/// Alive, and not stuck: what says no is restarted.
async fn health(State(site): State<Arc<Site>>) -> Response {
    match site.pulse.stuck_for() {
        None => "alive\n".into_response(),
        Some(silence) => {
            let text = format!("stuck for {} s\n", silence.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

/// Whether clients should be sent here.
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
        let text = "This program counts elsewhere.\n";
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    aside(move || ([(header::CONTENT_TYPE, kind)], recorder.render())).await
}

/// What the page asks for every second.
#[derive(Serialize)]
struct Now {
    version: &'static str,
    readiness: Readiness,
    #[serde(flatten)]
    snapshot: Snapshot,
}

async fn state(State(site): State<Arc<Site>>, UrlQuery(query): UrlQuery<Query>) -> Response {
    aside(move || {
        Json(Now {
            version: env!("CARGO_PKG_VERSION"),
            readiness: site.source.readiness(),
            snapshot: site.source.snapshot(&query),
        })
    })
    .await
}

/// Makes an answer on a thread of its own: ten thousand connections are looked
/// at while calls go on.
async fn aside<T: IntoResponse>(make: impl FnOnce() -> T + Send + 'static) -> Response {
    let made = tokio::task::spawn_blocking(|| make().into_response()).await;
    made.unwrap_or_else(|error| {
        tracing::error!("the admin page has no answer: {error}");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}
