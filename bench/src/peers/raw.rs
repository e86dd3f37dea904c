//! The floor: frames of a four-byte length and a text over tokio's TCP, as the fastest
//! straightforward program would do it.

use std::{sync::Arc, time::Instant};

use anyhow::{Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufWriter},
    net::TcpStream,
    task::JoinSet,
};

use super::{
    Stand,
    tcp::{connect, listen, serve_each},
};
use crate::{
    case::Shape,
    control::Received,
    load::Load,
    meter::{Measurement, Meter},
    payload::Payload,
    process::Address,
};

const BUFFER: usize = 64 * 1024;
const PREFIX: usize = size_of::<u32>();

pub(super) async fn server(stand: Stand) -> Result<()> {
    let (listener, address) = listen().await?;
    stand.ready.announce(&address.to_string())?;
    match stand.case.shape {
        Shape::Oneway => {
            serve_each(listener, |stream| {
                count(stream, Arc::clone(&stand.received))
            })
            .await
        }
        _ => serve_each(listener, echo).await,
    }
}

async fn echo(mut stream: TcpStream) -> Result<()> {
    let mut input = Input::new();
    while input.read(&mut stream).await? {
        let whole = input.whole_frames(|_| {})?;
        stream.write_all(&input.buffer[..whole]).await?;
        input.consume(whole);
    }
    Ok(())
}

async fn count(mut stream: TcpStream, received: Arc<Received>) -> Result<()> {
    let mut input = Input::new();
    while input.read(&mut stream).await? {
        let whole = input.whole_frames(|text| received.note(text))?;
        input.consume(whole);
    }
    Ok(())
}

/// What was read and is not yet dealt with.
struct Input {
    buffer: Vec<u8>,
    filled: usize,
}

impl Input {
    fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER],
            filled: 0,
        }
    }

    /// Reads once; false at the end of the stream.
    async fn read(&mut self, stream: &mut TcpStream) -> Result<bool> {
        let read = stream.read(&mut self.buffer[self.filled..]).await?;
        ensure!(
            read > 0 || self.filled == 0,
            "the stream ends within a frame"
        );
        self.filled += read;
        Ok(read > 0)
    }

    /// How many bytes are whole frames; each one's text is handed out.
    fn whole_frames(&self, mut each: impl FnMut(&[u8])) -> Result<usize> {
        let mut rest = &self.buffer[..self.filled];
        while let Some((prefix, behind)) = rest.split_first_chunk::<PREFIX>() {
            let length = usize::try_from(u32::from_le_bytes(*prefix))?;
            ensure!(length <= BUFFER - PREFIX, "a frame of {length} bytes");
            let Some((text, behind)) = behind.split_at_checked(length) else {
                break;
            };
            each(text);
            rest = behind;
        }
        Ok(self.filled - rest.len())
    }

    fn consume(&mut self, bytes: usize) {
        self.buffer.copy_within(bytes..self.filled, 0);
        self.filled -= bytes;
    }
}

pub(super) async fn client(server: &Address, load: &Load) -> Result<Measurement> {
    match load.case.shape {
        Shape::Oneway => send_oneway(server, load).await,
        _ => call_in_batches(server, load).await,
    }
}

async fn call_in_batches(server: &Address, load: &Load) -> Result<Measurement> {
    let shape = load.case.shape;
    let meter = Arc::new(Meter::new(shape.connections())?);
    let mut callers = JoinSet::new();
    for connection in 0..shape.connections() {
        let stream = connect(&server.endpoint).await?;
        let first = connection * shape.in_flight();
        let batch = Batch::new(first, shape.in_flight(), load.case.payload)?;
        callers.spawn(exchange_in_a_loop(stream, batch, Arc::clone(&meter)));
    }
    load.measure(&meter, callers).await
}

async fn exchange_in_a_loop(
    mut stream: TcpStream,
    mut batch: Batch,
    meter: Arc<Meter>,
) -> Result<u64> {
    let mut counted = 0;
    let mut nth = 0;
    while !meter.is_over() {
        let started = Instant::now();
        batch.exchange(&mut stream).await?;
        batch.check(nth)?;
        nth += 1;
        if meter.is_measuring() {
            counted += batch.calls;
            meter.record(started.elapsed());
        }
    }
    Ok(counted)
}

/// The frames of all calls in flight on a connection, and what came back for them.
struct Batch {
    calls: u64,
    frame: usize,
    frames: Vec<u8>,
    answers: Vec<u8>,
}

impl Batch {
    fn new(first_caller: usize, calls: usize, payload: usize) -> Result<Self> {
        let mut frames = Vec::new();
        for call in 0..calls {
            append_frame(&mut frames, &Payload::new(first_caller + call, payload))?;
        }
        // A byte more than is expected: a read that leaves room tells tokio that the socket is
        // empty, which saves asking the kernel again.
        let answers = vec![0; frames.len() + 1];
        Ok(Self {
            calls: u64::try_from(calls)?,
            frame: PREFIX + payload,
            frames,
            answers,
        })
    }

    /// Reads beside writing: a large batch is more than the sockets' buffers have to hold.
    async fn exchange(&mut self, stream: &mut TcpStream) -> Result<()> {
        let Self {
            frames, answers, ..
        } = self;
        let (mut reader, mut writer) = stream.split();
        let write = async { Ok(writer.write_all(frames).await?) };
        let read = async {
            let mut filled = 0;
            while filled < frames.len() {
                match reader.read(&mut answers[filled..]).await? {
                    0 => bail!("the server closed the connection"),
                    read => filled += read,
                }
            }
            ensure!(filled == frames.len(), "more came back than was sent");
            Ok(())
        };
        tokio::try_join!(write, read)?;
        Ok(())
    }

    /// Lengths always, contents as often as [`Payload`] compares them.
    fn check(&self, nth: u64) -> Result<()> {
        let answers = &self.answers[..self.frames.len()];
        let same = if Payload::compares(nth) {
            answers == self.frames
        } else {
            let prefixes = answers
                .chunks_exact(self.frame)
                .map(|frame| &frame[..PREFIX]);
            prefixes.eq(self
                .frames
                .chunks_exact(self.frame)
                .map(|frame| &frame[..PREFIX]))
        };
        ensure!(same, "batch {nth} is not what was sent");
        Ok(())
    }
}

async fn send_oneway(server: &Address, load: &Load) -> Result<Measurement> {
    let stream = connect(&server.endpoint).await?;
    let meter = Meter::new(1)?;
    let mut frame = Vec::new();
    append_frame(&mut frame, &Payload::new(0, load.case.payload))?;
    let sender = async {
        let mut output = BufWriter::with_capacity(BUFFER, stream);
        let mut sent = 0;
        while !meter.is_over() {
            output.write_all(&frame).await?;
            sent += 1;
        }
        output.flush().await?;
        Ok(sent)
    };
    load.measure_oneway(server.control, &meter, sender).await
}

fn append_frame(frames: &mut Vec<u8>, payload: &Payload) -> Result<()> {
    let text = payload.text();
    frames.extend_from_slice(&u32::try_from(text.len())?.to_le_bytes());
    frames.extend_from_slice(text.as_bytes());
    Ok(())
}
