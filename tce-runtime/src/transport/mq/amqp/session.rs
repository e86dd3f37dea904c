//! One connection to a broker, while it lasts.
//!
//! One task reads and writes it; whoever has something to say appends it and
//! wakes that task. No thread is crossed, and what many say at once leaves in
//! one write.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BytesMut};
use tokio::{io::AsyncWrite, sync::Notify};

use super::{
    answer::Answer,
    confirms::Confirming,
    dialog::{Asked, Dialog},
    error::AmqpError,
    frame::{Content, Frame, Way, put_heartbeat, put_message, put_request},
    octets::Malformed,
    request::{Request, Tuning},
};
use crate::transport::mq::Publication;

/// So many bytes may wait to leave before who publishes has to wait too.
const CROWDED: usize = 256 << 10;
/// A buffer of at most this size is kept.
const KEEP_CAPACITY: usize = 64 << 10;

/// What the task and those who use the connection share.
#[derive(Debug)]
pub(super) struct Session {
    state: Mutex<State>,
    /// Told when what has waited to leave has left, and when all is over.
    changed: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    tuning: Tuning,
    pub(super) dialogs: BTreeMap<u16, Dialog>,
    /// What has to leave, and how much of it has.
    out: Vec<u8>,
    written: usize,
    /// The task, while it waits.
    driver: Option<Waker>,
    /// Whether something has left, or come, since this was last asked.
    has_said: bool,
    has_heard: bool,
    is_closing: bool,
    end: Option<AmqpError>,
}

impl Session {
    pub(super) fn new(tuning: Tuning) -> Self {
        let state = State {
            tuning,
            dialogs: BTreeMap::new(),
            out: Vec::new(),
            written: 0,
            driver: None,
            has_said: false,
            has_heard: false,
            is_closing: false,
            end: None,
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    /// Says farewell; the task ends when the broker has answered.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        if state.end.is_none() {
            state.is_closing = true;
            state.say(0, &Request::Close);
        }
    }

    /// Waits until not too much waits to leave.
    pub(super) async fn capacity(&self) {
        self.until(|state| !state.is_crowded()).await;
    }

    /// Waits until the connection is lost.
    pub(super) async fn ended(&self) {
        self.until(|state| state.end.is_some()).await;
    }

