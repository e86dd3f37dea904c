//! The floor for sockets: frames of a four-byte length and a text over tokio's TCP, as in the
//! fastest straightforward program.

use std::{sync::Arc, time::Instant};

use anyhow::{Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufWriter},
    net::TcpStream,
    task::JoinSet,
};

use super::tcp::{connect, listen, serve_each};
use crate::{
    case::LoadShape,
    control::ReceiveCounter,
    endpoint::{ServerAddress, ServerSetup},
    load::LoadGenerator,
    meter::{Measurement, Meter},
    payload::Payload,
};

const BUFFER: usize = 64 * 1024;
const PREFIX: usize = size_of::<u32>();

pub(super) async fn server(setup: ServerSetup) -> Result<()> {
    let (listener, address) = listen().await?;
    setup.ready.announce(&address.to_string())?;
    match setup.case.shape {
        LoadShape::Oneway => {
            serve_each(listener, |stream| {
                count(stream, Arc::clone(&setup.received))
            })
            .await
        }
        _ => serve_each(listener, echo).await,
    }
}

async fn echo(mut stream: TcpStream) -> Result<()> {
    let mut input = InputBuffer::new();
    while input.read(&mut stream).await? {
        let complete = input.complete_frames(|_| {})?;
        stream.write_all(&input.buffer[..complete]).await?;
        input.consume(complete);
    }
    Ok(())
}

async fn count(mut stream: TcpStream, received: Arc<ReceiveCounter>) -> Result<()> {
    let mut input = InputBuffer::new();
    while input.read(&mut stream).await? {
        let complete = input.complete_frames(|text| received.record(text))?;
        input.consume(complete);
    }
    Ok(())
}

/// Bytes that were read and are not yet processed.
struct InputBuffer {
    buffer: Vec<u8>,
    filled: usize,
}

impl InputBuffer {
    fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER],
            filled: 0,
        }
    }

    /// Reads once. Returns false at the end of the stream.
    async fn read(&mut self, stream: &mut TcpStream) -> Result<bool> {
        let read = stream.read(&mut self.buffer[self.filled..]).await?;
        ensure!(
            read > 0 || self.filled == 0,
            "the stream ends within a frame"
        );
        self.filled += read;
        Ok(read > 0)
    }

    /// The number of bytes in complete frames. Calls `each` with the text of each frame.
    fn complete_frames(&self, mut each: impl FnMut(&[u8])) -> Result<usize> {
        let mut rest = &self.buffer[..self.filled];
        while let Some((prefix, after_prefix)) = rest.split_first_chunk::<PREFIX>() {
            let length = usize::try_from(u32::from_le_bytes(*prefix))?;
            ensure!(
                length <= BUFFER - PREFIX,
                "a frame of {length} bytes is longer than the buffer"
            );
            let Some((text, after_frame)) = after_prefix.split_at_checked(length) else {
                break;
            };
            each(text);
            rest = after_frame;
        }
        Ok(self.filled - rest.len())
    }

    fn consume(&mut self, bytes: usize) {
        self.buffer.copy_within(bytes..self.filled, 0);
        self.filled -= bytes;
    }
}

pub(super) async fn client(server: &ServerAddress, load: &LoadGenerator) -> Result<Measurement> {
    match load.case.shape {
        LoadShape::Oneway => send_oneway(server, load).await,
        _ => call_in_batches(server, load).await,
    }
}

async fn call_in_batches(server: &ServerAddress, load: &LoadGenerator) -> Result<Measurement> {
    let shape = load.case.shape;
    let meter = Arc::new(Meter::new(shape.connections(), load.extent)?);
    let mut callers = JoinSet::new();
    for connection in 0..shape.connections() {
        let stream = connect(&server.endpoint).await?;
        let first = connection * shape.in_flight();
        let batch = CallBatch::new(first, shape.in_flight(), load.case.payload)?;
        callers.spawn(exchange_in_a_loop(stream, batch, Arc::clone(&meter)));
    }
    load.measure(&meter, callers).await
}

async fn exchange_in_a_loop(
    mut stream: TcpStream,
    mut batch: CallBatch,
    meter: Arc<Meter>,
) -> Result<u64> {
    let mut counted = 0;
    let mut nth = 0;
    while meter.has_more(nth) {
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

/// The frames of all calls in flight on a connection, and the answers to them.
struct CallBatch {
    calls: u64,
    /// Bytes of one frame.
    frame_length: usize,
    frames: Vec<u8>,
    answers: Vec<u8>,
}

impl CallBatch {
    fn new(first_caller: usize, calls: usize, payload: usize) -> Result<Self> {
        let mut frames = Vec::new();
        for call in 0..calls {
            append_frame(&mut frames, &Payload::new(first_caller + call, payload))?;
        }
        // One byte longer than the answers: a read that does not fill the buffer tells tokio that
        // the socket is empty, which saves a system call.
        let answers = vec![0; frames.len() + 1];
        Ok(Self {
            calls: u64::try_from(calls)?,
            frame_length: PREFIX + payload,
            frames,
            answers,
        })
    }

    /// Writes all frames and reads all answers. Both at once: a large batch exceeds the sockets'
    /// buffers.
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
            ensure!(
                filled == frames.len(),
                "the answers have more bytes than the calls"
            );
            Ok(())
        };
        tokio::try_join!(write, read)?;
        Ok(())
    }

    /// Compares the lengths of all answers, and the contents as often as [`Payload`] does.
    fn check(&self, nth: u64) -> Result<()> {
        let answers = &self.answers[..self.frames.len()];
        let same = if Payload::should_compare(nth) {
            answers == self.frames
        } else {
            let prefixes = answers
                .chunks_exact(self.frame_length)
                .map(|frame| &frame[..PREFIX]);
            prefixes.eq(self
                .frames
                .chunks_exact(self.frame_length)
                .map(|frame| &frame[..PREFIX]))
        };
        ensure!(same, "the answers to batch {nth} are not what was sent");
        Ok(())
    }
}

async fn send_oneway(server: &ServerAddress, load: &LoadGenerator) -> Result<Measurement> {
    let stream = connect(&server.endpoint).await?;
    let meter = Meter::new(1, load.extent)?;
    let mut frame = Vec::new();
    append_frame(&mut frame, &Payload::new(0, load.case.payload))?;
    let sender = async {
        let mut output = BufWriter::with_capacity(BUFFER, stream);
        let mut sent = 0;
        while meter.has_more(sent) {
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
