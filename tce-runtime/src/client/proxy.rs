//! Proxies: the untyped one, and what all generated ones have in common.

use std::time::Duration;

use super::{
    call::{Oneway, Pending, intercepted_oneway, intercepted_twoway, oneway, twoway},
    user_routes::UserRoutes,
};
use crate::{
    communicator::Communicator,
    connection::{CallOptions, Connection, Context},
    error::RpcError,
    interceptor::{ClientInterceptor, ClientInterceptors},
    wire::{BUILTIN_INTERFACE, Marshal, Operation, Raw, Unmarshal, Writer, reserved},
};

/// A proxy of one interface: what all generated proxies (`ServerPrx`) have in
/// common. [`prelude`](crate::prelude) and each generated module bring it into
/// scope: `use tce_runtime::prelude::*`, or `use test::*`.
///
/// A proxy is cheap to clone. The `with_…` methods return a clone with other
/// options and leave the original as it is.
///
/// ```no_run
/// # use tce_runtime::{Pending, Proxy};
/// # #[derive(Clone)]
/// # struct ServerPrx(Proxy);
/// # impl TypedProxy for ServerPrx {
/// #     fn from_proxy(proxy: Proxy) -> Self { Self(proxy) }
/// #     fn as_proxy(&self) -> &Proxy { &self.0 }
/// # }
/// # impl ServerPrx { fn echo(&self, _: &str) -> Pending<String> { unimplemented!() } }
/// use std::time::Duration;
/// use tce_runtime::prelude::*;
///
/// # async fn call() -> Result<(), RpcError> {
/// let communicator = Communicator::new();
/// let server = ServerPrx::connect(&communicator, "tcp://localhost:12002").await?;
/// let hasty = server
///     .with_timeout(Duration::from_secs(1))
///     .with_extra([("name", "scott")]);
/// println!("{}", hasty.echo("hello").await?);
/// # Ok(())
/// # }
/// ```
///
/// # Operations of the same name
/// An interface may declare `ping` itself. `server.ping()` then calls that
/// operation, and `TypedProxy::ping(&server)` the built-in one. Other operations
/// with the name of a method here get a trailing underscore in Rust.
pub trait TypedProxy: Sized {
    /// The typed proxy that calls through `proxy`, for the interface of this type.
    #[must_use]
    fn from_proxy(proxy: Proxy) -> Self;

    /// The untyped proxy that this one calls through.
    fn as_proxy(&self) -> &Proxy;

    /// Connects to `endpoint`: see [`Communicator::connect`]. Proxies of other
    /// interfaces can share the connection: `OtherPrx::new(server.connection())`.
    ///
    /// # Errors
    /// CONNECT_UNREACHABLE or CONNECT_FAILED.
    fn connect(
        communicator: &Communicator,
        endpoint: &str,
    ) -> impl Future<Output = Result<Self, RpcError>> + Send {
        async move {
            Proxy::connect(communicator, endpoint)
                .await
                .map(Self::from_proxy)
        }
    }

    /// A proxy on an existing connection.
    #[must_use]
    fn new(connection: &Connection) -> Self {
        Self::from_proxy(Proxy::new(connection))
    }

    /// In a servant: a proxy to the caller, who is reached directly or through a
    /// gateway. It stays valid after the call.
    #[must_use]
    fn to_caller(ctx: &Context) -> Self {
        Self::from_proxy(Proxy::to_caller(ctx))
    }

    /// In a server: a proxy to a user, through a connection to the gateway where the
    /// user is logged in. See [`Proxy::to_user`].
    #[must_use]
    fn to_user(gateway: &Connection, user: &str) -> Self {
        Self::from_proxy(Proxy::to_user(gateway, user))
    }

    /// In a server: a proxy to a user who may be logged in at any of several gateways.
    /// See [`Proxy::to_user_anywhere`].
    ///
    /// # Errors
    /// USER_OFFLINE at once if the user is not on line, and the errors of a call to
    /// the gateway.
    fn to_user_anywhere(
        gateway: &Connection,
        user: &str,
    ) -> impl Future<Output = Result<Self, RpcError>> + Send {
        async move {
            let proxy = Proxy::to_user_anywhere(gateway, user).await?;
            Ok(Self::from_proxy(proxy))
        }
    }

    /// The connection that carries the calls.
    fn connection(&self) -> &Connection {
        self.as_proxy().connection()
    }

    /// The same proxy with another timeout for its calls, by default that of the
    /// communicator's [`Options`](crate::config::Options), 30 s.
    #[must_use]
    fn with_timeout(&self, timeout: Duration) -> Self {
        Self::from_proxy(self.as_proxy().with_timeout(timeout))
    }

