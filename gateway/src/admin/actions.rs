//! Operations by HTTP, for the admin page and `tce gateway ctl`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Query as UrlQuery, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tce_runtime::forwarding::LogLimit;

use super::{
    operator::{Disconnected, Disconnection, OperatorError, Refused},
    snapshot::SnapshotSource,
};

/// The maximum size of what a request changes, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// The default number of users on a page.
const DEFAULT_LIMIT: usize = 1000;

struct ActionState {
    source: Arc<dyn SnapshotSource>,
    token: Option<String>,
}

impl IntoResponse for OperatorError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        refusal(status, &self.to_string())
    }
}

fn refusal(status: StatusCode, text: &str) -> Response {
    let error = text.to_owned();
    (status, Json(Refused { error })).into_response()
}

/// The routes of `/api/`, without its state of the page. Without a token nothing can be
/// changed.
pub(super) fn routes(source: Arc<dyn SnapshotSource>, token: Option<String>) -> Router {
    let state = Arc::new(ActionState { source, token });
    // What changes something takes a token, in a header that no form and no link of
    // another site can send: a browser asks for permission first, which is not given.
    let changes = Router::new()
        .route("/api/disconnect", post(disconnect))
        .route("/api/reload", post(reload))
        .route_layer(DefaultBodyLimit::max(MAX_BODY))
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&state),
            check_token,
        ));
    Router::new()
        .route("/api/users", get(users))
        .route("/api/sessions", get(sessions))
        .route("/api/count", get(count))
        .merge(changes)
        .with_state(state)
}

async fn check_token(
    State(state): State<Arc<ActionState>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(token) = &state.token else {
        let text = "nothing can be changed: the property `admin_token` is not set";
        return refusal(StatusCode::FORBIDDEN, text);
    };
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.and_then(|it| it.as_bytes().strip_prefix(b"Bearer "));
    let is_right = given.is_some_and(|given| given.ct_eq(token.as_bytes()).into());
    if is_right {
        return next.run(request).await;
    }
    static LIMIT: LogLimit = LogLimit::new();
    if LIMIT.allows("requests without the admin token") {
        tracing::warn!("a request to the admin page had no valid token");
    }
    let mut refused = refusal(StatusCode::UNAUTHORIZED, "this takes the `admin_token`");
    let scheme = HeaderValue::from_static("Bearer");
    refused
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, scheme);
    refused
}

/// Answers with the result of an operation.
fn answer<T: Serialize>(result: Result<T, OperatorError>) -> Response {
    match result {
        Ok(result) => Json(result).into_response(),
        Err(error) => error.into_response(),
    }
}

fn starting() -> Response {
    refusal(StatusCode::SERVICE_UNAVAILABLE, "the gateway is starting")
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PageQuery {
    cursor: String,
    limit: usize,
}

impl Default for PageQuery {
    fn default() -> Self {
        Self {
            cursor: String::new(),
            limit: DEFAULT_LIMIT,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserQuery {
    user: String,
}

async fn users(
    State(state): State<Arc<ActionState>>,
    UrlQuery(page): UrlQuery<PageQuery>,
) -> Response {
    match state.source.operator() {
        Some(operator) => answer(operator.users(page.cursor, page.limit).await),
        None => starting(),
    }
}

async fn sessions(
    State(state): State<Arc<ActionState>>,
    UrlQuery(query): UrlQuery<UserQuery>,
) -> Response {
    match state.source.operator() {
        Some(operator) => answer(operator.sessions(query.user).await),
        None => starting(),
    }
}

async fn count(State(state): State<Arc<ActionState>>) -> Response {
    match state.source.operator() {
        Some(operator) => answer(operator.count().await),
        None => starting(),
    }
}

async fn disconnect(
    State(state): State<Arc<ActionState>>,
    Json(which): Json<Disconnection>,
) -> Response {
    match state.source.operator() {
        Some(operator) => {
            let disconnected = operator.disconnect(which).await;
            answer(disconnected.map(|disconnected| Disconnected { disconnected }))
        }
        None => starting(),
    }
}

async fn reload(State(state): State<Arc<ActionState>>) -> Response {
    match state.source.operator() {
        Some(operator) => answer(operator.reload().await),
        None => starting(),
    }
}
