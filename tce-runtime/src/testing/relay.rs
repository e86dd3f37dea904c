//! The relay between a test server and its clients: it reads each message, and delivers it
//! or disturbs it.

use std::{collections::HashSet, sync::Arc};

use futures_util::future::join4;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, split},
    sync::{Notify, mpsc, watch},
    time::sleep,
};

use super::calls::{Calls, Disturbance};
use crate::{
    error::Fault,
    wire::{
        Compression, Deframer, Extra, Header, Limits, Marshal, Message, VERSION, Writer,
        begin_frame, escape_ascii, finish_frame, reserved,
    },
};

/// The messages that wait for the end of a pipe.
const QUEUED_MESSAGES: usize = 16;
/// The bytes that are read at once.
const CHUNK: usize = 16 << 10;

/// What the connections of a test server share.
pub(super) struct Relay {
    pub(super) to_server: Calls,
    pub(super) to_client: Calls,
    limits: Limits,
    /// How often all connections have been cut.
    cuts: watch::Sender<u64>,
}

impl Relay {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            to_server: Calls::default(),
            to_client: Calls::default(),
            limits,
            cuts: watch::Sender::default(),
        }
    }

    pub(super) fn cut_all(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Relays the messages of a connection until a side or a disturbance ends it.
    pub(super) async fn run(self: Arc<Self>, client: DuplexStream, server: DuplexStream) {
        let mut cuts = self.cuts.subscribe();
        let (client_source, client_sink) = split(client);
        let (server_source, server_sink) = split(server);
        let (to_server, server_queue) = mpsc::channel(QUEUED_MESSAGES);
        let (to_client, client_queue) = mpsc::channel(QUEUED_MESSAGES);
        let cut = Notify::new();
        let (client_calls, server_calls) = (LosingCalls::default(), LosingCalls::default());
        // A weak sender: a side that has ended lets the other one end.
        let up = Direction {
            calls: &self.to_server,
            back: to_client.downgrade(),
            forward: to_server.clone(),
            losing: &client_calls,
            answering: &server_calls,
            cut: &cut,
        };
        let down = Direction {
            calls: &self.to_client,
            back: to_server.downgrade(),
            forward: to_client,
            losing: &server_calls,
            answering: &client_calls,
            cut: &cut,
        };
        drop(to_server);
        let relaying = join4(
            up.read(client_source, self.limits),
            write(server_queue, server_sink),
            down.read(server_source, self.limits),
            write(client_queue, client_sink),
        );
        tokio::select! {
            _ = relaying => {}
            () = cut.notified() => {}
            _ = cuts.changed() => {}
        }
    }
}

/// The sequences of the calls whose RETURN ends the connection.
type LosingCalls = Mutex<HashSet<u32>>;

/// The messages that go one way.
struct Direction<'r> {
    calls: &'r Calls,
    forward: mpsc::Sender<Vec<u8>>,
    /// For answers to the calls of this direction.
    back: mpsc::WeakSender<Vec<u8>>,
    /// Of the calls of this direction.
    losing: &'r LosingCalls,
    /// Of the calls that the RETURNs of this direction answer.
    answering: &'r LosingCalls,
    cut: &'r Notify,
}

impl Direction<'_> {
    /// Relays until the end of the stream.
    async fn read(self, mut source: ReadHalf<DuplexStream>, limits: Limits) {
        let mut deframer = Deframer::new(limits);
        let mut chunk = vec![0; CHUNK];
        while let Ok(size @ 1..) = source.read(&mut chunk).await {
            let mut input = chunk.get(..size).unwrap_or_default();
            loop {
                match deframer.next(&mut input) {
                    Ok(Some(frame)) => self.relay(frame.payload, &limits).await,
                    Ok(None) => break,
                    Err(_) => return self.cut.notify_one(),
                }
            }
        }
    }

    async fn relay(&self, payload: &[u8], limits: &Limits) {
        // What does not decode is for the peer to refuse.
        let Ok(message) = Message::parse(payload, limits) else {
            return self.deliver(payload).await;
        };
        let header = message.header;
        if !header.calltype.is_call() {
            let is_lost = self.answering.lock().remove(&header.sequence);
            return match is_lost {
                true => self.cut.notify_one(),
                false => self.deliver(payload).await,
            };
        }
        match self.calls.record(message) {
            None => self.deliver(payload).await,
            Some(Disturbance::Answer(fault)) => self.answer(header, &fault).await,
            Some(Disturbance::Delay(time)) => {
                let (forward, frame) = (self.forward.clone(), framed(payload));
                tokio::spawn(async move {
                    sleep(time).await;
                    let _ = forward.send(frame).await;
                });
            }
            Some(Disturbance::Lose) => {}
            Some(Disturbance::Disconnect) => self.cut.notify_one(),
            Some(Disturbance::DisconnectOnReturn) => {
                self.losing.lock().insert(header.sequence);
                self.deliver(payload).await;
            }
        }
    }

    /// An error means that the peer has ended the connection, which its own side reads.
    async fn deliver(&self, payload: &[u8]) {
        let _ = self.forward.send(framed(payload)).await;
    }

    async fn answer(&self, call: Header, fault: &Fault) {
        if call.calltype.is_oneway() {
            return;
        }
        let mut payload = Vec::new();
        let mut out = Writer::new(&mut payload);
        let mut extra = Extra::new();
        extra.set(reserved::ERROR, escape_ascii(fault.text()));
        if let Some(exception) = fault.encoded_exception() {
            exception.add_to(&mut extra);
        }
        call.returning(fault.code().to_wire()).marshal(&mut out);
        extra.marshal(&mut out);
        if let Some(back) = self.back.upgrade() {
            let _ = back.send(framed(&payload)).await;
        }
    }
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let start = begin_frame(&mut frame);
    frame.extend_from_slice(payload);
    finish_frame(&mut frame, start, Compression::None, VERSION);
    frame
}

/// Writes frames until the other side has ended.
async fn write(mut frames: mpsc::Receiver<Vec<u8>>, mut sink: WriteHalf<DuplexStream>) {
    while let Some(frame) = frames.recv().await {
        if sink.write_all(&frame).await.is_err() {
            return;
        }
    }
    let _ = sink.shutdown().await;
}
