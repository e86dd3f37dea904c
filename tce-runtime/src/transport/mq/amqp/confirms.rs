//! Whether messages were taken
//! (`https://www.rabbitmq.com/docs/confirms#publisher-confirms`).

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::{error::AmqpError, frame::Properties};

/// Hears what the broker says of a message.
pub(super) type Confirming = oneshot::Receiver<Result<Confirmation, AmqpError>>;

/// What the broker says of a message.
#[derive(Debug)]
pub(super) struct Confirmation {
    pub(super) is_taken: bool,
    /// A message that nobody wanted: this one, or another that was confirmed
    /// with it.
    pub(super) returned: Option<Returned>,
}

/// A message that no queue has taken.
#[derive(Debug)]
pub(super) struct Returned {
    pub(super) key: String,
    pub(super) properties: Properties,
    pub(super) body: Vec<u8>,
}

/// The messages of a channel that are not confirmed yet.
#[derive(Debug, Default)]
pub(super) struct Confirms {
    /// How many left before the first of these. A message's number is its
    /// place, from 1 on.
    settled: u64,
    waiting: VecDeque<Option<oneshot::Sender<Result<Confirmation, AmqpError>>>>,
    returned: VecDeque<Returned>,
}

impl Confirms {
    /// Waits for the message that leaves next.
    pub(super) fn next(&mut self) -> Confirming {
        let (sender, receiver) = oneshot::channel();
        self.waiting.push_back(Some(sender));
        receiver
    }

    /// A message came back, which its confirmation follows.
    pub(super) fn came_back(&mut self, returned: Returned) {
        // Without anybody who waits it belongs to one that asked for nothing.
        if !self.waiting.is_empty() {
            self.returned.push_back(returned);
        }
    }

    /// The message of that number, or all through it, was taken or not. 0 is
    /// the last one that left.
    pub(super) fn settle(&mut self, number: u64, multiple: bool, is_taken: bool) {
        let place = match number {
            0 => self.waiting.len(),
            // None is left of what was settled before.
            _ => usize::try_from(number.saturating_sub(self.settled)).unwrap_or(usize::MAX),
        };
        let through = place.min(self.waiting.len());
        let first = if multiple { 0 } else { place.saturating_sub(1) };
        for place in first..through {
            if let Some(sender) = self.waiting[place].take() {
                // What came back is confirmed as taken, never refused.
                let returned = if is_taken {
                    self.returned.pop_front()
                } else {
                    None
                };
                // Who has given up does not care.
                let _ = sender.send(Ok(Confirmation { is_taken, returned }));
            }
        }
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.settled += 1;
        }
    }

    /// Nothing more is said of any.
    pub(super) fn fail(&mut self, error: &AmqpError) {
        for sender in self.waiting.drain(..).flatten() {
            let _ = sender.send(Err(error.clone()));
        }
        self.returned.clear();
    }
}
