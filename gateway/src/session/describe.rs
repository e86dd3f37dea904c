//! What clients may learn of the servers' interfaces: `describe` of the built-in
//! interface (`spec/gateway.md`, "Describing interfaces").

use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tce_runtime::{
    BUILTIN_INTERFACE, Context, IncomingCall, Proxy, RpcError, Servant,
    forwarding::{DESCRIBE, PING},
    wire::{Header, escape_ascii, reserved},
};
use tokio::sync::Mutex;

use super::context::{ActiveRoutes, Forwarding, SessionContext};
use crate::{
    routing::{EndpointKey, interface_name},
    upstream::Upstream,
};

/// The time limit of a server, in which it says what it serves. Original TCE servers in
/// Python never answer this. `tce call` waits for 3 s.
const SERVER_TIME: Duration = Duration::from_secs(2);
/// How long an answer is used again: short for developers who have restarted a server,
/// long enough that all clients together cost the servers one call in this time.
const CACHE_TIME: Duration = Duration::from_secs(5);
/// The most bytes of the texts. Those that exceed it are left out.
const MAX_TEXTS: usize = 512 << 10;

/// Why a client that asks is refused, where `describe` is off.
pub(super) const REFUSED: &str = "this gateway does not say which interfaces its servers have: name their IDL file, or set \
     the property `describe` of the gateway";

/// Whether a CALL is `describe` of the built-in interface.
pub(super) fn is_describe(header: Header) -> bool {
    header.ifidx == BUILTIN_INTERFACE && header.opidx == DESCRIBE.opidx()
}

/// The servant of the built-in interface at an endpoint of clients. Clones share the answer.
#[derive(Clone)]
pub(crate) struct EndpointServant(Arc<EndpointDescription>);

/// The interfaces that clients of an endpoint can call.
struct EndpointDescription {
    context: Arc<SessionContext>,
    endpoint: EndpointKey,
    /// The last answer. Locked while the servers are asked, so that they are asked once.
    last: Mutex<Option<CachedDescription>>,
}

struct CachedDescription {
    since: Instant,
    /// The routes that it is for.
    routes: Weak<ActiveRoutes>,
    texts: Vec<String>,
    interfaces: String,
}

impl EndpointServant {
    pub(crate) fn new(context: &Arc<SessionContext>, endpoint: EndpointKey) -> Self {
        Self(Arc::new(EndpointDescription {
            context: Arc::clone(context),
            endpoint,
            last: Mutex::default(),
        }))
    }
}

impl Servant for EndpointServant {
    fn interfaces(&self) -> &[u16] {
        &[BUILTIN_INTERFACE]
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        const PING_INDEX: u16 = PING.opidx();
        const DESCRIBE_INDEX: u16 = DESCRIBE.opidx();
        match call.opidx() {
            PING_INDEX => call.run(&self.0, |_, (), context| async move { (context, Ok(())) }),
            // The session has checked the right.
            DESCRIBE_INDEX => call.run(&self.0, |description, (), context| async move {
                let texts = description.answer(&context).await;
                (context, Ok(texts))
            }),
            _ => call.unknown_operation(),
        }
    }
}

impl EndpointDescription {
    /// The texts of IDL. The interfaces that have a route are returned in extra: servers
    /// may describe more, and servers of TCE's own describe nothing.
    async fn answer(&self, context: &Context) -> Vec<String> {
        let mut last = self.last.lock().await;
        let routes = self.context.routes.load_full();
        let is_current = |cached: &CachedDescription| {
            cached.since.elapsed() < CACHE_TIME && cached.routes.as_ptr() == Arc::as_ptr(&routes)
        };
        let cached = match last.take().filter(is_current) {
            Some(cached) => last.insert(cached),
            None => last.insert(CachedDescription {
                texts: self.ask(&routes).await,
                interfaces: self.interfaces(&routes),
                since: Instant::now(),
                routes: Arc::downgrade(&routes),
            }),
        };
        context.return_extra(reserved::INTERFACES, &cached.interfaces);
        cached.texts.clone()
    }

    /// The routes of the endpoint's clients to servers, each with its interface.
    fn routes<'a>(
        &'a self,
        routes: &'a ActiveRoutes,
    ) -> impl Iterator<Item = (u16, &'a Forwarding)> {
        let of_endpoint = routes.table.calls();
        let of_endpoint = of_endpoint.filter(|route| route.from() == self.endpoint);
        of_endpoint.filter_map(|route| {
            let forwarding = routes.forwarding(route.ifidx(), self.endpoint)?;
            Some((route.ifidx(), forwarding))
        })
    }

    /// `INDEX:NAME`, separated by commas.
    fn interfaces(&self, routes: &ActiveRoutes) -> String {
        let routed = self.routes(routes).map(|(ifidx, _)| ifidx);
        let own = self.context.servants.iter();
        let own = own.flat_map(|servant| servant.interfaces().iter().copied());
        let indices: BTreeSet<u16> = routed.chain(own).collect();
        let names = indices.into_iter().map(|ifidx| {
            let name = interface_name(&routes.services, ifidx);
            format!("{ifidx}:{}", escape_ascii(&name))
        });
        names.collect::<Vec<_>>().join(",")
    }

    /// Asks one server of each upstream what it serves.
    async fn ask(&self, routes: &ActiveRoutes) -> Vec<String> {
        let mut upstreams: Vec<&Arc<Upstream>> = Vec::new();
        for (_, forwarding) in self.routes(routes) {
            let upstream = &forwarding.upstream;
            let is_known = upstreams.iter().any(|known| Arc::ptr_eq(known, upstream));
            if !forwarding.has_servant && !is_known {
                upstreams.push(upstream);
            }
        }
        let answers = join_all(upstreams.iter().map(|upstream| describe(upstream))).await;
        let own = self.context.servants.iter();
        let own = own.filter_map(|servant| Some(servant.idl()?.to_owned()));
        let texts: BTreeSet<String> = own.chain(answers.into_iter().flatten()).collect();
        let mut size = 0;
        let within_limit = texts.into_iter().filter(|text| {
            let is_within = size + text.len() <= MAX_TEXTS;
            size += if is_within { text.len() } else { 0 };
            is_within
        });
        within_limit.collect()
    }
}

/// What a server behind an endpoint serves; nothing if it does not say.
async fn describe(upstream: &Upstream) -> Vec<String> {
    let Some(connection) = upstream.connection() else {
        return Vec::new();
    };
    let asked: Result<Vec<String>, RpcError> = Proxy::new(connection)
        .with_timeout(SERVER_TIME)
        .describe()
        .await;
    asked.unwrap_or_else(|error| {
        let endpoint = upstream.name();
        tracing::debug!(
            endpoint,
            "a server does not describe its interfaces: {error}"
        );
        Vec::new()
    })
}
