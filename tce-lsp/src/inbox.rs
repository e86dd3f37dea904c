//! The messages of the client that have not been handled yet.

use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Instant,
};

use ls_types::{
    CancelParams, NumberOrString,
    notification::{Cancel, Notification as _},
};
use lsp_server::{Message, Notification, RequestId};

use crate::frame::ClientFrame;

/// The most messages that are queued; further ones stay in the channel.
const MAX_QUEUED: usize = 1024;

/// Queued messages, in order. A request that is cancelled while it is queued is
/// not handled.
pub(crate) struct Inbox {
    frames: Receiver<ClientFrame>,
    queue: VecDeque<ClientEvent>,
}

/// What the server has to handle next.
#[derive(Debug)]
pub(crate) enum ClientEvent {
    Message(Message),
    /// A request that was cancelled before it was handled.
    Cancelled(RequestId),
    Malformed(String),
    /// The deadline has passed without a message.
    Timeout,
    /// The input has ended.
    End,
}

impl Inbox {
    pub(crate) fn new(frames: Receiver<ClientFrame>) -> Self {
        Self {
            frames,
            queue: VecDeque::new(),
        }
    }

    /// Waits for the next event, until `deadline` if there is one.
    pub(crate) fn next(&mut self, deadline: Option<Instant>) -> ClientEvent {
        while self.queue.len() < MAX_QUEUED
            && let Ok(frame) = self.frames.try_recv()
        {
            self.enqueue(frame);
        }
        loop {
            if let Some(event) = self.queue.pop_front() {
                return event;
            }
            let frame = match deadline {
                None => self.frames.recv().map_err(|_| ClientEvent::End),
                Some(deadline) => {
                    let rest = deadline.saturating_duration_since(Instant::now());
                    self.frames.recv_timeout(rest).map_err(|error| match error {
                        RecvTimeoutError::Timeout => ClientEvent::Timeout,
                        RecvTimeoutError::Disconnected => ClientEvent::End,
                    })
                }
            };
            match frame {
                Ok(frame) => self.enqueue(frame),
                Err(event) => return event,
            }
        }
    }

    fn enqueue(&mut self, frame: ClientFrame) {
        match frame {
            ClientFrame::Malformed(why) => self.queue.push_back(ClientEvent::Malformed(why)),
            ClientFrame::Message(Message::Notification(it)) if it.method == Cancel::METHOD => {
                self.cancel(it);
            }
            ClientFrame::Message(message) => self.queue.push_back(ClientEvent::Message(message)),
        }
    }

    /// Marks a queued request as cancelled. A request that was answered already is not in the queue.
    fn cancel(&mut self, notification: Notification) {
        let Ok(params) = serde_json::from_value::<CancelParams>(notification.params) else {
            return;
        };
        let id = match params.id {
            NumberOrString::Number(number) => RequestId::from(number),
            NumberOrString::String(text) => RequestId::from(text),
        };
        let is_request = |event: &&mut ClientEvent| matches!(event, ClientEvent::Message(Message::Request(request)) if request.id == id);
        if let Some(event) = self.queue.iter_mut().find(is_request) {
            *event = ClientEvent::Cancelled(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        time::{Duration, Instant},
    };

    use super::{ClientEvent, Inbox, Message};
    use crate::frame::ClientFrame;

    fn message(text: &str) -> ClientFrame {
        ClientFrame::Message(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn a_queued_request_can_be_cancelled_and_keeps_its_position() {
        let (sender, receiver) = mpsc::sync_channel(8);
        for text in [
            r#"{"id":1,"method":"a"}"#,
            r#"{"id":"2","method":"b"}"#,
            r#"{"method":"c"}"#,
            r#"{"method":"$/cancelRequest","params":{"id":"2"}}"#,
            r#"{"method":"$/cancelRequest","params":{"id":9}}"#,
            r#"{"method":"$/cancelRequest","params":7}"#,
        ] {
            sender.send(message(text)).unwrap();
        }
        drop(sender);
        let mut inbox = Inbox::new(receiver);
        assert!(
            matches!(inbox.next(None), ClientEvent::Message(Message::Request(it)) if it.method == "a")
        );
        assert!(
            matches!(inbox.next(None), ClientEvent::Cancelled(id) if id == "2".to_owned().into())
        );
        assert!(matches!(
            inbox.next(None),
            ClientEvent::Message(Message::Notification(_))
        ));
        assert!(matches!(inbox.next(None), ClientEvent::End));
    }

    #[test]
    fn a_deadline_without_a_message_is_a_timeout() {
        let (_sender, receiver) = mpsc::sync_channel(1);
        let soon = Instant::now() + Duration::from_millis(1);
        assert!(matches!(
            Inbox::new(receiver).next(Some(soon)),
            ClientEvent::Timeout
        ));
    }
}
