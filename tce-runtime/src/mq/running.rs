//! The tasks that run as long as the program: each endpoint's publisher, and
//! who watches the deadlines.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    MessageQueues,
    publish::{self, Manner},
};
use crate::{
    config::MqEndpoint,
    connection::{Calls, Outlet, Served, Serving},
    stop::{DRAIN_EVERY, Stop, reached},
    transport::mq::Publisher,
};

impl MessageQueues {
    /// Publishes what comes through the outlet that it returns, once the
    /// endpoint is open.
    pub(super) fn publish(
        &self,
        endpoint: &MqEndpoint,
        opening: impl Future<Output = Publisher> + Send + 'static,
    ) -> Arc<Outlet> {
        let limit = self.settings.options.connection.send_buffer;
        let outlet = Arc::new(Outlet::new(limit));
        let manner = Manner {
            is_persistent: endpoint.address.durable,
            in_batches: endpoint.batch,
        };
        let publishing = Publishing {
            outlet: Arc::clone(&outlet),
            calls: Arc::clone(&self.calls),
            served: self.served.clone(),
            _running: self.publishing.begin(),
        };
        tokio::spawn(publishing.run(opening, manner, self.stop.subscribe()));
        outlet
    }
}

/// A publisher's task.
struct Publishing {
    outlet: Arc<Outlet>,
    calls: Arc<Calls>,
    served: Served,
    _running: Serving,
}

impl Publishing {
    /// Publishes until the program ends.
    async fn run(
        self,
        opening: impl Future<Output = Publisher>,
        manner: Manner,
        stop: watch::Receiver<Stop>,
    ) {
        let outlet = &self.outlet;
        let mut publishing = std::pin::pin!(async {
            publish::run(outlet, opening.await, &self.calls, manner).await;
        });
        // A servant that is still at work has a RETURN to send.
        let is_done = || self.served.count() == 0 && outlet.is_empty();
        tokio::select! {
            () = &mut publishing => {}
            () = until_ended(stop, is_done) => {}
        }
        outlet.leave();
    }
}

/// Fails calls at their deadlines, until the program ends and nobody can call
/// any more.
pub(super) async fn watch_deadlines(
    calls: Arc<Calls>,
    publishing: Served,
    stop: watch::Receiver<Stop>,
) {
    let watching = async {
        loop {
            calls.watch_once(None).await;
        }
    };
    let is_done = || calls.waiting() == 0 && publishing.count() == 0;
    tokio::select! {
        () = watching => {}
        () = until_ended(stop, is_done) => {}
    }
    publishing.fewer_than(1).await;
    calls.lose_all("the message queues of this communicator were closed");
}

/// Waits until the program ends, and `is_done` then.
async fn until_ended(stop: watch::Receiver<Stop>, is_done: impl Fn() -> bool) {
    let mut drain = stop.clone();
    let done = async {
        reached(&mut drain, Stop::Drain).await;
        while !is_done() {
            tokio::time::sleep(DRAIN_EVERY).await;
        }
    };
    let mut now = stop;
    tokio::select! {
        () = done => {}
        () = reached(&mut now, Stop::Now) => {}
    }
}
