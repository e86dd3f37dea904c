//! The routes to a user who may be logged in at any gateway.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use super::call::{Oneway, oneway, twoway};
use crate::{
    connection::{CallOptions, Connection},
    error::{ErrorCode, RpcError},
    wire::{DecodeError, Extra, Marshal, Operation, Raw, Reader, Unmarshal, Writer, reserved},
};

/// The index of `gateway.IGatewayControl`.
const CONTROL: u16 = 65003;
const SESSIONS: Operation = Operation::new("gateway::IGatewayControl::sessions", CONTROL, 0);
const PUSH: Operation = Operation::new("gateway::IGatewayControl::push", CONTROL, 6);

/// How oneway calls reach a user. Clones share the routes.
#[derive(Debug, Clone)]
pub(super) enum UserRoutes {
    /// By these connections, one to each gateway where the user has a session.
    Gateways(Arc<[Connection]>),
    /// By a gateway, which knows how to reach the others.
    Relayed { gateway: Connection, user: Arc<str> },
}

impl UserRoutes {
    /// Looks the user up at a gateway.
    pub(super) async fn find(gateway: &Connection, user: &str) -> Result<Self, RpcError> {
        let options = CallOptions::default();
        let sessions = twoway::<Vec<UserSession>>(gateway, &SESSIONS, &options, (user,));
        let mut sessions = sessions.await?;
        if sessions.is_empty() {
            let text = format!("the user `{user}` is not on line");
            let error = RpcError::new(ErrorCode::UserOffline, text);
            return Err(error.at_peer(gateway.peer()));
        }
        sessions.sort_by(|one, other| one.gateway().cmp(&other.gateway()));
        sessions.dedup_by(|one, other| one.gateway() == other.gateway());
        let routes = sessions.iter().map(|session| session.route(gateway));
        let routes: Option<Arc<[Connection]>> = routes.collect();
        Ok(match routes {
            Some(routes) => Self::Gateways(routes),
            None => Self::Relayed {
                gateway: gateway.clone(),
                user: user.into(),
            },
        })
    }

    /// The connection that carries the calls, or the first of several.
    pub(super) fn connection(&self) -> &Connection {
        match self {
            // A user who is on line has a session.
            Self::Gateways(routes) => &routes[0],
            Self::Relayed { gateway, .. } => gateway,
        }
    }

    /// Calls oneway by all routes.
    pub(super) fn oneway(
        &self,
        operation: &Operation,
        options: &CallOptions,
        params: impl Marshal,
    ) -> Oneway {
        let mut parameters = Vec::new();
        params.marshal(&mut Writer::new(&mut parameters));
        match self {
            Self::Gateways(routes) => {
                let mut options = options.clone();
                if routes.len() > 1 {
                    // The client may move from one of them to another meanwhile.
                    options.extra.set(reserved::PUSH_ID, new_push_id());
                }
                let call = |route| oneway(route, operation, &options, Raw(&parameters));
                Oneway::by_any_of(routes.iter().map(call).collect())
            }
            Self::Relayed { gateway, user } => {
                let message = RelayedCall {
                    operation,
                    extra: &options.extra,
                    parameters: &parameters,
                };
                let options = CallOptions {
                    extra: Extra::new(),
                    ..options.clone()
                };
                oneway(gateway, &PUSH, &options, ([&**user].as_slice(), message))
            }
        }
    }
}

/// A random `__push_id__`.
#[must_use]
pub fn new_push_id() -> String {
    // Each state has random keys.
    format!("{:016x}", RandomState::new().hash_one(()))
}

/// `gateway.Session`, as far as it is needed: also one whose client is away, for which the
/// gateway keeps what is sent.
struct UserSession {
    gateway: String,
    queue: String,
    is_here: bool,
}

impl UserSession {
    /// What distinguishes the gateways of sessions. Others without queues may have one
    /// name: the gateway that has answered tells them apart.
    fn gateway(&self) -> (&str, &str, bool) {
        (&self.gateway, &self.queue, self.is_here)
    }

    /// The connection to the session's gateway; `None` if only the gateway that has
    /// answered by `gateway` can reach it.
    fn route(&self, gateway: &Connection) -> Option<Connection> {
        let by_queue = gateway.to_queue(&self.queue);
        match self.queue.is_empty() {
            false if by_queue.is_some() => by_queue,
            // A queue that several gateways read leads to any of them.
            _ => (self.is_here && !gateway.is_queue()).then(|| gateway.clone()),
        }
    }
}

impl Unmarshal for UserSession {
    const MIN_SIZE: usize = 7 * String::MIN_SIZE + i64::MIN_SIZE + bool::MIN_SIZE;

    fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // The user, the device, the connection id, the address, the endpoint.
        for _ in 0..5 {
            String::unmarshal(input)?;
        }
        // The time.
        i64::unmarshal(input)?;
        Ok(Self {
            gateway: String::unmarshal(input)?,
            queue: String::unmarshal(input)?,
            is_here: bool::unmarshal(input)?,
        })
    }
}

/// `gateway.Push`.
struct RelayedCall<'a> {
    operation: &'a Operation,
    extra: &'a Extra,
    parameters: &'a [u8],
}

impl Marshal for RelayedCall<'_> {
    fn marshal(&self, out: &mut Writer<'_>) {
        i32::from(self.operation.ifidx()).marshal(out);
        i32::from(self.operation.opidx()).marshal(out);
        // Both are dictionaries of strings.
        self.extra.marshal(out);
        self.parameters.marshal(out);
    }
}