    async fn until(&self, is_so: impl Fn(&State) -> bool) {
        loop {
            let changed = self.changed.notified();
            if is_so(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// Writes what has to leave, as long as the connection lasts.
    pub(super) fn poll_write(
        &self,
        context: &mut Context<'_>,
        sink: &mut (impl AsyncWrite + Unpin + ?Sized),
    ) -> Poll<AmqpError> {
        let mut state = self.lock();
        let was_crowded = state.is_crowded();
        let result = state.poll_write(context, sink);
        if was_crowded && !state.is_crowded() {
            self.changed.notify_waiters();
        }
        result
    }

    /// Takes what a read has brought, and leaves of it what is no whole frame.
    pub(super) fn take(&self, bytes: &mut BytesMut) -> Result<(), AmqpError> {
        let mut state = self.lock();
        state.has_heard = true;
        let max = state.frame_max();
        while let Some((frame, size)) = Frame::split(bytes, max)? {
            state.take(frame)?;
            bytes.advance(size);
        }
        Ok(())
    }

    /// Half of the heartbeat's time has passed.
    pub(super) fn beat(&self) -> Beat {
        let mut state = self.lock();
        if !std::mem::take(&mut state.has_said) && state.out.is_empty() {
            put_heartbeat(&mut state.out);
        }
        Beat {
            was_heard: std::mem::take(&mut state.has_heard),
            is_closing: state.is_closing || state.end.is_some(),
        }
    }

    /// The connection is lost, for all who use it.
    pub(super) fn fail(&self, error: AmqpError) {
        let mut state = self.lock();
        state.fail(error);
        state.out = Vec::new();
        state.written = 0;
        self.changed.notify_waiters();
    }
}

/// What was seen of a connection since the last beat.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beat {
    pub(super) was_heard: bool,
    /// Whether the two sides only take leave of each other.
    pub(super) is_closing: bool,
}

impl State {
    fn frame_max(&self) -> usize {
        usize::try_from(self.tuning.frame_max).unwrap_or(usize::MAX)
    }

    /// Begins a channel.
    pub(super) fn begin(&mut self) -> Result<u16, AmqpError> {
        if let Some(error) = &self.end {
            return Err(error.clone());
        }
        let free = (1..=self.tuning.channel_max).find(|id| !self.dialogs.contains_key(id));
        let free = free.ok_or_else(|| AmqpError::lost("the broker allows no more channels"))?;
        self.dialogs.insert(free, Dialog::default());
        Ok(free)
    }

    /// Sends a method of which every name is known to fit.
    pub(super) fn say(&mut self, channel: u16, request: &Request<'_>) {
        let put = put_request(&mut self.out, channel, request);
        debug_assert!(put.is_ok(), "{request:?}");
        self.wake();
    }

    /// Sends a request on a channel that is in use.
    pub(super) fn ask(&mut self, channel: u16, request: &Request<'_>) -> Result<Asked, AmqpError> {
        let dialog = self.dialogs.get_mut(&channel).ok_or_else(AmqpError::gone)?;
        dialog.is_open()?;
        put_request(&mut self.out, channel, request)?;
        let asked = dialog.ask(request);
        self.wake();
        Ok(asked)
    }

    /// Sends a message on a channel that is in use.
    pub(super) fn publish(
        &mut self,
        channel: u16,
        way: Way<'_>,
        publication: &Publication,
        is_confirmed: bool,
    ) -> Result<Option<Confirming>, AmqpError> {
        let max = self.frame_max();
        let dialog = self.dialogs.get_mut(&channel).ok_or_else(AmqpError::gone)?;
        dialog.is_open()?;
        let number = is_confirmed.then(|| dialog.confirms.next_number());
        put_message(&mut self.out, channel, max, way, publication, number)?;
        let confirming = is_confirmed.then(|| dialog.confirms.next());
        self.wake();
        Ok(confirming)
    }

    /// Nobody uses a channel any more.
    pub(super) fn leave(&mut self, channel: u16) {
        let Some(dialog) = self.dialogs.get_mut(&channel) else {
            return;
        };
        if dialog.drop() {
            // Its answer says that the number is free.
            let _ = self.ask(channel, &Request::ChannelClose);
        } else if dialog.is_over() {
            self.dialogs.remove(&channel);
        }
    }

    fn wake(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    fn is_crowded(&self) -> bool {
        self.out.len() - self.written > CROWDED
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut (impl AsyncWrite + Unpin + ?Sized),
    ) -> Poll<AmqpError> {
        while self.written < self.out.len() {
            let left = &self.out[self.written..];
            match Pin::new(&mut *sink).poll_write(context, left) {
                Poll::Ready(Ok(size @ 1..)) => self.written += size,
                Poll::Ready(Ok(0)) => return Poll::Ready(AmqpError::lost("it takes no more")),
                Poll::Ready(Err(error)) => return Poll::Ready(AmqpError::Lost(error.to_string())),
                Poll::Pending => {
                    self.out.drain(..self.written);
                    self.written = 0;
                    self.driver = Some(context.waker().clone());
                    return Poll::Pending;
                }
            }
            self.has_said = true;
        }
        self.out.clear();
        self.out.shrink_to(KEEP_CAPACITY);
        self.written = 0;
        if let Err(error) = ready!(Pin::new(sink).poll_flush(context)) {
            return Poll::Ready(AmqpError::Lost(error.to_string()));
        }
        // The broker has ended it, and has our answer now.
        if let Some(error) = &self.end {
            return Poll::Ready(error.clone());
        }
        self.driver = Some(context.waker().clone());
        Poll::Pending
    }

    fn take(&mut self, frame: Frame<'_>) -> Result<(), AmqpError> {
        let Frame { channel, content } = frame;
        if channel == 0 {
            return match content {
                Content::Method(octets) => self.take_own(Answer::parse(octets)?),
                Content::Heartbeat => Ok(()),
                _ => Err(Malformed("a message outside of a channel").into()),
            };
        }
        let dialog = self.dialogs.get_mut(&channel);
        let dialog = dialog.ok_or(Malformed("a channel that is not open"))?;
        match content {
            Content::Method(octets) => {
                let reply = dialog.hear(Answer::parse(octets)?)?;
                if dialog.is_over() {
                    self.dialogs.remove(&channel);
                }
                if let Some(request) = reply {
                    self.say(channel, &request);
                }
            }
            Content::Header(octets) => dialog.header(octets)?,
            Content::Body(bytes) => dialog.body(bytes)?,
            Content::Heartbeat => return Err(Malformed("a heartbeat of a channel").into()),
        }
        Ok(())
    }

    /// Takes a method of the connection itself.
    fn take_own(&mut self, answer: Answer<'_>) -> Result<(), AmqpError> {
        match answer {
            Answer::Close(reason) => {
                self.fail(AmqpError::ended(reason));
                self.say(0, &Request::CloseOk);
            }
            Answer::CloseOk => return Err(AmqpError::lost("it was closed")),
            Answer::Blocked { reason } => {
                let reason = String::from_utf8_lossy(reason);
                tracing::warn!("the broker takes no messages for now: {reason}");
            }
            Answer::Unblocked => tracing::info!("the broker takes messages again"),
            _ => return Err(Malformed("a method of a channel comes by none").into()),
        }
        Ok(())
    }

    fn fail(&mut self, error: AmqpError) {
        for dialog in self.dialogs.values_mut() {
            dialog.fail(&error);
        }
        self.end.get_or_insert(error);
    }
}
