//! The deliveries of a queue, as long as it is consumed.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::{
    sync::{Mutex, mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::{
    link::{BrokerError, Link, pause, request},
    topology::short,
};

/// Consumes a queue; what is delivered waits in memory, at most the prefetch. Dropping it ends the
/// consumer, and the broker delivers what was not acknowledged again.
#[derive(Debug)]
pub(super) struct QueueConsumer {
    deliveries: Mutex<mpsc::Receiver<Delivery>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl QueueConsumer {
    /// `group` is the group whose queue it is, or `None` for a queue that the link declares itself.
    pub(super) fn start(
        link: Arc<Link>,
        queue: String,
        group: Option<String>,
        prefetch: u16,
    ) -> Self {
        let (sender, deliveries) = mpsc::channel(prefetch.into());
        let (stop, stopped) = watch::channel(false);
        let source = Source {
            link,
            queue,
            group,
            prefetch,
        };
        Self {
            deliveries: Mutex::new(deliveries),
            stop,
            task: tokio::spawn(source.run(sender, stopped)),
        }
    }

    /// At most `max` deliveries; waits until `deadline` for the first one.
    pub(super) async fn take(&self, max: usize, deadline: Instant) -> Vec<Delivery> {
        let mut deliveries = self.deliveries.lock().await;
        let mut taken = Vec::new();
        if let Ok(Some(first)) = timeout_at(deadline, deliveries.recv()).await {
            taken.push(first);
            while taken.len() < max
                && let Ok(next) = deliveries.try_recv()
            {
                taken.push(next);
            }
        }
        taken
    }

    /// Ends the consumer. Returns what was delivered and not taken.
    pub(super) async fn stop(&self, deadline: Instant) -> Vec<Delivery> {
        self.stop.send_replace(true);
        let mut deliveries = self.deliveries.lock().await;
        let mut left = Vec::new();
        while let Ok(Some(delivery)) = timeout_at(deadline, deliveries.recv()).await {
            left.push(delivery);
        }
        left
    }
}

impl Drop for QueueConsumer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until the consumer is stopped or dropped.
async fn was_stopped(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

struct Source {
    link: Arc<Link>,
    queue: String,
    group: Option<String>,
    prefetch: u16,
}

impl Source {
    /// Consumes until it is stopped, again whenever the connection, the channel or the consumer is
    /// lost.
    async fn run(self, sender: mpsc::Sender<Delivery>, mut stopped: watch::Receiver<bool>) {
        loop {
            let opened = tokio::select! {
                opened = self.open() => opened,
                () = was_stopped(&mut stopped) => return,
            };
            match opened {
                Ok((channel, consumer)) => {
                    if self
                        .forward(&channel, consumer, &sender, &mut stopped)
                        .await
                    {
                        return;
                    }
                    tracing::warn!(queue = self.queue, "consuming was interrupted");
                }
                Err(error) => tracing::warn!(queue = self.queue, "can't consume: {error}"),
            }
            pause().await;
        }
    }

    async fn open(&self) -> Result<(Channel, Consumer), BrokerError> {
        if let Some(group) = &self.group {
            self.link.declare_group(group).await?;
        }
        let channel = self.link.channel().await?;
        request(channel.basic_qos(self.prefetch, BasicQosOptions::default())).await?;
        let (queue, tag) = (short(&self.queue), "tce".into());
        let options = BasicConsumeOptions::default();
        let consuming = channel.basic_consume(queue, tag, options, FieldTable::default());
        let consumer = request(consuming).await?;
        Ok((channel, consumer))
    }

    /// Forwards deliveries until the consumer is lost. Returns true once it is stopped.
    async fn forward(
        &self,
        channel: &Channel,
        mut consumer: Consumer,
        sender: &mpsc::Sender<Delivery>,
        stopped: &mut watch::Receiver<bool>,
    ) -> bool {
        loop {
            tokio::select! {
                delivered = consumer.next() => match delivered {
                    Some(Ok(delivery)) => {
                        if sender.send(delivery).await.is_err() {
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
                if sender.send(delivery).await.is_err() {
                    break;
                }
            }
        }
        true
    }
}
