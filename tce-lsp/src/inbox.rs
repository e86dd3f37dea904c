//! What the client has sent and nobody has looked at yet.

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

use crate::frame::Frame;

/// How many frames are taken in before one is looked at; more wait in the pipe.
const MAX_WAITING: usize = 1024;

/// Messages in the order in which they came. A request that is cancelled while
/// it waits is taken out.
pub(crate) struct Inbox {
    frames: Receiver<Frame>,
    waiting: VecDeque<Event>,
}

/// What there is to do.
#[derive(Debug)]
pub(crate) enum Event {
    Message(Message),
    /// The request with this id is not to be answered any more.
    Cancelled(RequestId),
    Malformed(String),
    /// Nothing came in time.
    Quiet,
    /// Nothing will come any more.
    End,
}

impl Inbox {
    pub(crate) fn new(frames: Receiver<Frame>) -> Self {
        Self {
            frames,
            waiting: VecDeque::new(),
        }
    }

    /// What comes next; waits for it until `deadline`, without one for ever.
    pub(crate) fn next(&mut self, deadline: Option<Instant>) -> Event {
        while self.waiting.len() < MAX_WAITING
            && let Ok(frame) = self.frames.try_recv()
        {
            self.take_in(frame);
        }
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return event;
            }
            let frame = match deadline {
                None => self.frames.recv().map_err(|_| Event::End),
                Some(deadline) => {
                    let rest = deadline.saturating_duration_since(Instant::now());
                    self.frames.recv_timeout(rest).map_err(|error| match error {
                        RecvTimeoutError::Timeout => Event::Quiet,
                        RecvTimeoutError::Disconnected => Event::End,
                    })
                }
            };
            match frame {
                Ok(frame) => self.take_in(frame),
                Err(event) => return event,
            }
        }
    }

    fn take_in(&mut self, frame: Frame) {
        match frame {
            Frame::Malformed(why) => self.waiting.push_back(Event::Malformed(why)),
            Frame::Message(Message::Notification(it)) if it.method == Cancel::METHOD => {
                self.cancel(it);
            }
            Frame::Message(message) => self.waiting.push_back(Event::Message(message)),
        }
    }

    /// Takes a request out of those that wait. One that was answered is none of them.
    fn cancel(&mut self, notification: Notification) {
        let Ok(params) = serde_json::from_value::<CancelParams>(notification.params) else {
            return;
        };
        let id = match params.id {
            NumberOrString::Number(number) => RequestId::from(number),
            NumberOrString::String(text) => RequestId::from(text),
        };
        let is_it = |event: &&mut Event| matches!(event, Event::Message(Message::Request(request)) if request.id == id);
        if let Some(event) = self.waiting.iter_mut().find(is_it) {
            *event = Event::Cancelled(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        time::{Duration, Instant},
    };

    use super::{Event, Inbox, Message};
    use crate::frame::Frame;

    fn message(text: &str) -> Frame {
        Frame::Message(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn a_request_that_waits_can_be_cancelled_and_keeps_its_turn() {
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
            matches!(inbox.next(None), Event::Message(Message::Request(it)) if it.method == "a")
        );
        assert!(matches!(inbox.next(None), Event::Cancelled(id) if id == "2".to_owned().into()));
        assert!(matches!(
            inbox.next(None),
            Event::Message(Message::Notification(_))
        ));
        assert!(matches!(inbox.next(None), Event::End));
    }

    #[test]
    fn nothing_in_time_is_quiet() {
        let (_sender, receiver) = mpsc::sync_channel(1);
        let soon = Instant::now() + Duration::from_millis(1);
        assert!(matches!(
            Inbox::new(receiver).next(Some(soon)),
            Event::Quiet
        ));
    }
}
