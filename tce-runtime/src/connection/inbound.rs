//! Who answers the calls that arrive.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use super::{AckGuard, Connection, MessageHandler};
use crate::{
    error::ErrorCode,
    wire::{Extra, Header},
};

/// The built-in interface that every adapter of ours serves.
pub const BUILTIN_INTERFACE: u16 = 65535;

/// An object that answers calls. Generated code implements it
/// (`ServerServant`) over a trait that programs implement (`Server`).
pub trait Servant: Send + Sync + 'static {
    /// The indices of the interfaces that it answers, its own and those of
    /// its bases (`spec/idl.md`: an inherited operation keeps its base's).
    fn interfaces(&self) -> &[u16];

    /// Its interfaces as an IDL that imports nothing, for whoever asks the
    /// built-in interface what is served; nothing where it does not say.
    fn idl(&self) -> Option<&str> {
        None
    }

    /// Answers a call: [`IncomingCall::run`], or
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

/// A call that has arrived, its parameters still marshalled.
pub struct IncomingCall<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) header: Header,
    pub(crate) extra: Extra,
    pub(crate) params: &'a [u8],
    /// Where RETURNs of what one read brought gather.
    pub(crate) replies: &'a mut Vec<u8>,
    /// The MQ message that it came in.
    pub(crate) ack_guard: Option<Box<AckGuard>>,
}

impl IncomingCall<'_> {
    /// The interface index that is called.
    #[must_use]
    pub fn ifidx(&self) -> u16 {
        self.header.ifidx
    }

    /// The operation index that is called.
    #[must_use]
    pub fn opidx(&self) -> u16 {
        self.header.opidx
    }
}

impl fmt::Debug for IncomingCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingCall")
            .field("header", &self.header)
            .field("extra", &self.extra)
            .finish_non_exhaustive()
    }
}

/// The servants of an adapter or a connection, by interface index.
#[derive(Default)]
pub(crate) struct ServantRegistry {
    by_interface: RwLock<BTreeMap<u16, Arc<dyn Servant>>>,
    /// Who is asked first, where messages are read from a queue.
    handler: OnceLock<Arc<dyn MessageHandler>>,
}

impl ServantRegistry {
    /// Adds a servant; one that answered on the same index before is replaced.
    pub(crate) fn add(&self, servant: &Arc<dyn Servant>) {
        let mut servants = self
            .by_interface
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for ifidx in servant.interfaces() {
            servants.insert(*ifidx, Arc::clone(servant));
        }
    }

    /// Lets `handler` decide about the messages of a queue. The first one stays.
    pub(crate) fn set_handler(&self, handler: &Arc<dyn MessageHandler>) {
        let _ = self.handler.set(Arc::clone(handler));
    }

    /// Who decides about the messages of a queue.
    pub(crate) fn handler(&self) -> Option<&Arc<dyn MessageHandler>> {
        self.handler.get()
    }

    /// What the servants say of their interfaces, each text once.
    pub(crate) fn idls(&self) -> Vec<String> {
        let servants = self
            .by_interface
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let texts: BTreeSet<&str> = servants.values().filter_map(|it| it.idl()).collect();
        texts.into_iter().map(str::to_owned).collect()
    }

    /// Whether somebody answers on an interface.
    pub(crate) fn has(&self, ifidx: u16) -> bool {
        self.by_interface
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&ifidx)
    }

    /// Hands a call to the servant of its interface, or answers that there is
    /// none.
    pub(crate) fn dispatch(&self, call: IncomingCall<'_>) {
        let servants = self
            .by_interface
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let servant = servants.get(&call.ifidx()).cloned();
        drop(servants);
        match servant {
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
        let servants = self
            .by_interface
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(servants.keys()).finish()
    }
}
