//! A task as a message of RabbitMQ, and back.
//!
//! `message_id` is the id, `type` the operation, `content_type` and body are those of the task. Headers
//! are the options of the task, and what a follow-up carries: `step`, `attempt`, `delivery`, `due`. Foreign
//! publishers need the id, the type and the content type.

use std::collections::BTreeMap;

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};

use super::topology::GroupQueue;
use crate::{
    idl::tasks::Task,
    model::{Entry, Phase, Priority},
};

const GROUP: &str = "group";
const STEP: &str = "step";
const ATTEMPT: &str = "attempt";
const DELIVERY: &str = "delivery";
const DUE: &str = "due";
const REASON: &str = "reason";
/// AMQP's delivery mode of messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;

/// A task on its path through RabbitMQ.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    pub(super) task: Task,
    /// The step of a workflow.
    pub(super) step: i32,
    /// The attempt of the step that it asks for.
    pub(super) attempt: i32,
    /// Deliveries before this message was published; the broker counts those of this message.
    pub(super) delivery: i32,
    /// Unix time in milliseconds before which it must not begin; 0: at once.
    pub(super) due_ms: i64,
    /// Why it is dead.
    pub(super) reason: Option<String>,
}

impl Message {
    /// The first message of a task.
    pub(super) fn first(task: Task, due_ms: i64) -> Self {
        Self {
            task,
            step: 0,
            attempt: 0,
            delivery: 0,
            due_ms,
            reason: None,
        }
    }

    /// The message for the next attempt of a task, or for its death.
    pub(super) fn follow_up(mut task: Task, entry: &Entry) -> Self {
        // A servant may have changed the number.
        task.options
            .insert("retry".to_owned(), entry.retries.to_string());
        let (due_ms, reason) = match entry.phase {
            Phase::Queued { due_ms, .. } => (due_ms, None),
            _ => (0, Some(entry.record.error.clone())),
        };
        Self {
            task,
            step: entry.step,
            attempt: entry.attempt,
            delivery: entry.delivery,
            due_ms,
            reason,
        }
    }

    /// The queue that it belongs to.
    pub(super) fn queue(&self) -> GroupQueue {
        let priority = self.task.options.get("priority");
        GroupQueue {
            group: self.task.group.clone(),
            priority: priority
                .and_then(|it| Priority::parse(it))
                .unwrap_or_default(),
        }
    }

    pub(super) fn properties(&self) -> Option<BasicProperties> {
        // Headers are built anew: brokers before 4.0.1 lose a message that passes a level again with
        // the `x-death` of the first time.
        let mut headers = FieldTable::default();
        let mut insert = |key: &str, value: AMQPValue| {
            headers.insert(ShortString::try_new(key).ok()?, value);
            Some(())
        };
        let text = |text: &str| AMQPValue::LongString(text.into());
        for (key, value) in &self.task.options {
            insert(key, text(value))?;
        }
        insert(GROUP, text(&self.task.group))?;
        insert(STEP, AMQPValue::LongInt(self.step))?;
        insert(ATTEMPT, AMQPValue::LongInt(self.attempt))?;
        insert(DELIVERY, AMQPValue::LongInt(self.delivery))?;
        insert(DUE, AMQPValue::LongLongInt(self.due_ms))?;
        if let Some(reason) = &self.reason {
            insert(REASON, text(reason))?;
        }
        let short = |text: &str| ShortString::try_new(text).ok();
        Some(
            BasicProperties::default()
                .with_delivery_mode(PERSISTENT)
                .with_message_id(short(&self.task.id)?)
                .with_type(short(&self.task.operation)?)
                .with_content_type(short(&self.task.content_type)?)
                .with_headers(headers),
        )
    }

    /// Reads a delivered message; `group` if it does not say its own. `redeliveries` are those that
    /// the broker has counted.
    pub(super) fn read(delivery: &lapin::message::Delivery, group: &str) -> (Self, i32) {
        let properties = &delivery.properties;
        let text =
            |it: &Option<ShortString>| it.as_ref().map_or("", ShortString::as_str).to_owned();
        let mut message = Self::first(
            Task {
                id: text(properties.message_id()),
                group: group.to_owned(),
                operation: text(properties.kind()),
                content_type: text(properties.content_type()),
                body: delivery.data.clone(),
                options: BTreeMap::new(),
            },
            0,
        );
        let mut redeliveries = 0;
        let headers = properties.headers().iter();
        for (key, value) in headers.flat_map(FieldTable::inner) {
            let number = || value_text(value)?.parse().ok();
            match key.as_str() {
                GROUP => message.task.group = value_text(value).unwrap_or_default(),
                STEP => message.step = number().unwrap_or(0),
                ATTEMPT => message.attempt = number().unwrap_or(0),
                DELIVERY => message.delivery = number().unwrap_or(0),
                DUE => {
                    let due = value_text(value).and_then(|due| due.parse().ok());
                    message.due_ms = due.unwrap_or(0);
                }
                REASON => message.reason = value_text(value),
                // 4.3 has both: the first one counts less.
                "x-delivery-count" | "x-acquired-count" => {
                    redeliveries = redeliveries.max(number().unwrap_or(0));
                }
                "x-first-death-reason" if message.reason.is_none() => {
                    // A message expires in the levels only: then no queue of its group exists.
                    let reason = value_text(value).unwrap_or_default();
                    message.reason = Some(match reason.as_str() {
                        "expired" => "unroutable".to_owned(),
                        _ => reason,
                    });
                }
                key if key.starts_with("x-") => {}
                key => {
                    if let Some(value) = value_text(value) {
                        message.task.options.insert(key.to_owned(), value);
                    }
                }
            }
        }
        (message, redeliveries)
    }
}

/// A header as the text that an option has.
fn value_text(value: &AMQPValue) -> Option<String> {
    Some(match value {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok()?,
        AMQPValue::ShortString(text) => text.as_str().to_owned(),
        AMQPValue::ShortShortInt(number) => number.to_string(),
        AMQPValue::ShortShortUInt(number) => number.to_string(),
        AMQPValue::ShortInt(number) => number.to_string(),
        AMQPValue::ShortUInt(number) => number.to_string(),
        AMQPValue::LongInt(number) => number.to_string(),
        AMQPValue::LongUInt(number) => number.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        AMQPValue::Timestamp(number) => number.to_string(),
        _ => return None,
    })
}
