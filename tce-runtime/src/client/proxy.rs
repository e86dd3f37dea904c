//! What every generated proxy wraps.

use std::time::{Duration, Instant};

use super::{
    Pending,
    call::{send, send_later, send_oneway},
    pending::State,
};
use crate::{
    communicator::Communicator,
    connection::{CallOptions, Connection, Context, NotSent},
    error::RpcError,
    in_flight::after,
    wire::{Marshal, Operation, Unmarshal, Writer, reserved},
};

/// A peer's object, and the defaults of the calls to it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Proxy {
    connection: Connection,
    options: CallOptions,
}

impl Proxy {
    /// Connects to an endpoint: [`Communicator::connect`].
    ///
    /// # Errors
    /// CONNECT_UNREACHABLE or CONNECT_FAILED.
    pub async fn connect(communicator: &Communicator, endpoint: &str) -> Result<Self, RpcError> {
        Ok(Self::new(&communicator.connect(endpoint).await?))
    }

    /// A proxy on a connection that exists (TCE's `createWithProxy`).
    #[must_use]
    pub fn new(connection: &Connection) -> Self {
        Self {
            connection: connection.clone(),
            options: CallOptions::default(),
        }
    }

    /// A proxy to whoever made the call that a servant answers, directly or
    /// through a gateway.
    #[must_use]
    pub fn to_caller(ctx: &Context) -> Self {
        match ctx.user_id() {
            Some(user) => Self::to_user(ctx.connection(), user),
            None => Self::new(ctx.connection()),
        }
    }

    /// A proxy to a user by `gateway`, a connection to the gateway where that
    /// user is: its queue, or the connection on which it calls. Gateways pass
    /// such calls on as oneway, and drop them where the user has gone.
    ///
    /// ```no_run
    /// # use tce_runtime::{Communicator, Proxy, RpcError};
    /// # async fn push(communicator: Communicator) -> Result<(), RpcError> {
    /// let gateway = communicator.connect("mq:mq_gateway").await?;
    /// let scott = Proxy::to_user(&gateway, "scott");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn to_user(gateway: &Connection, user: &str) -> Self {
        Self::new(gateway).with_extra([(reserved::USER_ID, user)])
    }

    /// The connection that it calls on.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The same proxy with another timeout for its twoway calls.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        let mut proxy = self.clone();
        proxy.options.timeout = Some(timeout);
        proxy
    }

    /// The same proxy whose calls over a message queue are dropped unprocessed
    /// when no servant has taken them after `linger` (`__linger_time__`, in
    /// whole seconds, rounded up). Over a stream it does nothing.
    #[must_use]
    pub fn with_linger(&self, linger: Duration) -> Self {
        let mut proxy = self.clone();
        proxy.options.linger = Some(linger);
        proxy
    }

    /// The same proxy with pairs that travel beside each of its calls, added
    /// to those that it has.
    #[must_use]
    pub fn with_extra<K: AsRef<str>, V: AsRef<str>>(
        &self,
        extra: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let mut proxy = self.clone();
        proxy.options.extra.extend(extra);
        proxy
    }

    /// Calls twoway. The call is sent now; the result is awaited whenever it
    /// is needed.
    pub fn call<P: Marshal, T: Unmarshal>(&self, operation: &Operation, params: P) -> Pending<T> {
        let timeout = self.options.timeout(&self.connection);
        let deadline = after(Instant::now(), timeout);
        let state = match send(
            &self.connection,
            operation,
            &self.options,
            deadline,
            &params,
        ) {
            Ok(sequence) => State::Sent(sequence),
            Err(NotSent::Never(error)) => State::Over(Some(error)),
            Err(NotSent::Later) => {
                let (connection, options) = (self.connection.clone(), self.options.clone());
                let mut marshalled = Vec::new();
                params.marshal(&mut Writer::new(&mut marshalled));
                State::Later(Box::pin(send_later(
                    connection, *operation, options, deadline, marshalled,
                )))
            }
        };
        Pending::new(state, *operation, self.connection.clone(), timeout)
    }

    /// Calls oneway: done when the call is in the send buffer. Where the
    /// buffer is full it waits for room, until the proxy's timeout.
    ///
    /// # Errors
    /// SENDFAILED, or why there is no connection.
    pub async fn oneway<P: Marshal>(
        &self,
        operation: &Operation,
        params: P,
    ) -> Result<(), RpcError> {
        send_oneway(&self.connection, operation, &self.options, params)
            .await
            .map_err(|error| {
                error
                    .of_operation(operation.name())
                    .at_peer(self.connection.peer())
            })
    }

    /// Asks the peer's adapter whether it is there, by the built-in interface
    /// 65535. An existing TCE server has no such interface.
    ///
    /// # Errors
    /// As any twoway call.
    pub async fn ping(&self) -> Result<(), RpcError> {
        self.call(&crate::connection::PING, ()).await
    }

    /// Asks the peer's adapter what it serves: texts of IDL, each of which
    /// imports nothing and has every index written. By the built-in interface
    /// 65535, which a server may keep silent about
    /// ([`Options::describes`](crate::config::Options)).
    ///
    /// # Errors
    /// As any twoway call; INTERFACE_NOTFOUND from an existing TCE server, or
    /// one that keeps silent.
    pub async fn describe(&self) -> Result<Vec<String>, RpcError> {
        self.call(&crate::connection::DESCRIBE, ()).await
    }
}
