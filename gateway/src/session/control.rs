//! What servers and operators see of sessions, and do with them.

use std::{
    cell::LazyCell,
    collections::HashSet,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use tce_runtime::{
    CloseCode, Extra, Proxy,
    wire::{CallType, Header, Marshal, Operation, Raw, Writer, reserved},
};

use super::{
    Session,
    history::{History, KeptPush, push_id},
    registry::SessionRegistry,
};
use crate::{
    idl::gateway::Push,
    presence::{LocalSessions, SessionRecord},
};

/// Why connections have ended, in events and metrics.
const OPERATOR: &str = "operator";

impl LocalSessions for SessionRegistry {
    fn of_user(&self, user: &str) -> Vec<SessionRecord> {
        let receivers = self.receivers(user, None);
        let sessions = receivers.sessions.iter().map(|session| session.record());
        let away = receivers.histories.iter();
        let away = away.filter_map(|history| self.record_away(history));
        sessions.chain(away).collect()
    }

    fn users(&self) -> Vec<Arc<str>> {
        let mut users = HashSet::new();
        self.for_each(|session| users.extend(session.user()));
        users.into_iter().collect()
    }

    fn users_away(&self) -> Vec<Arc<str>> {
        Self::users_away(self)
    }

    fn user_count(&self) -> usize {
        Self::users(self)
    }

    fn session_count(&self) -> usize {
        let mut count = 0;
        self.for_each(|session| count += usize::from(session.user().is_some()));
        count
    }
}

impl SessionRegistry {
    /// Closes the connections of a user, and ends the histories of the user's clients that
    /// are away; with a device id only those of the device. Returns how many connections.
    pub(crate) fn disconnect(&self, user: &str, device: &str, reason: &str) -> usize {
        self.end_away(user, device);
        let sessions = self.sessions_of(user);
        let sessions = sessions.iter();
        let ended = sessions.filter(|session| device.is_empty() || session.has_device(device));
        ended.map(|session| session.disconnect(reason)).count()
    }

    /// Closes the connections of all users, and ends the histories of clients that are
    /// away. Returns how many connections.
    pub(crate) fn disconnect_all(&self, reason: &str) -> usize {
        for user in self.users_away() {
            self.end_away(&user, "");
        }
        let mut count = 0;
        self.for_each(|session| {
            if session.user().is_some() {
                session.disconnect(reason);
                count += 1;
            }
        });
        count
    }

    /// The session of a client that is away; `None` if it is not expected here.
    fn record_away(&self, history: &History) -> Option<SessionRecord> {
        let since = SystemTime::now().checked_sub(history.waits_for()?)?;
        Some(SessionRecord {
            connection_id: String::new(),
            device_id: history.device().unwrap_or_default().to_owned(),
            address: String::new(),
            endpoint: self.endpoint_keys.name(history.endpoint).to_string(),
            since: unix_millis(since),
            epoch: Some(history.epoch),
        })
    }

    /// Sends a oneway CALL to the sessions of a user, or to that of the device in its
    /// extra, those of clients that are away included. Returns whether there is one.
    pub(crate) fn push(&self, user: &str, message: &Push) -> bool {
        let device = message.extra.get(reserved::DEVICE_ID);
        let receivers = self.receivers(user, device.map(String::as_str));
        let copy = LazyCell::new(|| kept_push(message));
        let id = message.extra.get(reserved::PUSH_ID);
        let id = id.and_then(|id| push_id(id));
        let mut is_reached = false;
        for session in &receivers.sessions {
            is_reached |= match session.history() {
                Some(history) => history.push(&copy, id),
                None => {
                    session.push(message);
                    true
                }
            };
        }
        // The gateway to which a client has moved gets the push, too.
        let waiting = receivers.histories.iter();
        for history in waiting.filter(|history| history.waits_for().is_some()) {
            is_reached |= history.push(&copy, id);
        }
        is_reached
    }
}

impl Session {
    /// The session, as other gateways and servers see it.
    pub(crate) fn record(&self) -> SessionRecord {
        let endpoint = self.context.endpoint_keys.name(self.endpoint);
        SessionRecord {
            connection_id: self.connection_id(),
            device_id: self.device().unwrap_or_default().to_owned(),
            address: self.address.to_string(),
            endpoint: endpoint.to_string(),
            since: unix_millis(self.since),
            epoch: self.history().map(|history| history.epoch),
        }
    }

    fn has_device(&self, device: &str) -> bool {
        self.device() == Some(device)
    }

    /// Ends the connection as an operator says.
    fn disconnect(&self, reason: &str) {
        // No push arrives after the end of the login.
        self.log_out(OPERATOR);
        self.end(OPERATOR, CloseCode::Ended, reason);
    }

    /// Sends a oneway CALL, unless the client reads too slowly to have capacity for it.
    fn push(&self, message: &Push) {
        let (Some(connection), Some((ifidx, opidx))) = (self.connection(), indices(message)) else {
            return;
        };
        let operation = Operation::new("push", ifidx, opidx);
        let proxy = Proxy::new(&connection).with_extra(client_extra(message));
        // It is sent although the future is dropped.
        drop(proxy.oneway(&operation, Raw(&message.parameters)));
    }
}

fn unix_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A CALL as histories keep it.
fn kept_push(message: &Push) -> KeptPush {
    let (ifidx, opidx) = indices(message).unwrap_or_default();
    let mut bytes = Vec::new();
    let mut out = Writer::new(&mut bytes);
    Header::call(CallType::ONEWAY, 0, ifidx, opidx).marshal(&mut out);
    Extra::from_iter(client_extra(message)).marshal(&mut out);
    Raw(&message.parameters).marshal(&mut out);
    bytes.into()
}

/// The entries of the extra that clients receive.
fn client_extra(message: &Push) -> impl Iterator<Item = (&String, &String)> {
    let extra = message.extra.iter();
    extra.filter(|(key, _)| !is_reserved(key))
}

/// Whether a key of an extra is for gateways and servers.
fn is_reserved(key: &str) -> bool {
    key.starts_with("__") && key.ends_with("__")
}

/// Whether the indices of interface and operation are valid.
pub(crate) fn is_valid_push(message: &Push) -> bool {
    indices(message).is_some()
}

/// The indices of the interface and the operation; `None` if they are not valid.
fn indices(message: &Push) -> Option<(u16, u16)> {
    let ifidx = message.ifidx.try_into().ok()?;
    Some((ifidx, message.opidx.try_into().ok()?))
}
