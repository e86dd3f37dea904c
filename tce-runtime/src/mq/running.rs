//! The tasks that run as long as the program: each endpoint's publisher, and
//! who watches the deadlines.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    MessageQueues,
    publish::{self, PublishOptions},
};
use crate::{
    config::MqEndpoint,
    connection::{InFlightCounter, InFlightGuard, PendingCalls, PublishQueue},
    stop::{DRAIN_EVERY, ShutdownPhase, reached},
    transport::broker::Publisher,
};

impl MessageQueues {
    /// Publishes what comes through the publish_queue that it returns, once the
    /// endpoint is open.
    pub(super) fn publish(
        &self,
        endpoint: &MqEndpoint,
        opening: impl Future<Output = Publisher> + Send + 'static,
    ) -> Arc<PublishQueue> {
        let limit = self.settings.options.connection.send_buffer;
        let publish_queue = Arc::new(PublishQueue::new(limit));
        let manner = PublishOptions {
            is_persistent: endpoint.address.durable,
            in_batches: endpoint.batch,
        };
        let publishing = Publishing {
            publish_queue: Arc::clone(&publish_queue),
            calls: Arc::clone(&self.calls),
            served: self.served.clone(),
            _running: self.publishing.begin(),
        };
        tokio::spawn(publishing.run(opening, manner, self.stop.subscribe()));
        publish_queue
    }
}

/// A publisher's task.
struct Publishing {
    publish_queue: Arc<PublishQueue>,
    calls: Arc<PendingCalls>,
    served: InFlightCounter,
    _running: InFlightGuard,
}

impl Publishing {
    /// Publishes until the program ends.
    async fn run(
        self,
        opening: impl Future<Output = Publisher>,
        manner: PublishOptions,
        stop: watch::Receiver<ShutdownPhase>,
    ) {
        let publish_queue = &self.publish_queue;
        let mut publishing = std::pin::pin!(async {
            publish::run(publish_queue, opening.await, &self.calls, manner).await;
        });
        // A servant that is still at work has a RETURN to send.
        let is_done = || self.served.count() == 0 && publish_queue.is_empty();
        tokio::select! {
            () = &mut publishing => {}
            () = until_ended(stop, is_done) => {}
        }
        publish_queue.leave();
    }
}

/// Fails calls at their deadlines, until the program ends and nobody can call
/// any more.
pub(super) async fn watch_deadlines(
    calls: Arc<PendingCalls>,
    publishing: InFlightCounter,
    stop: watch::Receiver<ShutdownPhase>,
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
async fn until_ended(stop: watch::Receiver<ShutdownPhase>, is_done: impl Fn() -> bool) {
    let mut drain = stop.clone();
    let done = async {
        reached(&mut drain, ShutdownPhase::Draining).await;
        while !is_done() {
            tokio::time::sleep(DRAIN_EVERY).await;
        }
    };
    let mut now = stop;
    tokio::select! {
        () = done => {}
        () = reached(&mut now, ShutdownPhase::Terminating) => {}
    }
}
