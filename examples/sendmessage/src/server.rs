//! The server: records at which gateway each user is online, and delivers messages there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tce_runtime::prelude::*;

use crate::{
    gateway::{IUserEventListener, IUserEventListenerServant},
    sendmessage::{IMessageServer, IMessageServerServant, ITerminalPrx},
};

/// The gateway at which a user is online, and a proxy to the user.
#[derive(Clone)]
struct Location {
    gateway: String,
    terminal: ITerminalPrx,
}

/// The users who are online.
#[derive(Clone, Default)]
struct Users(Arc<Mutex<HashMap<String, Location>>>);

impl Users {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Location>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, user: &str) -> Option<Location> {
        self.lock().get(user).cloned()
    }

    fn except(&self, user: &str) -> Vec<(String, Location)> {
        let mut users: Vec<_> = self.lock().clone().into_iter().collect();
        users.retain(|(other, _)| other != user);
        users
    }
}

struct MessageServerImpl(Users);

impl IMessageServer for MessageServerImpl {
    async fn login(&self, _ctx: &Context) -> Result<(), Fault> {
        Ok(())
    }

    async fn send_message(&self, to: String, text: String, ctx: &Context) -> Result<(), Fault> {
        // Set by the gateway: a client can't choose it.
        let from = ctx.user_id().unwrap_or_default();
        let Some(location) = self.0.get(&to) else {
            let text = format!("{to} is not online");
            return Err(Fault::new(ErrorCode::RemoteException, text));
        };
        println!("{from} to {to} at {}", location.gateway);
        location.terminal.on_message_oneway(from, &text).await?;
        Ok(())
    }
}

/// Receives the events of users who log in or out at any gateway.
struct UserEventListenerImpl {
    users: Users,
    communicator: Communicator,
}

impl IUserEventListener for UserEventListenerImpl {
    async fn on_user_on_line(
        &self,
        user_id: String,
        gateway: String,
        _ctx: &Context,
    ) -> Result<(), Fault> {
        println!("{user_id} is at {gateway}");
        // Each gateway reads the queue named after it.
        let endpoint = format!("mq:mq_{gateway}");
        let queue = self.communicator.connect(&endpoint).await?;
        let terminal = ITerminalPrx::to_user(&queue, &user_id);
        let location = Location {
            gateway,
            terminal: terminal.clone(),
        };
        self.users.lock().insert(user_id.clone(), location);
        for (name, other) in self.users.except(&user_id) {
            other.terminal.on_user_oneway(&user_id, true).await?;
            terminal.on_user_oneway(&name, true).await?;
        }
        Ok(())
    }

    async fn on_user_off_line(
        &self,
        user_id: String,
        gateway: String,
        _ctx: &Context,
    ) -> Result<(), Fault> {
        // A user who has logged in at another gateway since then stays online.
        let is_current = |location: Location| location.gateway == gateway;
        if !self.users.get(&user_id).is_some_and(is_current) {
            return Ok(());
        }
        println!("{user_id} has left {gateway}");
        self.users.lock().remove(&user_id);
        for (_, other) in self.users.except(&user_id) {
            other.terminal.on_user_oneway(&user_id, false).await?;
        }
        Ok(())
    }
}

/// Serves users and gateways, through queues that the communicator has open.
///
/// # Errors
/// If a queue is not open for reading.
pub async fn serve(communicator: &Communicator) -> Result<(), RpcError> {
    let users = Users::default();
    let listener = UserEventListenerImpl {
        users: users.clone(),
        communicator: communicator.clone(),
    };
    let events = Adapter::listen(communicator, "mq:mq_user_events").await?;
    events
        .add_servant(IUserEventListenerServant::new(listener))
        .start();
    let calls = Adapter::listen(communicator, "mq:mq_server").await?;
    calls
        .add_servant(IMessageServerServant::new(MessageServerImpl(users)))
        .start();
    Ok(())
}
