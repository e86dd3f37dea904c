//! What the server, the client and the tests share.

use std::sync::{Mutex, PoisonError};

use tce_runtime::prelude::*;

// Generated from idl/{{module}}.idl: a trait, a servant and a proxy for each interface.
tce_runtime::include_idl!({{module}});

use crate::{{module}}::{Greeter, ListenerPrx};

/// Answers for `Greeter`.
#[derive(Default)]
pub struct GreeterImpl {
    listeners: Mutex<Vec<ListenerPrx>>,
}

impl GreeterImpl {
    fn with_listeners<T>(&self, work: impl FnOnce(&mut Vec<ListenerPrx>) -> T) -> T {
        let listeners = self.listeners.lock();
        // The list is valid even if another thread panicked while it held the lock.
        work(&mut listeners.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Greeter for GreeterImpl {
    async fn greet(&self, name: String, _ctx: &Context) -> Result<String, Fault> {
        if name.is_empty() {
            return Err(Fault::new(ErrorCode::RemoteException, "the name is empty"));
        }
        let listeners = self.with_listeners(std::mem::take);
        for listener in listeners {
            // A listener whose connection is lost is dropped.
            if listener.greeted_oneway(&name).await.is_ok() {
                self.with_listeners(|listeners| listeners.push(listener));
            }
        }
        Ok(format!("Hello, {name}!"))
    }

    async fn listen(&self, ctx: &Context) -> Result<(), Fault> {
        let caller = ListenerPrx::to_caller(ctx);
        self.with_listeners(|listeners| listeners.push(caller));
        Ok(())
    }
}
