//! Dead tasks, in their queue.

use lapin::{message::Delivery, options::BasicGetOptions};

use super::{AmqpQueue, acknowledge, link::request, message::Message, topology::short};
use crate::{
    broker::QueueError,
    clock::now_ms,
    idl::tasks::Task,
    model::{Entry, parse_id},
};

/// Dead tasks that are looked at.
const MAX_DEAD: usize = 10_000;

/// What happens to a dead task.
#[derive(Debug, Clone, Copy)]
enum DeadAction {
    Requeue,
    Drop,
}

impl AmqpQueue {
    /// Takes dead tasks from their queue, and requeues or drops them. The others return to it.
    async fn settle_dead(&self, ids: &[String], action: DeadAction) -> Result<i32, QueueError> {
        let ids: Result<Vec<u128>, _> = ids.iter().map(|id| parse_id(id)).collect();
        let ids = ids?;
        // What is not acknowledged returns when the channel is closed.
        let channel = self.0.publishing.channel().await?;
        let (mut count, mut left) = (0, ids.len());
        for _ in 0..MAX_DEAD {
            if left == 0 {
                break;
            }
            let queue = short(&self.0.topology.dead());
            let getting = channel.basic_get(queue, BasicGetOptions::default());
            let Some(got) = request(getting).await? else {
                break;
            };
            let (message, _) = Message::read(&got.delivery, "");
            let id = parse_id(&message.task.id);
            if let Some(id) = id.ok().filter(|id| ids.contains(id)) {
                let is_settled = match action {
                    DeadAction::Requeue => self.requeue(id, message).await?,
                    DeadAction::Drop => self.forget(id).await?,
                };
                count += i32::from(is_settled);
                acknowledge(&got.delivery).await;
                left -= 1;
            }
        }
        // Dropping a channel does not close it at once.
        let _ = request(channel.close(200, "done".into())).await;
        Ok(count)
    }

    pub(crate) async fn requeue_dead(&self, ids: &[String]) -> Result<i32, QueueError> {
        self.settle_dead(ids, DeadAction::Requeue).await
    }

    pub(crate) async fn drop_dead(&self, ids: &[String]) -> Result<i32, QueueError> {
        self.settle_dead(ids, DeadAction::Drop).await
    }

    async fn forget(&self, id: u128) -> Result<bool, QueueError> {
        if let Some(records) = &self.0.records {
            if let Some(stored) = records.read(id).await? {
                // A task that no queue received has not ended, and may hold its key.
                records.release(&stored.entry).await?;
            }
            records.remove(id).await?;
        }
        Ok(true)
    }

    async fn requeue(&self, id: u128, message: Message) -> Result<bool, QueueError> {
        let mut again = Message::first(message.task, 0);
        again.step = message.step;
        again.delivery = message.delivery;
        again.task.options.remove("run_at");
        if self.0.records.is_some() {
            let delivery = self.change(id, |entry| {
                // A task that no queue received, or that was delivered too often, has not ended.
                let is_again = entry.requeue(now_ms(), 0) || !entry.status().is_final();
                (is_again, entry.delivery)
            });
            match delivery.await? {
                Some((false, _)) => return Ok(false),
                Some((true, delivery)) => again.delivery = delivery,
                None => {}
            }
        }
        self.0.publishing.send(&again, 0).await?;
        Ok(true)
    }

    /// Moves a message that is no task to the dead ones.
    pub(super) async fn bury_undecodable(
        &self,
        delivery: &Delivery,
        reason: &str,
    ) -> Result<(), QueueError> {
        let (mut message, _) = Message::read(delivery, "");
        message.reason = Some(reason.to_owned());
        let properties = message.properties().unwrap_or_default();
        let dead = self.0.topology.dead();
        Ok(self
            .0
            .publishing
            .send_to(dead, properties, &delivery.data)
            .await?)
    }

    /// Moves a task to the dead ones.
    pub(super) async fn bury(&self, task: Task, entry: &Entry) -> Result<(), QueueError> {
        let message = Message::follow_up(task, entry);
        let properties = message.properties().unwrap_or_default();
        let dead = self.0.topology.dead();
        Ok(self
            .0
            .publishing
            .send_to(dead, properties, &message.task.body)
            .await?)
    }
}
