//! Tells who wants to know that users come and go.

use std::sync::Arc;

use tce_runtime::{Connection, Proxy, wire::Operation};
use tokio::sync::mpsc;

use crate::drops::Drops;

/// The interface index of `gateway.IUserEventListener` where services.xml gives
/// it none.
pub(crate) const LISTENER_INDEX: u16 = 65002;

/// The events that may wait: past them the newest are dropped and counted.
const WAITING: usize = 65_536;

/// Who hears of a user: the id, and whether the user came.
type Listener = Arc<dyn Fn(&str, bool) + Send + Sync>;

/// Takes events, in the order in which they happen.
#[derive(Default, Clone)]
pub(crate) struct UserEvents {
    sent: Option<(mpsc::Sender<Event>, Drops)>,
    listeners: Vec<Listener>,
}

#[derive(Debug)]
struct Event {
    user: Arc<str>,
    is_on_line: bool,
}

impl UserEvents {
    /// Tells `listener`, too.
    pub(crate) fn listen(&mut self, listener: impl Fn(&str, bool) + Send + Sync + 'static) {
        self.listeners.push(Arc::new(listener));
    }

    /// Sends events on `connection`, too, as calls of `gateway`.
    pub(crate) fn send(
        &mut self,
        connection: &Connection,
        ifidx: u16,
        gateway: &str,
        drops: &Drops,
    ) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let proxy = Proxy::new(connection);
        let drops_of_telling = drops.clone();
        tokio::spawn(tell(
            proxy,
            ifidx,
            gateway.to_owned(),
            receiver,
            drops_of_telling,
        ));
        self.sent = Some((sender, drops.clone()));
    }

    pub(crate) fn on_line(&self, user: &Arc<str>) {
        self.happened(user, true);
    }

    pub(crate) fn off_line(&self, user: &Arc<str>) {
        self.happened(user, false);
    }

    fn happened(&self, user: &Arc<str>, is_on_line: bool) {
        for listener in &self.listeners {
            listener(user, is_on_line);
        }
        let Some((sender, drops)) = &self.sent else {
            return;
        };
        let event = Event {
            user: Arc::clone(user),
            is_on_line,
        };
        if sender.try_send(event).is_err() {
            drops.count("user_event");
        }
    }
}

async fn tell(
    proxy: Proxy,
    ifidx: u16,
    gateway: String,
    mut events: mpsc::Receiver<Event>,
    drops: Drops,
) {
    let on_line = Operation::new("gateway::IUserEventListener::onUserOnLine", ifidx, 0);
    let off_line = Operation::new("gateway::IUserEventListener::onUserOffLine", ifidx, 1);
    while let Some(Event { user, is_on_line }) = events.recv().await {
        let operation = if is_on_line { &on_line } else { &off_line };
        let told = proxy.oneway(operation, (&*user, gateway.as_str())).await;
        if let Err(error) = told {
            drops.count("user_event");
            tracing::warn!(%user, is_on_line, "an event of a user was not told: {error}");
        }
    }
}
