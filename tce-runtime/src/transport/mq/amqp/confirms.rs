//! Whether messages were taken
//! (`https://www.rabbitmq.com/docs/confirms#publisher-confirms`).

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::error::AmqpError;

/// Hears what the broker says of a message.
pub(super) type Confirming = oneshot::Receiver<Result<Confirmation, AmqpError>>;

/// What the broker says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirmation {
    Taken,
    Refused,
    /// No queue wanted it.
    CameBack,
}

/// The messages of a channel that are not confirmed yet.
#[derive(Debug, Default)]
pub(super) struct Confirms {
    /// How many left before the first of these. A message's number is its
    /// place, from 1 on.
    settled: u64,
    waiting: VecDeque<Option<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    sender: oneshot::Sender<Result<Confirmation, AmqpError>>,
    came_back: bool,
}

impl Confirms {
    /// The number of the message that leaves next.
    pub(super) fn next_number(&self) -> u64 {
        self.settled + self.waiting.len() as u64 + 1
    }

    /// Waits for the message that leaves next.
    pub(super) fn next(&mut self) -> Confirming {
        let (sender, receiver) = oneshot::channel();
        self.waiting.push_back(Some(Waiting {
            sender,
            came_back: false,
        }));
        receiver
    }

    /// The message of that number came back; its confirmation follows.
    pub(super) fn came_back(&mut self, number: u64) {
        let place = self.place(number).checked_sub(1);
        if let Some(Some(waiting)) = place.and_then(|place| self.waiting.get_mut(place)) {
            waiting.came_back = true;
        }
    }

    /// The message of that number, or all through it, was taken or not. 0 is
    /// the last one that left.
    pub(super) fn settle(&mut self, number: u64, multiple: bool, is_taken: bool) {
        let place = match number {
            0 => self.waiting.len(),
            _ => self.place(number),
        };
        let through = place.min(self.waiting.len());
        let first = if multiple { 0 } else { place.saturating_sub(1) };
        for place in first..through {
            if let Some(Waiting { sender, came_back }) = self.waiting[place].take() {
                let confirmation = match (is_taken, came_back) {
                    (true, true) => Confirmation::CameBack,
                    (true, false) => Confirmation::Taken,
                    (false, _) => Confirmation::Refused,
                };
                // Who has given up does not care.
                let _ = sender.send(Ok(confirmation));
            }
        }
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.settled += 1;
        }
    }

    /// Where a message is among those that wait, from 1 on; 0 for one that was
    /// settled before.
    fn place(&self, number: u64) -> usize {
        usize::try_from(number.saturating_sub(self.settled)).unwrap_or(usize::MAX)
    }

    /// Nothing more is said of any.
    pub(super) fn fail(&mut self, error: &AmqpError) {
        for waiting in self.waiting.drain(..).flatten() {
            let _ = waiting.sender.send(Err(error.clone()));
        }
    }
}
