//! A channel: what one publisher or reader says to its broker.

use std::{future::poll_fn, sync::Arc, task::Poll};

use tokio::sync::oneshot;

use super::{
    confirms::Confirmation,
    dialog::Message,
    error::AmqpError,
    frame::Way,
    request::{Owner, Request},
    session::Session,
};
use crate::transport::mq::Publication;

/// What a consumer is called. Each has a channel of its own.
const CONSUMER: &str = "tce";

/// A channel of a connection; left when it is dropped.
#[derive(Debug)]
pub(super) struct Channel {
    session: Arc<Session>,
    id: u16,
}

impl Channel {
    pub(super) async fn open(session: &Arc<Session>) -> Result<Self, AmqpError> {
        let id = session.lock().begin()?;
        let channel = Self {
            session: Arc::clone(session),
            id,
        };
        channel.ask(Request::ChannelOpen).await?;
        Ok(channel)
    }

    /// Sends a request and waits for its answer: of a queue's declaration its
    /// name.
    async fn ask(&self, request: Request<'_>) -> Result<Option<String>, AmqpError> {
        let asked = self.session.lock().ask(self.id, &request)?;
        answered(asked).await
    }

    pub(super) async fn declare_topic(&self, name: &str) -> Result<(), AmqpError> {
        self.ask(Request::DeclareTopic { name }).await.map(drop)
    }

    /// The broker names a queue without a name.
    pub(super) async fn declare_queue(
        &self,
        name: &str,
        owner: Owner,
    ) -> Result<String, AmqpError> {
        let declared = self.ask(Request::DeclareQueue { name, owner }).await?;
        declared.ok_or_else(|| AmqpError::lost("the broker gives a queue no name"))
    }

    pub(super) async fn bind(
        &self,
        queue: &str,
        exchange: &str,
        key: &str,
    ) -> Result<(), AmqpError> {
        let request = Request::Bind {
            queue,
            exchange,
            key,
        };
        self.ask(request).await.map(drop)
    }

    /// Begins to read a queue; so many messages come before they are
    /// acknowledged.
    pub(super) async fn consume(&self, queue: &str, prefetch: u16) -> Result<(), AmqpError> {
        self.ask(Request::Qos { prefetch }).await?;
        let request = Request::Consume {
            queue,
            tag: CONSUMER,
        };
        self.ask(request).await.map(drop)
    }

    /// Ends reading; what was on its way comes still.
    pub(super) async fn cancel(&self) -> Result<(), AmqpError> {
        self.ask(Request::Cancel { tag: CONSUMER }).await?;
        if let Some(dialog) = self.session.lock().dialogs.get_mut(&self.id) {
            dialog.cancelled();
        }
        Ok(())
    }

    /// The next message; none once reading has ended.
    pub(super) async fn message(&self) -> Result<Option<Message>, AmqpError> {
        poll_fn(|context| {
            let mut state = self.session.lock();
            let dialog = state.dialogs.get_mut(&self.id);
            let next = dialog.map(|dialog| dialog.next(context.waker()));
            match next {
                None => Poll::Ready(Ok(None)),
                Some(None) => Poll::Pending,
                Some(Some(next)) => Poll::Ready(next),
            }
        })
        .await
    }

    /// Acknowledges a message, or all through it.
    pub(super) fn acknowledge(&self, number: u64, multiple: bool) {
        self.tell(Request::Ack { number, multiple });
    }

    pub(super) fn give_back(&self, number: u64) {
        self.tell(Request::GiveBack { number });
    }

    /// Says what is not answered. To a broker that has ended the channel
    /// nothing has to be said.
    fn tell(&self, request: Request<'_>) {
        let mut state = self.session.lock();
        let dialog = state.dialogs.get(&self.id);
        if dialog.is_some_and(|dialog| dialog.is_open().is_ok()) {
            state.say(self.id, &request);
        }
    }

    /// Has the broker confirm each message from now on.
    pub(super) async fn select_confirms(&self) -> Result<(), AmqpError> {
        self.ask(Request::ConfirmSelect).await.map(drop)
    }

    /// Waits until the broker has read all that was said before.
    pub(super) async fn heard(&self) -> Result<(), AmqpError> {
        // "Go on", which the broker does anyway; it answers in order.
        self.ask(Request::Flow).await.map(drop)
    }

    /// Publishes, and waits for the confirmation where there is one to come.
    /// Polled once it has its place among what leaves.
    pub(super) async fn publish(
        &self,
        way: Way<'_>,
        publication: &Publication,
        is_confirmed: bool,
    ) -> Result<Option<Confirmation>, AmqpError> {
        let published = self
            .session
            .lock()
            .publish(self.id, way, publication, is_confirmed);
        match published? {
            Some(confirming) => answered(confirming).await.map(Some),
            None => {
                self.session.capacity().await;
                Ok(None)
            }
        }
    }

    /// Waits until its connection is lost.
    pub(super) async fn lost(&self) {
        self.session.ended().await;
    }

    /// Leaves, and waits until the broker has heard what it was told before.
    pub(super) fn close(&self) -> impl Future<Output = ()> + Send + use<> {
        let asked = self.session.lock().ask(self.id, &Request::ChannelClose);
        async {
            // Of a channel that is gone nothing is left to end.
            if let Ok(asked) = asked {
                let _ = asked.await;
            }
        }
    }
}

/// What the broker says, unless the channel ends without a word.
async fn answered<T>(answer: oneshot::Receiver<Result<T, AmqpError>>) -> Result<T, AmqpError> {
    answer.await.unwrap_or_else(|_| Err(AmqpError::gone()))
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.session.lock().leave(self.id);
    }
}
