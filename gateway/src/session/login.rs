//! Who the user of a connection is.

use std::sync::Arc;

use tce_runtime::{Disposition, ErrorCode, InboundMessage, wire::reserved};

use super::{Session, kept::Kept, users::Bound};
use crate::{auth, session::context::Core};

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum Login {
    /// It is to have a user id of its own.
    Anonymous,
    /// Its first message says who it is.
    Awaited,
    /// That is being looked at.
    UnderWay,
    Known(Arc<str>),
    /// It is not let in, or has ended.
    Over,
}

impl Login {
    pub(super) fn new(core: &Core) -> Self {
        if core.authenticator.is_some() {
            Self::Awaited
        } else {
            Self::Anonymous
        }
    }

    pub(super) fn user(&self) -> Option<&Arc<str>> {
        match self {
            Self::Known(user) => Some(user),
            _ => None,
        }
    }

    /// Whether the client has yet to say who it is.
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited)
    }
}

impl Session {
    /// Gives a connection that has no user to name a user id of its own.
    pub(super) fn begin_login(&self) {
        if matches!(self.lock().login, Login::Anonymous) {
            let user = self.core.anonymous(self.number);
            self.bind(&user);
        }
    }

    /// Begins to look at who the client is. Its message waits until that is
    /// known, and all later ones behind it.
    pub(super) fn log_in(&self, passing: &mut InboundMessage<'_>) -> Disposition {
        let guard = match (&self.lock().login, &self.core.authenticator) {
            (Login::Awaited, Some(guard)) => guard.clone(),
            // What was on its way when the connection ended.
            _ => return Disposition::Handled,
        };
        let message = passing.message();
        let Some(token) = message.extra.get(reserved::TOKEN) else {
            let text = "log in first: the first message has to carry `__token__`";
            self.refuse(passing, ErrorCode::ConnectReject, "no_token", text);
            self.turn_away("no_token");
            return Disposition::Handled;
        };
        let login = auth::Login {
            token: token.to_owned(),
            device_id: message.extra.get(reserved::DEVICE_ID).map(str::to_owned),
            peer: self.address.to_string(),
        };
        let Some(first) = self.keep(passing) else {
            return Disposition::Handled;
        };
        self.lock().login = Login::UnderWay;
        let this = self.this.clone();
        tokio::spawn(async move {
            let admitted = guard.admit(login).await;
            if let Some(session) = this.upgrade() {
                session.logged_in(admitted, &first);
            }
        });
        Disposition::Handled
    }

    fn logged_in(&self, admitted: Result<String, auth::Refusal>, first: &Kept) {
        let user: Arc<str> = match admitted {
            Ok(user) => user.into(),
            Err(refusal) => {
                first.refuse(ErrorCode::ConnectReject, refusal.text());
                return self.turn_away("not_admitted");
            }
        };
        if !self.bind(&user) {
            let text = "this user is logged in already, on another connection";
            first.refuse(ErrorCode::ConnectReject, text);
            return self.turn_away("second_login");
        }
        // The first message is handled before any other is read.
        self.resume(first);
        self.read_on();
    }

    /// Makes the connection the user's. False where another one stays it.
    fn bind(&self, user: &Arc<str>) -> bool {
        let Some(this) = self.this.upgrade() else {
            return false;
        };
        let bound = {
            // Under the lock, so that the end of the connection comes before or
            // after, and finds the user in both places or in none.
            let mut state = self.lock();
            if matches!(state.login, Login::Over) {
                return false;
            }
            let bound = self.clients.users.bind(user, &this);
            if !matches!(bound, Bound::Refused) {
                state.login = Login::Known(Arc::clone(user));
            }
            bound
        };
        match bound {
            Bound::Refused => return false,
            Bound::Replaced(old) => old.end("second_login"),
            Bound::New => self.core.events.user_on_line(user),
        }
        true
    }

    fn turn_away(&self, reason: &'static str) {
        self.lock().login = Login::Over;
        self.end(reason);
    }

    /// The connection has ended.
    pub(super) fn log_out(&self) {
        let login = std::mem::replace(&mut self.lock().login, Login::Over);
        if let Login::Known(user) = login
            && self.clients.users.unbind(&user, self.number)
        {
            self.core.events.user_off_line(&user);
        }
    }
}
