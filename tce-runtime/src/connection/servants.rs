//! The servants of an adapter or a connection, by interface.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use arc_swap::{ArcSwap, Cache};

use super::dispatch::IncomingCall;
use crate::error::ErrorCode;

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

    fn dispatch(&self, call: IncomingCall<'_>) {
        (**self).dispatch(call);
    }
}

/// Servants by interface index.
type ServantMap = BTreeMap<u16, Arc<dyn Servant>>;

/// The servants of an adapter or a connection.
#[derive(Default)]
pub(crate) struct ServantRegistry(Arc<ArcSwap<ServantMap>>);

impl ServantRegistry {
    /// Adds a servant; it replaces an earlier one with the same index.
    pub(crate) fn add(&self, servant: &Arc<dyn Servant>) {
        self.0.rcu(|servants| {
            let mut servants = ServantMap::clone(servants);
            let served = servant.interfaces().iter();
            servants.extend(served.map(|ifidx| (*ifidx, Arc::clone(servant))));
            servants
        });
    }

    /// The IDL texts of the servants, without duplicates.
    pub(crate) fn idls(&self) -> Vec<String> {
        let servants = self.0.load();
        let texts: BTreeSet<&str> = servants.values().filter_map(|it| it.idl()).collect();
        texts.into_iter().map(str::to_owned).collect()
    }

    /// The servants as the messages of one read find them.
    pub(crate) fn view(&self) -> ServantView {
        ServantView(RefCell::new(Cache::new(Arc::clone(&self.0))))
    }
}

/// The current servants. To look one up costs no locked instruction unless they have
/// changed.
pub(crate) struct ServantView(RefCell<Cache<Arc<ArcSwap<ServantMap>>, Arc<ServantMap>>>);

impl ServantView {
    /// Whether a servant serves an interface.
    pub(super) fn has(&self, ifidx: u16) -> bool {
        self.0.borrow_mut().load().contains_key(&ifidx)
    }

    /// Hands a call to the servant of its interface, or answers that there is
    /// none.
    pub(super) fn dispatch(&self, call: IncomingCall<'_>) {
        match self.0.borrow_mut().load().get(&call.ifidx()) {
            Some(servant) => servant.dispatch(call),
            None => {
                let text = format!("no servant for interface {} here", call.ifidx());
                call.refuse(ErrorCode::InterfaceNotFound, &text);
            }
        }
    }
}

impl fmt::Debug for ServantRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.load().keys()).finish()
    }
}
