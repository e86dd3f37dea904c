//! The servants of an adapter or a connection, by interface.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::{ArcSwap, Cache};

use super::dispatch::IncomingCall;
use crate::{
    interceptor::{ServerInterceptor, ServerInterceptors},
    wire::Operation,
};

/// An object that serves calls. Generated code implements it
/// (`ServerServant`) over a trait that programs implement (`Server`).
pub trait Servant: Send + Sync + 'static {
    /// The indices of the interfaces that it serves: its own and those of its
    /// bases (`spec/idl.md`: an inherited operation keeps its base's index).
    fn interfaces(&self) -> &[u16];

    /// Its interfaces as an IDL without imports, for
    /// [`Proxy::describe`](crate::Proxy::describe); `None` to leave it out.
    fn idl(&self) -> Option<&str> {
        None
    }

    /// One of its operations by its indices, for interceptors, which see an operation
    /// without it as unknown. Default: `None`.
    fn operation(&self, _ifidx: u16, _opidx: u16) -> Option<Operation> {
        None
    }

    /// Serves a call: [`IncomingCall::run`], or
    /// [`IncomingCall::unknown_operation`].
    fn dispatch(&self, call: IncomingCall<'_>);
}

impl<S: Servant + ?Sized> Servant for Arc<S> {
    fn interfaces(&self) -> &[u16] {
        (**self).interfaces()
    }

    fn idl(&self) -> Option<&str> {
        (**self).idl()
    }

    fn operation(&self, ifidx: u16, opidx: u16) -> Option<Operation> {
        (**self).operation(ifidx, opidx)
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        (**self).dispatch(call);
    }
}

/// The servants of an adapter or a connection, and what runs around their calls.
#[derive(Clone)]
struct Servants {
    by_interface: BTreeMap<u16, Arc<dyn Servant>>,
    interceptors: ServerInterceptors,
}

/// The servants of an adapter or a connection.
pub(crate) struct ServantRegistry {
    servants: Arc<ArcSwap<Servants>>,
    /// Asked by each call.
    has_interceptors: AtomicBool,
}

impl ServantRegistry {
    pub(crate) fn new(interceptors: &ServerInterceptors) -> Self {
        Self {
            servants: Arc::new(ArcSwap::from_pointee(Servants {
                by_interface: BTreeMap::new(),
                interceptors: interceptors.clone(),
            })),
            has_interceptors: AtomicBool::new(!interceptors.is_empty()),
        }
    }

    #[inline]
    pub(super) fn has_interceptors(&self) -> bool {
        self.has_interceptors.load(Ordering::Relaxed)
    }

    /// The interceptors, and the operation with these indices, if a servant has it.
    pub(super) fn interception(
        &self,
        ifidx: u16,
        opidx: u16,
    ) -> (ServerInterceptors, Option<Operation>) {
        let servants = self.servants.load();
        let servant = servants.by_interface.get(&ifidx);
        let operation = servant.and_then(|servant| servant.operation(ifidx, opidx));
        (servants.interceptors.clone(), operation)
    }

    /// Adds an interceptor within those before.
    pub(crate) fn intercept(&self, interceptor: &Arc<impl ServerInterceptor>) {
        self.servants.rcu(|servants| {
            let mut servants = Servants::clone(servants);
            servants.interceptors = servants.interceptors.with(Arc::clone(interceptor));
            servants
        });
        self.has_interceptors.store(true, Ordering::Relaxed);
    }

    /// Adds a servant; it replaces an earlier one with the same index.
    pub(crate) fn add(&self, servant: &Arc<dyn Servant>) {
        self.servants.rcu(|servants| {
            let mut servants = Servants::clone(servants);
            let served = servant.interfaces().iter();
            let served = served.map(|ifidx| (*ifidx, Arc::clone(servant)));
            servants.by_interface.extend(served);
            servants
        });
    }

    /// The IDL texts of the servants, without duplicates.
    pub(crate) fn idls(&self) -> Vec<String> {
        let servants = self.servants.load();
        let servants = servants.by_interface.values();
        let texts: BTreeSet<&str> = servants.filter_map(|it| it.idl()).collect();
        texts.into_iter().map(str::to_owned).collect()
    }

    /// The servants as the messages of one read find them.
    pub(crate) fn view(&self) -> ServantView {
        ServantView(RefCell::new(Cache::new(Arc::clone(&self.servants))))
    }
}

/// The current servants. To look one up costs no locked instruction unless they have
/// changed.
pub(crate) struct ServantView(RefCell<Cache<Arc<ArcSwap<Servants>>, Arc<Servants>>>);

impl ServantView {
    /// Whether a servant serves an interface.
    pub(super) fn has(&self, ifidx: u16) -> bool {
        self.0.borrow_mut().load().by_interface.contains_key(&ifidx)
    }

    /// Hands a call to the servant of its interface, or answers that there is
    /// none.
    pub(super) fn dispatch(&self, call: IncomingCall<'_>) {
        match self.0.borrow_mut().load().by_interface.get(&call.ifidx()) {
            Some(servant) => servant.dispatch(call),
            None => {
                let text = format!("no servant for interface {} here", call.ifidx());
                call.not_found(text);
            }
        }
    }
}

impl fmt::Debug for ServantRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servants = self.servants.load();
        f.debug_set().entries(servants.by_interface.keys()).finish()
    }
}
