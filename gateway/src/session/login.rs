//! The login of a connection: from the token in its first message to a user, and from
//! a later token to a longer login (`spec/sessions.md`).

use std::{
    hash::BuildHasher,
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use tce_runtime::{
    BUILTIN_INTERFACE, CloseCode, ErrorCode, Extra,
    forwarding::{Disposition, InboundMessage, LOGIN, REFRESH},
    wire::{Header, KeySet, escape_ascii, reserved},
};

use super::{
    DeferredMessage, LoginState, Session, SessionUser,
    client_calls::CallOwner,
    history_store::HistoryLogin,
    registry::{BindOutcome, HistoryRequest, UnbindOutcome},
};
use crate::{
    auth::{self, Admission, AuthGuard, Refusal},
    client_address::counted_address,
    config::SecondLogin,
    metrics::{self, GATEWAY},
};

/// The shortest time between two tokens that are checked on one connection without
/// being asked for: a client may send one in each of its calls.
const UNASKED_REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// The longest text in the extra of an event, in bytes: a device id, all of whose
/// characters are escaped, is not longer.
const MAX_EVENT_TEXT: usize = 6 * auth::MAX_USER_ID;

/// The token of a message, and what identifies it later.
struct PresentedToken {
    login: auth::Login,
    /// Keyed with a random number of this process, so that comparing it discloses
    /// nothing of the token.
    hash: u64,
}

impl Session {
    /// Gives a connection that does not log in a user id of its own.
    pub(super) fn log_in_anonymous(&self) {
        if matches!(self.state.lock().login, LoginState::Anonymous) {
            let user = self.context.anonymous_user(self.number);
            let mut user = SessionUser::new(&user, None, false);
            let address = counted_address(self.address.ip());
            user.rates = self.context.rates.cells_of(|| CallOwner::Address(address));
            self.bind(user, &HistoryRequest::None);
        }
    }

    /// Passes the token of the first message to the authenticator. The message is
    /// deferred until the user is known, and later ones wait behind it.
    pub(super) fn log_in(&self, message: &mut InboundMessage<'_>) -> Disposition {
        let authenticator = match (&self.state.lock().login, &self.context.authenticator) {
            (LoginState::Awaited, Some(authenticator)) => authenticator.clone(),
            // The message was read before the connection was closed.
            _ => return Disposition::Handled,
        };
        let header = message.message().header;
        let Some(token) = self.present_token(message) else {
            let text = "log in first: the first message must carry `__token__`";
            self.count_refused(header, ErrorCode::ConnectReject, "no_token");
            self.turn_away(header, "no_token", CloseCode::Refused, text);
            return Disposition::Handled;
        };
        if let Some(text) = self.login_limit() {
            self.turn_away(header, "max_failed_logins", CloseCode::TryLater, text);
            return Disposition::Handled;
        }
        let resume = resume_request(message);
        let Some(first) = self.defer(message) else {
            return Disposition::Handled;
        };
        self.state.lock().login = LoginState::InProgress;
        let this = self.this.clone();
        tokio::spawn(async move {
            let device = token.login.device_id.clone();
            let result = authenticator.admit(token.login).await;
            delay_refusal(&this, &result).await;
            let Some(session) = this.upgrade() else {
                return;
            };
            let device = device.filter(|device| auth::is_valid_id(device));
            let request = match (&result, &resume) {
                (Ok(admission), Some(resume)) => {
                    let user = admission.user();
                    session
                        .request_history(user, device.as_deref(), resume)
                        .await
                }
                _ => HistoryRequest::None,
            };
            session.finish_login(result, device, &request, token.hash, &first);
        });
        Disposition::Handled
    }

    /// The token of a message; `None` without one.
    fn present_token(&self, message: &InboundMessage<'_>) -> Option<PresentedToken> {
        let raw = message.message();
        let token = raw.reserved_text(KeySet::TOKEN)?;
        Some(PresentedToken {
            hash: self.hash(token),
            login: auth::Login {
                token: token.to_owned(),
                device_id: raw.reserved_text(KeySet::DEVICE_ID).map(str::to_owned),
                peer: self.address.to_string(),
            },
        })
    }

    fn hash(&self, token: &str) -> u64 {
        self.context.token_keys.hash_one(token)
    }

    /// Whether a token is that of the login.
    fn is_token_of_login(&self, hash: u64) -> bool {
        self.token_hash.load(Ordering::Acquire) == hash
    }

    /// Why the client's address may not try to log in now, if it may not.
    fn login_limit(&self) -> Option<&'static str> {
        if self.context.login_attempts.may_try(self.address.ip()) {
            return None;
        }
        self.count_login("limited");
        Some("too many logins from this address have failed; try again in a minute")
    }

    fn count_login(&self, result: &'static str) {
        let gateway = Arc::clone(&self.context.name);
        ::metrics::counter!(metrics::LOGINS, GATEWAY => gateway, "result" => result).increment(1);
    }

    fn finish_login(
        &self,
        result: Result<Admission, Refusal>,
        device: Option<String>,
        request: &HistoryRequest,
        token_hash: u64,
        first: &DeferredMessage,
    ) {
        let admission = match result {
            Ok(admission) => admission,
            Err(refusal) => {
                let close = match refusal.is_temporary() {
                    true => CloseCode::TryLater,
                    false => CloseCode::Refused,
                };
                return self.turn_away(first.header, "not_admitted", close, refusal.text());
            }
        };
        let tells_device = self.context.properties.second_login == SecondLogin::Several;
        let name: Arc<str> = admission.user().into();
        let mut user = SessionUser::new(&name, device.map(Arc::from), tells_device);
        let owner = || CallOwner::User(Arc::clone(&name));
        user.rates = self.context.rates.cells_of(owner);
        user.set_roles(&admission);
        self.state.lock().login_ends_at = self.login_end(&admission);
        self.token_hash.store(token_hash, Ordering::Release);
        if !self.bind(user, request) {
            self.context.registry.abandon_history(request, self.number);
            self.context.presence.changed(&name);
            let text = "this user is already logged in, on another connection";
            return self.turn_away(first.header, "second_login", CloseCode::Refused, text);
        }
        // The first message is handled before any other is read.
        self.resume(first);
        self.end_deferral();
    }

    /// When a login that begins now ends: as the authenticator says, and after
    /// `login_time` at the latest.
    fn login_end(&self, admission: &Admission) -> Option<Instant> {
        let now = Instant::now();
        let left = admission.ends_at().map(|end| {
            let left = end.duration_since(SystemTime::now());
            left.unwrap_or_default()
        });
        let times = [left, self.context.properties.login_time];
        now.checked_add(times.into_iter().flatten().min()?)
    }

    /// The login is no longer valid: ends the connection, so that its client logs
    /// in again.
    pub(super) fn expire_login(&self) {
        // No push arrives after the end of the login.
        self.log_out("login_expired");
        let text = "the login has expired: log in again";
        self.end("login_expired", CloseCode::LoginExpired, text);
    }

    /// Ends the history, if the client says that it needs the connection no longer: by a
    /// RETURN that answers no call (`spec/wire.md`, section 4).
    pub(super) fn end_history_if_closed(&self, message: &InboundMessage<'_>) {
        let Some(history) = self.history() else {
            return;
        };
        let raw = message.message();
        let close = raw.extra.get(reserved::CLOSE);
        let close = close.and_then(|number| number.parse().ok());
        if raw.header.errcode != 0 && close.map(CloseCode::from_wire) == Some(CloseCode::Normal) {
            self.context.registry.end_history(history);
        }
    }

    /// The history for a login with `__resume__`.
    async fn request_history(
        &self,
        user: &str,
        device: Option<&str>,
        resume: &str,
    ) -> HistoryRequest {
        let context = &self.context;
        let login = HistoryLogin {
            user: &user.into(),
            device,
            endpoint: self.endpoint,
            resume,
        };
        context
            .registry
            .request_history(login, &context.endpoint_keys)
            .await
    }

    /// Binds a user to this session, with the history that it has requested. Returns false
    /// if the user stays bound to another session, or the connection has ended.
    fn bind(&self, user: SessionUser, request: &HistoryRequest) -> bool {
        let Some(this) = self.this.upgrade() else {
            return false;
        };
        let _in_order = self.context.events.in_order();
        // A session logs in once.
        let user = self.user.get_or_init(|| user);
        let outcome = {
            // The session stays locked: it and the registry change together, so
            // that a disconnect finds the user in both or in neither.
            let mut state = self.state.lock();
            if matches!(state.login, LoginState::Closed) {
                return false;
            }
            let outcome = self.context.registry.bind(&user.name, &this, request);
            if !matches!(outcome, BindOutcome::Refused) {
                state.login = LoginState::LoggedIn;
                self.is_logged_in.store(true, Ordering::Release);
            }
            outcome
        };
        match outcome {
            BindOutcome::Refused => return false,
            BindOutcome::Replaced(old) => {
                let text = match old.has_device_of(self) {
                    true => "the device has logged in on another connection",
                    false => "the user has logged in on another connection",
                };
                old.end("second_login", CloseCode::Replaced, text);
            }
            BindOutcome::First => self
                .context
                .events
                .user_on_line(&user.name, || self.event_extra(None)),
            BindOutcome::Further => {}
        }
        self.context.presence.changed(&user.name);
        true
    }

    /// Refuses the first message, and closes the connection.
    fn turn_away(&self, first: Header, reason: &'static str, close: CloseCode, text: &str) {
        self.state.lock().login = LoginState::Closed;
        if !first.calltype.is_oneway()
            && let Some(connection) = self.connection()
        {
            connection.refuse(first, ErrorCode::ConnectReject, text);
        }
        self.end(reason, close, text);
    }

    /// The connection has ended, for this reason unless the gateway has closed it.
    pub(super) fn log_out(&self, reason: &str) {
        let _in_order = self.context.events.in_order();
        self.is_logged_in.store(false, Ordering::Release);
        let login = std::mem::replace(&mut self.state.lock().login, LoginState::Closed);
        let (LoginState::LoggedIn, Some(user)) = (login, self.user.get()) else {
            return;
        };
        let outcome = self.context.registry.unbind(&user.name, self.number);
        if outcome != UnbindOutcome::NotBound {
            self.context.presence.changed(&user.name);
        }
        if outcome == UnbindOutcome::Last {
            let reason = self.end_reason.get().copied().unwrap_or(reason);
            let extra = || self.event_extra(Some(reason));
            self.context.events.user_off_line(&user.name, extra);
        }
    }

    /// The extra of an event: which connection, and why it has ended.
    fn event_extra(&self, reason: Option<&str>) -> Extra {
        let mut extra = Extra::from_iter([
            (reserved::CONNECTION_ID, self.connection_id()),
            (reserved::ADDRESS, self.address.to_string()),
        ]);
        let others = [
            (reserved::DEVICE_ID, self.device()),
            (reserved::REASON, reason),
        ];
        for (key, value) in others {
            if let Some(value) = value {
                // Existing receivers read no extra that is not ASCII, and a client may
                // have chosen the text.
                let value = escape_ascii(value);
                extra.set(key, &value[..value.len().min(MAX_EVENT_TEXT)]);
            }
        }
        extra
    }
}

