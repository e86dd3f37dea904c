//! The number of oneway messages that a server has received: counted by the server, read by the
//! client over a control connection.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::payload::Payload;

/// How often a client reads the counter while it waits. Rarely, because the instructions of the
/// server's answers are counted, too, if it runs under callgrind.
const READ_INTERVAL: Duration = Duration::from_millis(20);

/// Counts the messages that a server receives. Only the server's own thread writes, so relaxed
/// loads and stores suffice; an atomic addition costs as much as receiving a small message.
pub(crate) struct ReceiveCounter {
    expected: Payload,
    count: AtomicU64,
    wrong: AtomicU64,
    started: Instant,
}

/// The state of a [`ReceiveCounter`] at a time of the server's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReceiveCount {
    pub(crate) count: u64,
    /// Messages whose text was not the one that clients send.
    wrong: u64,
    /// Since the server's start.
    pub(crate) at: Duration,
}

impl ReceiveCounter {
    pub(crate) fn new(expected: Payload) -> Self {
        Self {
            expected,
            count: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// Checks and counts one message.
    pub(crate) fn record(&self, text: &[u8]) {
        let count = self.count.load(Ordering::Relaxed);
        if self.expected.check(count, text).is_err() {
            let wrong = self.wrong.load(Ordering::Relaxed);
            self.wrong.store(wrong + 1, Ordering::Relaxed);
        }
        self.count.store(count + 1, Ordering::Relaxed);
    }

    fn read(&self) -> ReceiveCount {
        ReceiveCount {
            count: self.count.load(Ordering::Relaxed),
            wrong: self.wrong.load(Ordering::Relaxed),
            at: self.started.elapsed(),
        }
    }
}

/// Serves control connections on a thread of its own, which sleeps between requests. Returns the
/// address to connect to.
///
/// # Errors
/// The operating system provides no port or no thread.
pub(crate) fn serve_in_background(counter: Arc<ReceiveCounter>) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            for stream in listener.incoming() {
                if let Err(error) = stream.and_then(|stream| serve(stream, &counter)) {
                    eprintln!("control connection: {error}");
                }
            }
        })?;
    Ok(address)
}

/// A request is any one byte, a response the three numbers of a [`ReceiveCount`].
fn serve(mut stream: TcpStream, counter: &ReceiveCounter) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        match stream.read_exact(&mut [0]) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let ReceiveCount { count, wrong, at } = counter.read();
        let nanoseconds = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        stream.write_all(
            [count, wrong, nanoseconds]
                .map(u64::to_le_bytes)
                .as_flattened(),
        )?;
    }
}

/// The client's end of a control connection.
pub(crate) struct ControlClient {
    stream: tokio::net::TcpStream,
}

impl ControlClient {
    pub(crate) async fn connect(control: SocketAddr) -> Result<Self> {
        let stream = tokio::net::TcpStream::connect(control)
            .await
            .context("control connection")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Reads the server's counter.
    ///
    /// # Errors
    /// The server has received a message with a wrong text, or the connection failed.
    pub(crate) async fn read(&mut self) -> Result<ReceiveCount> {
        self.stream.write_all(&[0]).await?;
        let count = self.stream.read_u64_le().await?;
        let wrong = self.stream.read_u64_le().await?;
        let at = Duration::from_nanos(self.stream.read_u64_le().await?);
        ensure!(
            wrong == 0,
            "{wrong} of {count} messages arrived with a text that was not sent"
        );
        Ok(ReceiveCount { count, wrong, at })
    }

    /// Returns when exactly `sent` messages have arrived.
    pub(crate) async fn wait_for(&mut self, sent: u64) -> Result<()> {
        loop {
            let ReceiveCount { count, .. } = self.read().await?;
            ensure!(count <= sent, "{count} messages arrived, {sent} were sent");
            if count == sent {
                return Ok(());
            }
            tokio::time::sleep(READ_INTERVAL).await;
        }
    }
}
