//! The deliveries of queues, as long as they are consumed.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc, mpsc::error::TryRecvError, watch},
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{
    link::{BrokerError, Link, pause, request},
    topology::{GroupQueue, short},
};
use crate::model::{PRIORITIES, Turns};

/// A delivery with its channel, which is closed once no delivery of it is left: the broker delivers
/// what is not acknowledged then again.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) delivery: Delivery,
    _channel: Channel,
}

/// A queue that is consumed.
#[derive(Debug)]
pub(super) enum Queue {
    Group(GroupQueue),
    /// A queue that the link declares itself.
    Shared(String),
}

/// Consumes up to three queues, the one of the highest priority first; what is delivered waits in
/// memory, at most the prefetch of each. Dropping it ends the consumers, and the broker delivers again
/// what waits.
#[derive(Debug)]
pub(super) struct QueueConsumer {
    inbox: Mutex<Inbox>,
    /// Notified when a message has arrived or a queue is no longer consumed.
    arrived: Arc<Notify>,
    stop: watch::Sender<bool>,
    /// Ended when this is dropped.
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Inbox {
    queues: Vec<mpsc::Receiver<Arrived>>,
    turns: Turns,
}

impl Inbox {
    fn next(&mut self) -> Option<Arrived> {
        let mut has_task = [false; PRIORITIES.len()];
        for (has_task, queue) in has_task.iter_mut().zip(&self.queues) {
            *has_task = !queue.is_empty();
        }
        let taken = self.turns.next(has_task)?;
        self.queues.get_mut(taken.index())?.try_recv().ok()
    }
}

impl QueueConsumer {
    /// Each queue has its prefetch.
    pub(super) fn start(link: &Arc<Link>, queues: Vec<(Queue, u16)>) -> Self {
        let arrived = Arc::new(Notify::new());
        let (stop, stopped) = watch::channel(false);
        let (mut receivers, mut tasks) = (Vec::new(), JoinSet::new());
        for (queue, prefetch) in queues {
            let (sender, receiver) = mpsc::channel(prefetch.into());
            receivers.push(receiver);
            let source = Source {
                link: Arc::clone(link),
                queue,
                prefetch,
                arrived: Arc::clone(&arrived),
            };
            tasks.spawn(source.run(sender, stopped.clone()));
        }
        Self {
            inbox: Mutex::new(Inbox {
                queues: receivers,
                turns: Turns::default(),
            }),
            arrived,
            stop,
            _tasks: tasks,
        }
    }

    /// At most `max` deliveries; waits until `deadline` for the first one.
    pub(super) async fn take(&self, max: usize, deadline: Instant) -> Vec<Arrived> {
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            let taken: Vec<_> = {
                let mut inbox = self.inbox.lock();
                std::iter::from_fn(|| inbox.next()).take(max).collect()
            };
            if !taken.is_empty() || timeout_at(deadline, arrived).await.is_err() {
                return taken;
            }
        }
    }

    /// Whether something was delivered and not taken.
    pub(super) fn has_waiting(&self) -> bool {
        self.inbox
            .lock()
            .queues
            .iter()
            .any(|queue| !queue.is_empty())
    }

    /// Ends the consumers. Returns what was delivered and not taken.
    pub(super) async fn stop(&self, deadline: Instant) -> Vec<Arrived> {
        self.stop.send_replace(true);
        let mut left = Vec::new();
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            let mut is_open = false;
            for queue in &mut self.inbox.lock().queues {
                let mut received = queue.try_recv();
                while let Ok(arrived) = received {
                    left.push(arrived);
                    received = queue.try_recv();
                }
                is_open |= matches!(received, Err(TryRecvError::Empty));
            }
            if !is_open || timeout_at(deadline, arrived).await.is_err() {
                return left;
            }
        }
    }
}

/// Waits until the consumer is stopped or dropped.
async fn was_stopped(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

struct Source {
    link: Arc<Link>,
    queue: Queue,
    prefetch: u16,
    arrived: Arc<Notify>,
}

impl Source {
    fn name(&self) -> String {
        match &self.queue {
            Queue::Group(queue) => self.link.topology().queue(queue),
            Queue::Shared(name) => name.clone(),
        }
    }

    /// Consumes until it is stopped, again whenever the connection, the channel or the consumer is
    /// lost.
    async fn run(self, sender: mpsc::Sender<Arrived>, mut stopped: watch::Receiver<bool>) {
        let queue = self.name();
        loop {
            let opened = tokio::select! {
                opened = self.open(&queue) => opened,
                () = was_stopped(&mut stopped) => break,
            };
            match opened {
                Ok((channel, consumer)) => {
                    if self
                        .forward(&channel, consumer, &sender, &mut stopped)
                        .await
                    {
                        break;
                    }
                    tracing::warn!(queue, "consuming was interrupted");
                }
                Err(error) => tracing::warn!(queue, "can't consume: {error}"),
            }
            pause().await;
        }
        drop(sender);
        self.arrived.notify_waiters();
    }

    async fn open(&self, queue: &str) -> Result<(Channel, Consumer), BrokerError> {
        if let Queue::Group(group) = &self.queue {
            self.link.declare_group(group).await?;
        }
        let channel = self.link.channel().await?;
        request(channel.basic_qos(self.prefetch, BasicQosOptions::default())).await?;
        let options = BasicConsumeOptions::default();
        let consuming =
            channel.basic_consume(short(queue), "tce".into(), options, FieldTable::default());
        let consumer = request(consuming).await?;
        Ok((channel, consumer))
    }

    /// Hands a delivery over. Returns false once the consumer is dropped.
    async fn hand_over(
        &self,
        delivery: Delivery,
        channel: &Channel,
        sender: &mpsc::Sender<Arrived>,
    ) -> bool {
        let arrived = Arrived {
            delivery,
            _channel: channel.clone(),
        };
        let is_taken = sender.send(arrived).await.is_ok();
        self.arrived.notify_waiters();
        is_taken
    }

    /// Forwards deliveries until the consumer is lost. Returns true once it is stopped.
    async fn forward(
        &self,
        channel: &Channel,
        mut consumer: Consumer,
        sender: &mpsc::Sender<Arrived>,
        stopped: &mut watch::Receiver<bool>,
    ) -> bool {
        loop {
            tokio::select! {
                delivered = consumer.next() => match delivered {
                    Some(Ok(delivery)) => {
                        if !self.hand_over(delivery, channel, sender).await {
                            return true;
                        }
                    }
                    Some(Err(_)) | None => return false,
                },
                () = was_stopped(stopped) => break,
            }
        }
        let cancelling = channel.basic_cancel("tce".into(), BasicCancelOptions::default());
        if request(cancelling).await.is_ok() {
            let deadline = Instant::now() + Duration::from_millis(200);
            while let Ok(Some(Ok(delivery))) = timeout_at(deadline, consumer.next()).await {
                if !self.hand_over(delivery, channel, sender).await {
                    break;
                }
            }
        }
        true
    }
}