impl SessionUser {
    /// The roles of the token that was admitted last.
    fn set_roles(&self, admission: &Admission) {
        let roles = admission.roles();
        let roles = (!roles.is_empty()).then(|| Arc::new(roles.to_vec()));
        self.roles.store(roles);
    }
}

/// Counts a login that has failed, and delays its answer: who guesses tokens waits.
async fn delay_refusal(session: &Weak<Session>, result: &Result<Admission, Refusal>) {
    if result
        .as_ref()
        .is_err_and(|refusal| !refusal.is_temporary())
        && let Some(session) = session.upgrade()
    {
        let delay = session.context.login_attempts.failed(session.address.ip());
        drop(session);
        tokio::time::sleep(delay).await;
    }
}

/// The value of `__resume__`, if the message is a login that has it.
fn resume_request(message: &InboundMessage<'_>) -> Option<String> {
    let raw = message.message();
    let is_login = is_session_call(raw.header) && raw.header.opidx == LOGIN.opidx();
    let resume = raw.extra.get(reserved::RESUME).filter(|_| is_login);
    resume.map(str::to_owned)
}

/// Whether a CALL is `login` or `refresh` of the built-in interface.
pub(super) fn is_session_call(header: Header) -> bool {
    header.ifidx == BUILTIN_INTERFACE
        && (header.opidx == LOGIN.opidx() || header.opidx == REFRESH.opidx())
}

