//! The incoming side of a stream connection: from bytes to calls and RETURNs.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::timeout_at,
};

use super::{
    Connection, Disposition, InboundMessage, IncomingCall, MessageHandler, Reply, WriteBatch,
    after, ended::CloseReason, write_buffer::overlaps,
};
use crate::{
    busy_poll::bytes_received,
    error::ErrorCode,
    wire::{
        Deframer, Extra, FrameError, Header, MSGTYPE_RPC, Message, RawMessage, Reader, reserved,
    },
};

/// How much one read takes at most: large messages want large reads. It lies in
/// one buffer for all connections of a thread, so that an idle connection has
/// none.
const READ_SIZE: usize = 256 << 10;
/// Replies of this size leave before the rest of what was read is looked at.
const REPLY_SIZE: usize = 256 << 10;

thread_local! {
    static READ_BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    /// Where the replies gather to what one read brought.
    static REPLIES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The incoming side of a connection.
pub(super) struct StreamReader<'a> {
    connection: &'a Connection,
    deframer: Deframer,
    /// Whether replies have left since the reader last looked for room.
    has_replied: bool,
    /// What was read and waits, since the peer has too much under way.
    held: Vec<u8>,
}

impl<'a> StreamReader<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        let limits = connection.inner.settings.options.limits;
        Self {
            connection,
            deframer: Deframer::new(limits),
            has_replied: false,
            held: Vec::new(),
        }
    }

    /// Reads until something ends the connection.
    pub(super) async fn read(&mut self, source: &mut (impl AsyncRead + Unpin)) -> CloseReason {
        let limits = self.connection.inner.settings.options.connection;
        // The frame that is cut off, and when it has to be complete.
        let mut slow_frame: Option<(u64, Instant)> = None;
        loop {
            let chunk = poll_fn(|cx| self.poll_chunk(source, cx));
            let read = match slow_frame {
                None => chunk.await,
                Some((_, at)) => match timeout_at(at.into(), chunk).await {
                    Ok(read) => read,
                    Err(_) => return CloseReason::SlowFrame(limits.frame_time),
                },
            };
            if let Err(ended) = read {
                return ended;
            }
            if let Err(error) = self.catch_up().await {
                return CloseReason::Frame(error);
            }
            slow_frame = match (slow_frame, self.deframer.partial()) {
                (_, None) => None,
                (Some((number, at)), Some(current)) if number == current => Some((number, at)),
                (_, Some(current)) => Some((current, after(Instant::now(), limits.frame_time))),
            };
        }
    }

    /// Reads once, and handles what came.
    fn poll_chunk(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CloseReason>> {
        let mut buffer = READ_BUFFER
            .take()
            .unwrap_or_else(|| vec![0; READ_SIZE].into_boxed_slice());
        let mut chunk = ReadBuf::new(&mut buffer);
        let read = Pin::new(source).poll_read(cx, &mut chunk);
        let handled = match &read {
            Poll::Ready(Ok(())) if chunk.filled().is_empty() => Err(CloseReason::ByPeer),
            Poll::Ready(Ok(())) => self.receive(chunk.filled()).map_err(CloseReason::Frame),
            _ => Ok(()),
        };
        READ_BUFFER.set(Some(buffer));
        if read.is_ready() {
            bytes_received();
        }
        ready!(read).map_err(CloseReason::Io)?;
        Poll::Ready(handled)
    }

    /// Waits while the peer has too much under way, and handles what was held
    /// back meanwhile.
    async fn catch_up(&mut self) -> Result<(), FrameError> {
        let inner = &self.connection.inner;
        let limit = inner.settings.options.connection.served_calls;
        loop {
            inner.served.fewer_than(limit).await;
            // Only who makes us reply has to wait for room. Two sides that both
            // stopped reading since their own calls wait would wait for ever.
            if std::mem::take(&mut self.has_replied) && inner.write_buffer.is_full() {
                inner.write_buffer.capacity().await;
            }
            while let Some(handler) = &inner.handler {
                if handler.waits_for_capacity() && inner.write_buffer.is_full() {
                    inner.write_buffer.capacity().await;
                } else if handler.should_pause() {
                    handler.until_resumed().await;
                } else {
                    break;
                }
            }
            if self.held.is_empty() {
                return Ok(());
            }
            let held = std::mem::take(&mut self.held);
            self.receive(&held)?;
        }
    }

    /// Handles the frames of a chunk. All replies that are ready leave in one
    /// write.
    fn receive(&mut self, chunk: &[u8]) -> Result<(), FrameError> {
        let mut replies = REPLIES.take();
        let mut leaving = self
            .connection
            .inner
            .handler
            .as_ref()
            .map(|_| WriteBatch::new());
        let handled = self.handle_frames(chunk, &mut replies, &mut leaving);
        drop(leaving);
        self.leave(&mut replies);
        REPLIES.set(replies);
        self.held.extend_from_slice(handled?);
        Ok(())
    }

    /// Handles frames for as long as the peer has not too much under way;
    /// returns what is left.
    fn handle_frames<'c>(
        &mut self,
        chunk: &'c [u8],
        replies: &mut Vec<u8>,
        leaving: &mut Option<WriteBatch>,
    ) -> Result<&'c [u8], FrameError> {
        let inner = &self.connection.inner;
        let limit = inner.settings.options.connection.served_calls;
        let mut rest = chunk;
        let mut gathered = 0;
        while let Some(frame) = self.deframer.next(&mut rest)? {
            let is_passed = handle(self.connection, frame.payload, replies, leaving.as_mut());
            gathered += 1;
            if replies.len() >= REPLY_SIZE || overlaps(gathered, replies.len(), is_passed) {
                gathered = 0;
                self.leave(replies);
                if inner.write_buffer.is_full() {
                    break;
                }
            }
            if inner.served.count() >= limit || is_held(self.connection) {
                break;
            }
        }
        Ok(rest)
    }

    /// Sends the replies that are ready.
    fn leave(&mut self, replies: &mut Vec<u8>) {
        if !replies.is_empty() {
            self.connection.inner.write_buffer.append_all(replies);
            self.has_replied = true;
        }
    }
}

