//! What comes from the servers: RETURNs for clients, and calls to them.

use std::sync::Arc;

use tce_runtime::{
    Connection, Disposition, ErrorCode, InboundMessage, MessageHandler,
    wire::{RawMessage, reserved},
};

use crate::{
    session::{Clients, Session},
    slots::Slot,
    upstream::{SERVER_GONE, Via},
};

/// Passes what comes by one endpoint, or one of its hosts, to the clients.
pub(crate) struct Arrivals {
    clients: Arc<Clients>,
    endpoint: Slot,
    /// The host, where it is none of a broker.
    host: Option<Via>,
}

impl Arrivals {
    pub(crate) fn new(clients: &Arc<Clients>, endpoint: Slot, host: Option<Via>) -> Self {
        Self {
            clients: Arc::clone(clients),
            endpoint,
            host,
        }
    }

    /// The client whose user the message names.
    fn client(&self, message: &RawMessage<'_>) -> Option<Arc<Session>> {
        let user = message.extra.get(reserved::USER_ID)?;
        self.clients.users.get(user)
    }

    fn returned(&self, passing: &mut InboundMessage<'_>) -> Disposition {
        let message = passing.message();
        // Servants of old leave the header's fields of an error empty.
        if !message.header.is_routed() && message.extra.get(reserved::USER_ID).is_none() {
            return Disposition::Local;
        }
        match self.client(&message) {
            Some(client) => client.returned(passing),
            None => self.clients.core.drops.count("user_gone"),
        }
        Disposition::Handled
    }

    fn called(&self, passing: &mut InboundMessage<'_>) -> Disposition {
        let message = passing.message();
        if message.extra.get(reserved::USER_ID).is_some() {
            match self.client(&message) {
                Some(client) => client.push(passing),
                None => self.clients.core.drops.count("user_gone"),
            }
            passing.refuse(
                ErrorCode::SendFailed,
                "the gateway passes calls to users oneway: nobody answers this one",
            );
            return Disposition::Handled;
        }
        if passing.has_servant() {
            return Disposition::Local;
        }
        match self.audience(message.header.ifidx) {
            Some(endpoint) => self.clients.for_each(|session| {
                if session.endpoint == endpoint && session.user().is_some() {
                    session.push(passing);
                }
            }),
            None => return self.without_user(passing),
        }
        Disposition::Handled
    }

    /// The endpoint whose clients hear what comes without a user: only a topic
    /// speaks to everybody.
    fn audience(&self, ifidx: u16) -> Option<Slot> {
        self.clients
            .core
            .table
            .load()
            .broadcast(ifidx, self.endpoint)
    }

    fn without_user(&self, passing: &InboundMessage<'_>) -> Disposition {
        if self.clients.core.serves(passing.message().header.ifidx) {
            return Disposition::Local;
        }
        if passing.message().header.calltype.is_oneway() {
            self.clients.core.drops.count("no_user");
            return Disposition::Handled;
        }
        // The runtime answers that nobody serves it.
        Disposition::Local
    }
}

impl MessageHandler for Arrivals {
    fn handle(&self, passing: &mut InboundMessage<'_>) -> Disposition {
        let calltype = passing.message().header.calltype;
        if calltype.is_return() {
            self.returned(passing)
        } else if calltype.is_call() {
            self.called(passing)
        } else {
            Disposition::Local
        }
    }

    fn disconnected(&self, connection: &Connection, reason: &str) {
        let Some(via) = self.host else {
            return;
        };
        tracing::warn!(server = connection.peer(), "a server has gone: {reason}");
        self.clients.for_each(|session| {
            session.fail_calls(ErrorCode::ConnectionLost, SERVER_GONE, |call| {
                call.via == Some(via)
            });
        });
    }
}
