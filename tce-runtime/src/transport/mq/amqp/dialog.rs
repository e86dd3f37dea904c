//! What is under way on one channel.

use std::{collections::VecDeque, task::Waker};

use tokio::sync::oneshot;

use super::{
    answer::Answer,
    confirms::Confirms,
    error::AmqpError,
    frame::{Header, Properties},
    octets::{Malformed, Octets},
    request::Request,
};

/// The largest message that is taken: what RabbitMQ takes at most unless told
/// otherwise (`max_message_size`).
const MESSAGE_MAX: u64 = 128 << 20;
/// The memory that a message gets before its bytes are there.
const RESERVED: u64 = 64 << 10;

/// Hears what became of a request: of a queue's declaration its name.
pub(super) type Asked = oneshot::Receiver<Result<Option<String>, AmqpError>>;
type Asker = oneshot::Sender<Result<Option<String>, AmqpError>>;

/// The state of a channel that is open.
#[derive(Debug, Default)]
pub(super) struct Dialog {
    /// Who waits for an answer, in the order of the requests.
    askers: VecDeque<Asker>,
    pub(super) confirms: Confirms,
    /// What has come and was not fetched.
    messages: VecDeque<Message>,
    /// How many of these there may be.
    prefetch: usize,
    /// Who waits for the next one.
    reader: Option<Waker>,
    incoming: Option<Incoming>,
    /// Whether nothing comes any more.
    is_cancelled: bool,
    end: Option<AmqpError>,
    /// Whether the broker was asked to end it.
    is_leaving: bool,
    /// Whether nobody uses it any more.
    is_dropped: bool,
}

/// A message out of a queue.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) number: u64,
    pub(super) is_redelivered: bool,
    pub(super) properties: Properties,
    pub(super) body: Vec<u8>,
}

/// A message of which not all has come.
#[derive(Debug)]
struct Incoming {
    why: Why,
    header: Option<Header>,
    body: Vec<u8>,
}

#[derive(Debug)]
enum Why {
    Delivered { number: u64, is_redelivered: bool },
    Returned,
}

impl Dialog {
    /// Refuses what can't be asked any more.
    pub(super) fn is_open(&self) -> Result<(), AmqpError> {
        match &self.end {
            Some(error) => Err(error.clone()),
            None if self.is_leaving => Err(AmqpError::lost("the channel was left")),
            None => Ok(()),
        }
    }

    /// Whether its number is free for another.
    pub(super) fn is_over(&self) -> bool {
        self.is_dropped && self.end.is_some()
    }

    /// Nobody uses it any more; says whether the broker has to be told.
    pub(super) fn drop(&mut self) -> bool {
        self.is_dropped = true;
        self.messages.clear();
        self.end.is_none() && !self.is_leaving
    }

    /// Whoever sends a request waits here for its answer.
    pub(super) fn ask(&mut self, request: &Request<'_>) -> Asked {
        match request {
            Request::Qos { prefetch } => self.prefetch = usize::from(*prefetch),
            Request::ChannelClose => self.is_leaving = true,
            _ => {}
        }
        let (asker, answer) = oneshot::channel();
        self.askers.push_back(asker);
        answer
    }

