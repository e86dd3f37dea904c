//! The login of a connection that a client has opened: its credentials, and how long it
//! is valid (`spec/sessions.md`).

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{sleep, sleep_until},
};

use super::push_cursor::PushCursor;
use crate::{
    config::{Options, TokenProvider},
    error::{ErrorCode, RpcError},
    in_flight::{now, wait_until},
    log_limit::LogLimit,
    wire::{Extra, RawMessage, reserved},
};

/// The sequence of `login` and `refresh`. No caller waits for their RETURNs: a peer may
/// not answer a call of an interface that it does not know.
pub(super) const LOGIN_SEQUENCE: u32 = u32::MAX - 1;

/// The shortest time between two tokens that a provider is asked for on one stream.
const MIN_REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// The longest time between two questions whether a provider has another token than the
/// one that was refused.
const MAX_TOKEN_PAUSE: Duration = Duration::from_secs(60);

/// The login of a connection, over all its streams.
pub(crate) struct ClientLogin {
    provider: Option<TokenProvider>,
    /// How long the provider may take.
    time: Duration,
    state: Mutex<LoginState>,
    changed: Notify,
    /// The pushes that were handled; `None` if those that are missed are not asked for.
    cursor: Option<PushCursor>,
}

struct LoginState {
    /// The token and the device id.
    credentials: Extra,
    /// When the login of the current stream expires, if the peer has said so.
    expires_at: Option<Instant>,
    /// The RETURNs of `login` and `refresh`.
    answers: u64,
}

impl ClientLogin {
    /// `None` without credentials.
    pub(crate) fn new(options: &Options) -> Option<Box<Self>> {
        let provider = options.token_provider.clone();
        let token = options.token.as_ref().filter(|_| provider.is_none());
        let pairs = [
            (reserved::TOKEN, token),
            (reserved::DEVICE_ID, options.device_id.as_ref()),
        ];
        let pairs = pairs.into_iter();
        let credentials: Extra = pairs
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        let has_credentials = provider.is_some() || !credentials.is_empty();
        has_credentials.then(|| {
            Box::new(Self {
                provider,
                time: options.connection.connect_time,
                state: Mutex::new(LoginState {
                    credentials,
                    expires_at: None,
                    answers: 0,
                }),
                changed: Notify::new(),
                cursor: options.resume.then(PushCursor::default),
            })
        })
    }

    /// Whether a token is asked for anew at each connect.
    pub(super) fn has_provider(&self) -> bool {
        self.provider.is_some()
    }

    /// Asks the provider, if there is one, for the token of the next stream.
    ///
    /// # Errors
    /// CONNECT_FAILED if there is none.
    pub(crate) async fn renew(&self) -> Result<(), RpcError> {
        let Some(provider) = &self.provider else {
            return Ok(());
        };
        let token = provider.token(self.time).await.map_err(|error| {
            RpcError::new(ErrorCode::ConnectFailed, error.to_string()).caused_by(error)
        })?;
        self.state.lock().credentials.set(reserved::TOKEN, token);
        Ok(())
    }

    /// Waits until the provider gives another token than the last one, which the peer has
    /// refused. It is asked after pauses that grow; without a provider this waits forever.
    pub(crate) async fn another_token(&self) {
        let Some(provider) = &self.provider else {
            return std::future::pending().await;
        };
        let mut pause = MIN_REFRESH_PAUSE;
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(MAX_TOKEN_PAUSE);
            let token = provider.token(self.time).await;
            let is_other =
                |token: &String| self.state.lock().credentials.get(reserved::TOKEN) != Some(token);
            if token.is_ok_and(|token| is_other(&token)) {
                return;
            }
        }
    }

    /// The credentials of a stream that begins, and the extra of its `login`; `None` without
    /// a token.
    pub(super) fn begin(&self) -> (Extra, Option<Box<Extra>>) {
        let mut state = self.state.lock();
        state.expires_at = None;
        let credentials = state.credentials.clone();
        drop(state);
        let has_token = credentials.get(reserved::TOKEN).is_some();
        let login = has_token.then(|| {
            let mut login = Box::new(credentials.clone());
            if let Some(cursor) = &self.cursor {
                login.set(reserved::RESUME, cursor.request());
            }
            login
        });
        (credentials, login)
    }

    /// The pushes that were handled; `None` if those that are missed are not asked for.
    pub(super) fn cursor(&self) -> Option<&PushCursor> {
        self.cursor.as_ref()
    }

    /// The peer has answered `login` or `refresh`.
    pub(super) fn answered(&self, message: &RawMessage<'_>) {
        let mut state = self.state.lock();
        state.answers += 1;
        if message.header.errcode == 0 {
            let seconds = message.extra.get(reserved::EXPIRES_IN);
            let left = seconds.and_then(|seconds| seconds.parse().ok());
            let left = left.map(Duration::from_secs);
            state.expires_at = left.and_then(|left| now().checked_add(left));
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Renews the login before it expires, by `refresh`, as long as the stream lasts.
    pub(super) async fn keep_valid(&self, refresh: impl Fn(&Extra)) {
        let Some(provider) = &self.provider else {
            return;
        };
        loop {
            let (answers, expires_at) = {
                let state = self.state.lock();
                (state.answers, state.expires_at)
            };
            let answered = wait_until(&self.changed, || self.state.lock().answers != answers);
            let now = now();
            let Some(expires_at) = expires_at.filter(|at| *at > now) else {
                answered.await;
                continue;
            };
            // Long before the end: an attempt may fail, and each next one comes after the
            // same part of what is left.
            let pause = (expires_at - now) / 5 * 4;
            tokio::select! {
                () = sleep_until((now + pause.max(MIN_REFRESH_PAUSE)).into()) => {}
                () = answered => continue,
            }
            match provider.token(self.time).await {
                Ok(token) => refresh(&Extra::from_iter([(reserved::TOKEN, token)])),
                Err(error) => {
                    static LIMIT: LogLimit = LogLimit::new();
                    if LIMIT.allows("failed token providers") {
                        tracing::warn!("can't renew a login: {error}");
                    }
                }
            }
        }
    }
}