    /// In a servant: the same proxy, whose calls wait no longer than the caller of
    /// this call does ([`Context::deadline`]), nor than this proxy's own timeout.
    #[must_use]
    fn with_deadline_of(&self, ctx: &Context) -> Self {
        Self::from_proxy(self.as_proxy().with_deadline_of(ctx))
    }

    /// The same proxy, whose calls are dropped unprocessed if no servant has taken
    /// them from a message queue within `linger`. Over a direct connection no call
    /// waits that long; a gateway's queue drops them.
    #[must_use]
    fn with_linger(&self, linger: Duration) -> Self {
        Self::from_proxy(self.as_proxy().with_linger(linger))
    }

    /// The same proxy with entries that travel in the extra of each of its calls, added
    /// to those that it has. The servant reads them with [`Context::extra`].
    #[must_use]
    fn with_extra<K: AsRef<str>, V: AsRef<str>>(
        &self,
        extra: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self::from_proxy(self.as_proxy().with_extra(extra))
    }

    /// The same proxy, whose calls pass an interceptor, within those that they pass
    /// already.
    #[must_use]
    fn with_interceptor(&self, interceptor: impl ClientInterceptor) -> Self {
        Self::from_proxy(self.as_proxy().with_interceptor(interceptor))
    }

    /// Asks the peer's adapter whether it answers: see [`Proxy::ping`].
    fn ping(&self) -> Pending<()> {
        self.as_proxy().ping()
    }
}

/// The untyped proxy within every generated one: a connection, and the options of
/// the calls on it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Proxy {
    connection: Connection,
    options: CallOptions,
    /// How oneway calls reach a user at any gateway; `None` for all other peers.
    routes: Option<UserRoutes>,
    interceptors: ClientInterceptors,
}

impl Proxy {
    /// As [`TypedProxy::connect`].
    ///
    /// # Errors
    /// CONNECT_UNREACHABLE or CONNECT_FAILED.
    pub async fn connect(communicator: &Communicator, endpoint: &str) -> Result<Self, RpcError> {
        Ok(Self::new(&communicator.connect(endpoint).await?))
    }

    /// As [`TypedProxy::new`] (TCE's `createWithProxy`).
    #[must_use]
    pub fn new(connection: &Connection) -> Self {
        Self {
            connection: connection.clone(),
            options: CallOptions::default(),
            routes: None,
            interceptors: connection.options().client_interceptors.clone(),
        }
    }

    /// As [`TypedProxy::to_caller`].
    #[must_use]
    pub fn to_caller(ctx: &Context) -> Self {
        match ctx.user_id() {
            Some(user) => Self::to_user(ctx.connection(), user),
            None => Self::new(ctx.connection()),
        }
    }

    /// A proxy to a user through `gateway`, a connection to the gateway where that
    /// user is logged in: its queue, or the connection on which it calls. A gateway
    /// forwards such calls as oneway, and drops them if the user is not connected.
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

    /// A proxy to a user who may be logged in at any of the gateways that share their
    /// presence, on several devices also at several of them. `gateway` is a connection
    /// to one of them: its queue, a queue that all of them read, or the connection on
    /// which it calls.
    ///
    /// Oneway calls are sent to each gateway where the user has a session now, or that
    /// keeps pushes for a client of the user that has lost its connection: to its queue, or through `gateway` to one without a queue. They are done when one of
    /// them is sent. A twoway call goes to one gateway and gets no answer, as that of
    /// [`Proxy::to_user`]. After the user has logged in elsewhere, look it up again.
    ///
    /// ```no_run
    /// # use tce_runtime::{Communicator, ErrorCode, Proxy, RpcError};
    /// # async fn push(communicator: Communicator) -> Result<(), RpcError> {
    /// let gateways = communicator.connect("mq:mq_gateways").await?;
    /// match Proxy::to_user_anywhere(&gateways, "scott").await {
    ///     Ok(scott) => println!("{scott:?}"),
    ///     Err(error) if error.code() == ErrorCode::UserOffline => println!("later"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// USER_OFFLINE at once if the user is not on line, and no pushes are kept for the
    /// user; INTERFACE_NOTFOUND from a
    /// gateway that has no presence, as TCE's own; SENDFAILED while the gateways can't
    /// read their presence.
    pub async fn to_user_anywhere(gateway: &Connection, user: &str) -> Result<Self, RpcError> {
        let routes = UserRoutes::find(gateway, user).await?;
        let mut proxy = Self::to_user(routes.connection(), user);
        proxy.routes = Some(routes);
        Ok(proxy)
    }

