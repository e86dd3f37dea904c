//! Outcomes that Redis could not take.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    acknowledge,
    consumer::QueueConsumer,
    records::{Changed, Records},
};
use crate::{
    broker::QueueError,
    clock::now_ms,
    model::{Entry, parse_id},
};

/// How often an outcome is written again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one look for outcomes lasts.
const LOOK_TIME: Duration = Duration::from_secs(3600);

/// Writes the outcomes that the store could not take, once it can.
pub(super) async fn write_outcomes(records: Records, outcomes: QueueConsumer) {
    loop {
        let until = Instant::now() + LOOK_TIME;
        for arrived in outcomes.take(1, until).await {
            let delivery = &arrived.delivery;
            let Some(entry) = Entry::decode(&delivery.data) else {
                tracing::error!("an outcome is damaged, or from a later version");
                acknowledge(delivery).await;
                continue;
            };
            while let Err(error) = write_outcome(&records, &entry).await {
                tracing::warn!("an outcome waits for the store: {error}");
                sleep(PAUSE).await;
            }
            acknowledge(delivery).await;
        }
    }
}

async fn write_outcome(records: &Records, entry: &Entry) -> Result<(), QueueError> {
    let id = parse_id(&entry.task.id)?;
    let mut present = records.read(id).await?;
    loop {
        if present
            .as_ref()
            .is_some_and(|it| entry.is_older_than(&it.entry))
        {
            return Ok(());
        }
        match records
            .change(id, present.as_ref(), entry, now_ms())
            .await?
        {
            Changed::Done(_) => return Ok(()),
            Changed::Conflict(other) => present = other,
        }
    }
}