impl Session {
    /// Answers `login` and `refresh` of a client that has logged in, at the latest when
    /// the authenticator has decided about a new token.
    pub(super) fn handle_session_call(&self, message: &mut InboundMessage<'_>) {
        let header = message.message().header;
        let is_login = header.opidx == LOGIN.opidx();
        if is_login {
            self.has_said_login.store(true, Ordering::Release);
        }
        let token = self.present_token(message);
        let (Some(authenticator), Some(token)) = (&self.context.authenticator, token) else {
            if is_login || self.context.authenticator.is_none() {
                return message.answer(&self.login_extra());
            }
            let text = "`refresh` takes a new token, in `__token__`";
            return message.refuse(ErrorCode::ConnectReject, text);
        };
        if self.is_token_of_login(token.hash) {
            if is_login && self.begin_history(header) {
                return;
            }
            return message.answer(&self.login_extra());
        }
        if let Some(text) = self.login_limit() {
            return message.refuse(ErrorCode::ConnectReject, text);
        }
        let Some(call) = self.defer(message) else {
            return;
        };
        let (this, authenticator) = (self.this.clone(), authenticator.clone());
        tokio::spawn(async move {
            let result = authenticator.admit(token.login).await;
            delay_refusal(&this, &result).await;
            if let Some(session) = this.upgrade() {
                session.finish_refresh(result, token.hash, &call);
                session.end_deferral();
            }
        });
    }

