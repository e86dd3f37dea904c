//! The interfaces of `idl/gateway.idl` that servers implement: an authenticator,
//! and a listener for users who log in and disconnect.

use std::{sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tce_runtime::{Connection, ErrorCode, Extra, Pending, Proxy, RpcError, Side, wire::Operation};
use tokio::sync::mpsc;

use super::{Admission, Authenticator, Login, Refusal};
use crate::metrics::ReasonCounters;

/// The interface index of `gateway.IAuthenticator` if services.xml does not
/// define it.
pub const AUTHENTICATOR_INDEX: u16 = 65001;

/// The interface index of `gateway.IUserEventListener` if services.xml does not
/// define it.
pub(crate) const LISTENER_INDEX: u16 = 65002;

/// Calls `gateway.IAuthenticator` of a server (`auth="interface"`).
#[derive(Debug)]
pub struct InterfaceAuthenticator {
    proxy: Proxy,
    operation: Operation,
}

impl InterfaceAuthenticator {
    /// Calls on `connection`, with the interface index of services.xml and a
    /// time limit.
    #[must_use]
    pub fn new(connection: &Connection, ifidx: u16, time: Duration) -> Self {
        Self {
            // Over a queue the call expires with its time limit, so that servants
            // do not work for clients that were disconnected.
            proxy: Proxy::new(connection).with_timeout(time),
            operation: Operation::new("gateway::IAuthenticator::authenticate", ifidx, 0),
        }
    }
}

impl Authenticator for InterfaceAuthenticator {
    async fn authenticate(&self, login: Login) -> Result<Admission, Refusal> {
        let device_id = login.device_id.unwrap_or_default();
        let answer: Pending<String> = self.proxy.call(&self.operation, (login.token, device_id));
        let user = answer.await.map_err(|error| refusal(&error))?;
        if user.is_empty() {
            return Err(Refusal::new("the token is not accepted"));
        }
        Ok(Admission::new(user))
    }
}

/// The text of CONNECT_REJECT is meant for the client. Any other error may
/// disclose internals of the server.
fn refusal(error: &RpcError) -> Refusal {
    match (error.side(), error.code()) {
        (Side::Remote, ErrorCode::ConnectReject) => Refusal::new(error.text().to_owned()),
        _ => Refusal::unavailable().because(error.to_string()),
    }
}

/// The maximum number of events that wait to be sent; beyond it the newest are
/// dropped and counted.
const EVENT_CAPACITY: usize = 65_536;

/// Called with a user id, and whether the user is on line.
type UserListener = Arc<dyn Fn(&str, bool) + Send + Sync>;

/// Reports users who log in and disconnect, in the order of the events.
#[derive(Default, Clone)]
pub(crate) struct UserEvents {
    remote: Option<(mpsc::Sender<UserEvent>, ReasonCounters)>,
    listeners: Vec<UserListener>,
    order: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct UserEvent {
    user: Arc<str>,
    is_on_line: bool,
    extra: Extra,
}

impl UserEvents {
    /// Adds a listener within the program.
    pub(crate) fn add_listener(&mut self, listener: impl Fn(&str, bool) + Send + Sync + 'static) {
        self.listeners.push(Arc::new(listener));
    }

    /// Sends the events of `gateway` on `connection`, too, as oneway calls of
    /// `gateway.IUserEventListener`.
    pub(crate) fn send_to(
        &mut self,
        connection: &Connection,
        ifidx: u16,
        gateway: &str,
        dropped: &ReasonCounters,
    ) {
        let (sender, receiver) = mpsc::channel(EVENT_CAPACITY);
        let sending = send_events(
            Proxy::new(connection),
            ifidx,
            gateway.to_owned(),
            receiver,
            dropped.clone(),
        );
        tokio::spawn(sending);
        self.remote = Some((sender, dropped.clone()));
    }

    /// Held while a user's connection changes and the event is reported: threads that
    /// do both at once would otherwise report them in another order.
    pub(crate) fn in_order(&self) -> MutexGuard<'_, ()> {
        self.order.lock()
    }

    /// A user has logged in; `extra` is that of the event.
    pub(crate) fn user_on_line(&self, user: &Arc<str>, extra: impl FnOnce() -> Extra) {
        self.report(user, true, extra);
    }

    /// The last connection of a user has ended.
    pub(crate) fn user_off_line(&self, user: &Arc<str>, extra: impl FnOnce() -> Extra) {
        self.report(user, false, extra);
    }

    fn report(&self, user: &Arc<str>, is_on_line: bool, extra: impl FnOnce() -> Extra) {
        for listener in &self.listeners {
            listener(user, is_on_line);
        }
        let Some((sender, dropped)) = &self.remote else {
            return;
        };
        let event = UserEvent {
            user: Arc::clone(user),
            is_on_line,
            extra: extra(),
        };
        if sender.try_send(event).is_err() {
            dropped.count("user_event");
        }
    }
}

async fn send_events(
    proxy: Proxy,
    ifidx: u16,
    gateway: String,
    mut events: mpsc::Receiver<UserEvent>,
    dropped: ReasonCounters,
) {
    let on_line = Operation::new("gateway::IUserEventListener::onUserOnLine", ifidx, 0);
    let off_line = Operation::new("gateway::IUserEventListener::onUserOffLine", ifidx, 1);
    while let Some(event) = events.recv().await {
        let UserEvent {
            user,
            is_on_line,
            extra,
        } = event;
        let operation = if is_on_line { &on_line } else { &off_line };
        let proxy = proxy.with_extra(extra.iter());
        let sent = proxy.oneway(operation, (&*user, gateway.as_str())).await;
        if let Err(error) = sent {
            dropped.count("user_event");
            tracing::warn!(%user, is_on_line, "can't send the event of a user: {error}");
        }
    }
}