/// Whether the connection's handler wants no further message for now.
fn is_held(connection: &Connection) -> bool {
    let handler = connection.inner.handler.as_ref();
    handler.is_some_and(|handler| handler.should_pause())
}

/// Handles a message that the connection's handler has kept.
pub(super) fn resume(connection: &Connection, payload: &[u8]) {
    let mut replies = Vec::new();
    let mut leaving = connection.inner.handler.as_ref().map(|_| WriteBatch::new());
    handle(connection, payload, &mut replies, leaving.as_mut());
    drop(leaving);
    connection.inner.write_buffer.append_all(&mut replies);
}

/// Handles one message, and says whether it is a CALL that a gateway has passed
/// on. A message that makes no sense costs itself, not the connection: where
/// the next one begins is known.
fn handle(
    connection: &Connection,
    payload: &[u8],
    replies: &mut Vec<u8>,
    leaving: Option<&mut WriteBatch>,
) -> bool {
    let inner = &connection.inner;
    let limits = &inner.settings.options.limits;
    let user = match (&inner.handler, leaving) {
        (Some(handler), Some(leaving)) => {
            match pass_on(connection, handler, payload, replies, leaving) {
                Disposition::Handled => return false,
                Disposition::Local => None,
                Disposition::LocalAs(user) => Some(user),
            }
        }
        _ => None,
    };
    let message = match Message::parse(payload, limits) {
        Ok(message) => message,
        Err(error) => {
            handle_broken(connection, payload, &error.to_string(), replies);
            return false;
        }
    };
    let Message {
        header,
        mut extra,
        params,
    } = message;
    if let Some(user) = user {
        extra.set(reserved::USER_ID, &*user);
    }
    if header.msgtype != MSGTYPE_RPC {
        dropped(connection, "msgtype", "a message of a reserved type");
    } else if header.calltype.is_return() {
        let reply = Reply {
            errcode: header.errcode,
            extra,
            result: Bytes::copy_from_slice(params),
        };
        if !inner.calls.complete(header.sequence, reply) {
            metrics::counter!("tce_messages_dropped_total", "reason" => "late_return").increment(1);
        }
    } else if header.calltype.is_call() {
        let call = IncomingCall {
            connection,
            header,
            extra,
            params,
            replies,
            ack_guard: None,
        };
        if inner.is_draining.load(Ordering::Relaxed) {
            call.refuse(ErrorCode::ConnectReject, "the server is shutting down");
        } else {
            inner.servants.dispatch(call);
        }
        return header.is_routed();
    } else {
        dropped(
            connection,
            "calltype",
            "a message that is neither CALL nor RETURN",
        );
    }
    false
}

/// Shows a message to the connection's handler; one that makes no sense is none
/// of its business.
fn pass_on(
    connection: &Connection,
    handler: &Arc<dyn MessageHandler>,
    payload: &[u8],
    replies: &mut Vec<u8>,
    leaving: &mut WriteBatch,
) -> Disposition {
    let inner = &connection.inner;
    let Ok(message) = RawMessage::parse(payload, &inner.settings.options.limits) else {
        return Disposition::Local;
    };
    let is_call = message.header.calltype.is_call();
    if message.header.msgtype != MSGTYPE_RPC
        || (is_call && inner.is_draining.load(Ordering::Relaxed))
    {
        return Disposition::Local;
    }
    handler.handle(&mut InboundMessage {
        message,
        payload,
        connection: Some(connection),
        handler,
        replies,
        leaving,
        is_redelivered: false,
    })
}

/// Answers a message whose header alone makes sense: nobody is left waiting.
fn handle_broken(connection: &Connection, payload: &[u8], text: &str, replies: &mut Vec<u8>) {
    let header = Header::unmarshal(&mut Reader::new(payload))
        .ok()
        .filter(|header| header.msgtype == MSGTYPE_RPC);
    match header {
        Some(header) if header.calltype.is_return() => {
            let reply = Reply {
                errcode: ErrorCode::DataDirty.to_wire(),
                extra: Extra::from_iter([(reserved::ERROR, text)]),
                result: Bytes::new(),
            };
            connection.inner.calls.complete(header.sequence, reply);
        }
        Some(header) if header.calltype.is_call() => {
            let call = IncomingCall {
                connection,
                header,
                extra: Extra::new(),
                params: &[],
                replies,
                ack_guard: None,
            };
            call.refuse(ErrorCode::DataDirty, text);
        }
        _ => dropped(connection, "undecodable", text),
    }
}

fn dropped(connection: &Connection, reason: &'static str, text: &str) {
    metrics::counter!("tce_messages_dropped_total", "reason" => reason).increment(1);
    tracing::warn!(
        peer = connection.peer(),
        reason,
        "dropped a message: {text}"
    );
}