    /// Answers the login of a session that has a history, and sends what its client has
    /// missed. Returns false without a history.
    fn begin_history(&self, login: Header) -> bool {
        let (Some(own), Some(this)) = (self.history.get(), self.this.upgrade()) else {
            return false;
        };
        own.history.attach(this, own.handled, |resumption| {
            let mut extra = self.login_extra();
            let recovered = if resumption.is_recovered { "1" } else { "0" };
            extra.set(reserved::EPOCH, format!("{:016x}", resumption.epoch));
            extra.set(reserved::OFFSET, resumption.offset.to_string());
            extra.set(reserved::RECOVERED, recovered);
            let result = match (own.handled, resumption.is_recovered) {
                (None, _) => "new",
                (Some(_), true) => "recovered",
                (Some(_), false) => "incomplete",
            };
            let gateway = Arc::clone(&self.context.name);
            ::metrics::counter!(metrics::RESUMES, GATEWAY => gateway, "result" => result)
                .increment(1);
            if !login.calltype.is_oneway()
                && let Some(connection) = self.connection()
            {
                // Before the pushes, which leave by the same buffer.
                connection.answer(login, &extra);
            }
        });
        true
    }

    fn finish_refresh(
        &self,
        result: Result<Admission, Refusal>,
        token_hash: u64,
        call: &DeferredMessage,
    ) {
        let refused = match result {
            Ok(admission) => self.renew(&admission, token_hash).err(),
            Err(refusal) => Some(refusal),
        };
        match refused {
            None if !call.header.calltype.is_oneway() => {
                call.connection.answer(call.header, &self.login_extra());
            }
            None => {}
            Some(refusal) => call.refuse(ErrorCode::ConnectReject, refusal.text()),
        }
    }

    /// Checks the token of any other CALL: a new one renews the login, and one that is
    /// not accepted changes nothing. The CALL does not wait for it.
    pub(super) fn consider_token(&self, message: &InboundMessage<'_>) {
        let Some(authenticator) = &self.context.authenticator else {
            return;
        };
        let token = message.message().reserved_text(KeySet::TOKEN);
        if token.is_none_or(|token| self.is_token_of_login(self.hash(token))) {
            return;
        }
        {
            let mut state = self.state.lock();
            let now = message.read_at();
            if state.next_unasked_refresh.is_some_and(|at| now < at) {
                return;
            }
            state.next_unasked_refresh = now.checked_add(UNASKED_REFRESH_PAUSE);
        }
        if let Some(token) = self.present_token(message) {
            self.renew_unasked(authenticator, token);
        }
    }

    fn renew_unasked(&self, authenticator: &AuthGuard, token: PresentedToken) {
        let (this, authenticator) = (self.this.clone(), authenticator.clone());
        tokio::spawn(async move {
            // Refusals are counted and logged there.
            let Ok(admission) = authenticator.admit(token.login).await else {
                return;
            };
            let Some(session) = this.upgrade() else {
                return;
            };
            // A client may repeat its first token after it has renewed the login.
            let ends_at = session.login_end(&admission);
            let ends_earlier = match (ends_at, session.state.lock().login_ends_at) {
                (Some(new), Some(old)) => new < old,
                (new, old) => new.is_some() && old.is_none(),
            };
            if !ends_earlier {
                let _ = session.renew(&admission, token.hash);
            }
        });
    }

    /// Renews the login by a token that was admitted: never for another user.
    fn renew(&self, admission: &Admission, token_hash: u64) -> Result<(), Refusal> {
        let user = self.user.get();
        let Some(user) = user.filter(|user| *user.name == *admission.user()) else {
            self.count_login("other_user");
            return Err(Refusal::new(
                "the token is one of another user: this login stays as it is",
            ));
        };
        let mut state = self.state.lock();
        if !matches!(state.login, LoginState::LoggedIn) {
            return Err(Refusal::new("the login has ended"));
        }
        state.login_ends_at = self.login_end(admission);
        self.token_hash.store(token_hash, Ordering::Release);
        user.set_roles(admission);
        Ok(())
    }

    /// The extra of the RETURN of `login` and `refresh`.
    fn login_extra(&self) -> Extra {
        let mut extra = Extra::new();
        if let Some(user) = self.user.get() {
            extra.set(reserved::USER_ID, &user.name);
        }
        if let Some(end) = self.state.lock().login_ends_at {
            let left = end.saturating_duration_since(Instant::now()).as_secs();
            extra.set(reserved::EXPIRES_IN, left.to_string());
        }
        extra
    }
}
