//! The servants of an adapter or a connection, by interface.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use arc_swap::{ArcSwap, Cache};

use super::dispatch::{IncomingCall, Interception};
use crate::{
    interceptor::{ServerInterceptor, ServerInterceptors},
    wire::{BUILTIN_INTERFACE, Operation},
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
pub(crate) struct ServantRegistry(Arc<ArcSwap<Servants>>);

impl ServantRegistry {
    pub(crate) fn new(interceptors: &ServerInterceptors) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Servants {
            by_interface: BTreeMap::new(),
            interceptors: interceptors.clone(),
        })))
    }

    /// Adds an interceptor within those before.
    pub(crate) fn intercept(&self, interceptor: &Arc<impl ServerInterceptor>) {
        self.0.rcu(|servants| {
            let mut servants = Servants::clone(servants);
            servants.interceptors = servants.interceptors.with(Arc::clone(interceptor));
            servants
        });
    }

    /// Adds a servant; it replaces an earlier one with the same index.
    pub(crate) fn add(&self, servant: &Arc<dyn Servant>) {
        self.0.rcu(|servants| {
            let mut servants = Servants::clone(servants);
            let served = servant.interfaces().iter();
            let served = served.map(|ifidx| (*ifidx, Arc::clone(servant)));
            servants.by_interface.extend(served);
            servants
        });
    }

    /// The IDL texts of the servants, without duplicates.
    pub(crate) fn idls(&self) -> Vec<String> {
        let servants = self.0.load();
        let servants = servants.by_interface.values();
        let texts: BTreeSet<&str> = servants.filter_map(|it| it.idl()).collect();
        texts.into_iter().map(str::to_owned).collect()
    }

    /// The servants as the messages of one read find them.
    pub(crate) fn view(&self) -> ServantView {
        ServantView(RefCell::new(Cache::new(Arc::clone(&self.0))))
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
    /// none; through the interceptors, if there are any.
    pub(super) fn dispatch(&self, mut call: IncomingCall<'_>) {
        let mut servants = self.0.borrow_mut();
        let servants = servants.load();
        let ifidx = call.ifidx();
        let servant = servants.by_interface.get(&ifidx);
        let interceptors = &servants.interceptors;
        if !interceptors.is_empty() && ifidx != BUILTIN_INTERFACE {
            call.interception = Some(Box::new(Interception {
                interceptors: interceptors.clone(),
                operation: servant.and_then(|servant| servant.operation(ifidx, call.opidx())),
            }));
        }
        match servant {
            Some(servant) => servant.dispatch(call),
            None => {
                let text = format!("no servant for interface {ifidx} here");
                call.not_found(text);
            }
        }
    }
}

impl fmt::Debug for ServantRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servants = self.0.load();
        f.debug_set().entries(servants.by_interface.keys()).finish()
    }
}