    /// Takes a method, and says what has to be answered.
    pub(super) fn hear(
        &mut self,
        answer: Answer<'_>,
    ) -> Result<Option<Request<'static>>, Malformed> {
        if self.incoming.is_some() {
            return Err(Malformed("a message ends early"));
        }
        match answer {
            Answer::Done { name } => self.answer(name.map(str::to_owned))?,
            Answer::ChannelCloseOk => {
                self.answer(None)?;
                self.fail(&AmqpError::lost("the channel was left"));
            }
            Answer::ChannelClose(reason) => {
                // Who leaves at the same time still gets an answer to that.
                if !self.is_leaving {
                    self.fail(&AmqpError::refused(reason));
                }
                return Ok(Some(Request::ChannelCloseOk));
            }
            Answer::Flow { active } => return Ok(Some(Request::FlowOk { active })),
            Answer::Cancelled => self.cancelled(),
            Answer::Delivery {
                number,
                is_redelivered,
            } => self.begin(Why::Delivered {
                number,
                is_redelivered,
            }),
            Answer::Returned => self.begin(Why::Returned),
            Answer::Ack { number, multiple } => self.confirms.settle(number, multiple, true),
            Answer::Nack { number, multiple } => self.confirms.settle(number, multiple, false),
            _ => return Err(Malformed("a method of a connection comes by a channel")),
        }
        Ok(None)
    }

    fn answer(&mut self, name: Option<String>) -> Result<(), Malformed> {
        let asker = self.askers.pop_front();
        let asker = asker.ok_or(Malformed("an answer without a question"))?;
        // Who has given up does not care.
        let _ = asker.send(Ok(name));
        Ok(())
    }

    fn begin(&mut self, why: Why) {
        self.incoming = Some(Incoming {
            why,
            header: None,
            body: Vec::new(),
        });
    }

    pub(super) fn header(&mut self, octets: Octets<'_>) -> Result<(), Malformed> {
        let incoming = self.incoming.as_mut().filter(|it| it.header.is_none());
        let incoming = incoming.ok_or(Malformed("a header without a message"))?;
        let header = Header::parse(octets)?;
        if header.body_size > MESSAGE_MAX {
            return Err(Malformed("a message has more than 128 MiB"));
        }
        let reserved = header.body_size.min(RESERVED);
        incoming.body = Vec::with_capacity(usize::try_from(reserved).unwrap_or(0));
        incoming.header = Some(header);
        self.complete()
    }

    pub(super) fn body(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let incoming = self.incoming.as_mut().filter(|it| it.header.is_some());
        let incoming = incoming.ok_or(Malformed("a body without a message"))?;
        incoming.body.extend_from_slice(bytes);
        self.complete()
    }

    /// Hands on a message of which all is there.
    fn complete(&mut self) -> Result<(), Malformed> {
        let Some(Incoming {
            why,
            header: Some(header),
            body,
        }) = self.incoming.take_if(|it| it.is_complete())
        else {
            return Ok(());
        };
        if body.len() as u64 > header.body_size {
            return Err(Malformed("a message is larger than its header says"));
        }
        let properties = header.properties;
        match why {
            // One without a number is none of those that we wait for.
            Why::Returned => self.confirms.came_back(properties.number.unwrap_or(0)),
            Why::Delivered { .. } if self.messages.len() >= self.prefetch => {
                return Err(Malformed("more messages than were asked for"));
            }
            Why::Delivered {
                number,
                is_redelivered,
            } if !self.is_leaving => {
                self.messages.push_back(Message {
                    number,
                    is_redelivered,
                    properties,
                    body,
                });
                self.wake();
            }
            // It goes back to its queue.
            Why::Delivered { .. } => {}
        }
        Ok(())
    }

    /// The next message; `Ok(None)` when none comes any more.
    pub(super) fn next(&mut self, reader: &Waker) -> Option<Result<Option<Message>, AmqpError>> {
        if let Some(message) = self.messages.pop_front() {
            return Some(Ok(Some(message)));
        }
        if let Err(error) = self.is_open() {
            return Some(Err(error));
        }
        if self.is_cancelled {
            return Some(Ok(None));
        }
        self.reader = Some(reader.clone());
        None
    }

    /// Nothing comes any more.
    pub(super) fn cancelled(&mut self) {
        self.is_cancelled = true;
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Ends it for all who wait; what comes later meets a channel that is lost.
    pub(super) fn fail(&mut self, error: &AmqpError) {
        for asker in self.askers.drain(..) {
            let _ = asker.send(Err(error.clone()));
        }
        self.confirms.fail(error);
        self.messages.clear();
        self.end = Some(AmqpError::Lost(error.to_string()));
        self.wake();
    }
}

impl Incoming {
    fn is_complete(&self) -> bool {
        let header = self.header.as_ref();
        header.is_some_and(|header| self.body.len() as u64 >= header.body_size)
    }
}