    /// The connection that carries the calls.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// As [`TypedProxy::with_timeout`].
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        let mut proxy = self.clone();
        proxy.options.timeout = Some(timeout);
        proxy
    }

    /// As [`TypedProxy::with_deadline_of`].
    #[must_use]
    pub fn with_deadline_of(&self, ctx: &Context) -> Self {
        let timeout = self.options.timeout(&self.connection);
        match ctx.time_left() {
            Some(left) => self.with_timeout(timeout.min(left)),
            None => self.clone(),
        }
    }

    /// As [`TypedProxy::with_linger`]; on the wire `__linger_time__`.
    #[must_use]
    pub fn with_linger(&self, linger: Duration) -> Self {
        let mut proxy = self.clone();
        proxy.options.linger = Some(linger);
        proxy
    }

    /// As [`TypedProxy::with_extra`].
    #[must_use]
    pub fn with_extra<K: AsRef<str>, V: AsRef<str>>(
        &self,
        extra: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let mut proxy = self.clone();
        proxy.options.extra.extend(extra);
        proxy
    }

    /// As [`TypedProxy::with_interceptor`].
    #[must_use]
    pub fn with_interceptor(&self, interceptor: impl ClientInterceptor) -> Self {
        let mut proxy = self.clone();
        proxy.interceptors = proxy.interceptors.with(interceptor);
        proxy
    }

    /// Calls twoway. The call is sent before this returns; the result is awaited when
    /// it is needed.
    pub fn call<P: Marshal, T: Unmarshal + 'static>(
        &self,
        operation: &Operation,
        params: P,
    ) -> Pending<T> {
        if self.is_intercepted(operation) {
            return self.twoway_through(operation, params);
        }
        twoway(&self.connection, operation, &self.options, params)
    }

    /// Whether a call passes interceptors. Calls of the built-in interface do not.
    #[inline]
    fn is_intercepted(&self, operation: &Operation) -> bool {
        !self.interceptors.is_empty() && operation.ifidx() != BUILTIN_INTERFACE
    }

    #[cold]
    #[inline(never)]
    fn twoway_through<T: Unmarshal + 'static>(
        &self,
        operation: &Operation,
        params: impl Marshal,
    ) -> Pending<T> {
        let params = marshalled(params);
        let (connection, options) = (&self.connection, &self.options);
        intercepted_twoway(connection, &self.interceptors, operation, options, params)
    }

    /// Calls oneway. The call is sent before this returns; the returned future ends when
    /// the call is in the write buffer. If there is no connection or no capacity, the call
    /// waits for it, no longer than the proxy's timeout.
    pub fn oneway<P: Marshal>(&self, operation: &Operation, params: P) -> Oneway {
        if self.is_intercepted(operation) {
            return self.oneway_through(operation, params);
        }
        match &self.routes {
            None => oneway(&self.connection, operation, &self.options, params),
            Some(routes) => routes.oneway(operation, &self.options, params),
        }
    }

    #[cold]
    #[inline(never)]
    fn oneway_through(&self, operation: &Operation, params: impl Marshal) -> Oneway {
        let params = marshalled(params);
        let (connection, routes) = (self.connection.clone(), self.routes.clone());
        let called = *operation;
        let send = move |options: &CallOptions, params: Raw<'_>| match &routes {
            None => oneway(&connection, &called, options, params),
            Some(routes) => routes.oneway(&called, options, params),
        };
        let (connection, options) = (&self.connection, &self.options);
        let interceptors = &self.interceptors;
        intercepted_oneway(connection, interceptors, operation, options, params, send)
    }

    /// Asks the peer's adapter whether it answers, through the built-in interface
    /// 65535. An existing TCE server has no such interface: the call then fails with
    /// INTERFACE_NOTFOUND.
    pub fn ping(&self) -> Pending<()> {
        self.call(&crate::connection::PING, ())
    }

    /// Asks the peer's adapter what it serves: texts of IDL, each without imports and
    /// with every index written, through the built-in interface 65535.
    ///
    /// The call fails with INTERFACE_NOTFOUND at an existing TCE server, and at one
    /// with [`Options::describes`](crate::config::Options) switched off.
    pub fn describe(&self) -> Pending<Vec<String>> {
        self.call(&crate::connection::DESCRIBE, ())
    }
}

fn marshalled(params: impl Marshal) -> Vec<u8> {
    let mut marshalled = Vec::new();
    params.marshal(&mut Writer::new(&mut marshalled));
    marshalled
}
