//! The login of a connection: from the token in its first message to a user.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Instant, SystemTime},
};

use tce_runtime::{
    ErrorCode,
    forwarding::{Disposition, InboundMessage},
    wire::KeySet,
};

use super::{DeferredMessage, LoginState, Session, SessionUser, registry::BindOutcome};
use crate::{auth, metrics};

impl Session {
    /// Gives a connection that does not log in a user id of its own.
    pub(super) fn log_in_anonymous(&self) {
        if matches!(self.state.lock().login, LoginState::Anonymous) {
            let user = self.context.anonymous_user(self.number);
            self.bind(&user);
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
        let raw = message.message();
        let Some(token) = raw.reserved_text(KeySet::TOKEN) else {
            let text = "log in first: the first message must carry `__token__`";
            self.count_refused(
                message.message().header,
                ErrorCode::ConnectReject,
                "no_token",
            );
            message.refuse(ErrorCode::ConnectReject, text);
            self.reject("no_token");
            return Disposition::Handled;
        };
        if !self.context.login_attempts.may_try(self.address.ip()) {
            ::metrics::counter!(metrics::LOGINS, "result" => "limited").increment(1);
            let text = "too many logins from this address have failed; try again in a minute";
            message.refuse(ErrorCode::ConnectReject, text);
            self.reject("max_failed_logins");
            return Disposition::Handled;
        }
        let login = auth::Login {
            token: token.to_owned(),
            device_id: raw.reserved_text(KeySet::DEVICE_ID).map(str::to_owned),
            peer: self.address.to_string(),
        };
        let Some(first) = self.defer(message) else {
            return Disposition::Handled;
        };
        self.state.lock().login = LoginState::InProgress;
        let this = self.this.clone();
        tokio::spawn(async move {
            let result = authenticator.admit(login).await;
            if let Some(session) = this.upgrade() {
                session.finish_login(result, &first);
            }
        });
        Disposition::Handled
    }

    fn finish_login(
        &self,
        result: Result<auth::Admission, auth::Refusal>,
        first: &DeferredMessage,
    ) {
        let admission = match result {
            Ok(admission) => admission,
            Err(refusal) => {
                if !refusal.is_temporary() {
                    self.context.login_attempts.failed(self.address.ip());
                }
                first.refuse(ErrorCode::ConnectReject, refusal.text());
                return self.reject("not_admitted");
            }
        };
        let user = admission.user().into();
        self.state.lock().login_ends_at = self.login_end(&admission);
        if !self.bind(&user) {
            let text = "this user is already logged in, on another connection";
            first.refuse(ErrorCode::ConnectReject, text);
            return self.reject("second_login");
        }
        // The first message is handled before any other is read.
        self.resume(first);
        self.end_deferral();
    }

    /// When a login that begins now ends: as the authenticator says, and after
    /// `login_time` at the latest.
    fn login_end(&self, admission: &auth::Admission) -> Option<Instant> {
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
        self.log_out();
        let text = "the login has expired: log in again";
        self.end("login_expired", ErrorCode::ConnectReject, text);
    }

    /// Binds the user to this session. Returns false if the user stays bound to
    /// another session, or the connection has ended.
    fn bind(&self, user: &Arc<str>) -> bool {
        let Some(this) = self.this.upgrade() else {
            return false;
        };
        let _in_order = self.context.events.in_order();
        let outcome = {
            // The session stays locked: it and the registry change together, so
            // that a disconnect finds the user in both or in neither.
            let mut state = self.state.lock();
            if matches!(state.login, LoginState::Closed) {
                return false;
            }
            let outcome = self.context.registry.bind(user, &this);
            if !matches!(outcome, BindOutcome::Refused) {
                state.login = LoginState::LoggedIn;
                // A session logs in once.
                self.user.get_or_init(|| SessionUser::new(user));
                self.is_logged_in.store(true, Ordering::Release);
            }
            outcome
        };
        match outcome {
            BindOutcome::Refused => return false,
            BindOutcome::Replaced(old) => {
                let text = "the user has logged in on another connection";
                old.end("second_login", ErrorCode::ConnectReject, text);
            }
            BindOutcome::New => self.context.events.user_on_line(user),
        }
        true
    }

    fn reject(&self, reason: &'static str) {
        self.state.lock().login = LoginState::Closed;
        self.close(reason);
    }

    /// The connection has ended.
    pub(super) fn log_out(&self) {
        let _in_order = self.context.events.in_order();
        self.is_logged_in.store(false, Ordering::Release);
        let login = std::mem::replace(&mut self.state.lock().login, LoginState::Closed);
        if let (LoginState::LoggedIn, Some(user)) = (login, self.user.get())
            && self.context.registry.unbind(&user.name, self.number)
        {
            self.context.events.user_off_line(&user.name);
        }
    }
}
