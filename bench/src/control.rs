//! How many oneway messages a server has received: counted there, asked for by the client over a
//! connection of its own.

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

/// What a server has received. One thread writes it, the server's own, so plain loads and stores
/// do where an atomic addition would cost as much as receiving a small message.
pub(crate) struct Received {
    expected: Payload,
    count: AtomicU64,
    wrong: AtomicU64,
    since: Instant,
}

/// What a server had received at a time of its own clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) count: u64,
    /// Messages that were not what is sent.
    wrong: u64,
    pub(crate) at: Duration,
}

impl Received {
    pub(crate) fn new(expected: Payload) -> Self {
        Self {
            expected,
            count: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
            since: Instant::now(),
        }
    }

    pub(crate) fn note(&self, text: &[u8]) {
        let count = self.count.load(Ordering::Relaxed);
        if self.expected.check(count, text).is_err() {
            let wrong = self.wrong.load(Ordering::Relaxed);
            self.wrong.store(wrong + 1, Ordering::Relaxed);
        }
        self.count.store(count + 1, Ordering::Relaxed);
    }

    fn read(&self) -> Reading {
        Reading {
            count: self.count.load(Ordering::Relaxed),
            wrong: self.wrong.load(Ordering::Relaxed),
            at: self.since.elapsed(),
        }
    }
}

/// Answers questions for the count on a thread of its own, which sleeps while none is asked.
///
/// # Errors
/// The operating system gives no port or no thread.
pub(crate) fn answer_in_background(received: Arc<Received>) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            for asker in listener.incoming() {
                if let Err(error) = asker.and_then(|asker| answer(asker, &received)) {
                    eprintln!("control connection: {error}");
                }
            }
        })?;
    Ok(address)
}

fn answer(mut asker: TcpStream, received: &Received) -> std::io::Result<()> {
    asker.set_nodelay(true)?;
    loop {
        match asker.read_exact(&mut [0]) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let Reading { count, wrong, at } = received.read();
        let nanoseconds = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        asker.write_all(
            [count, wrong, nanoseconds]
                .map(u64::to_le_bytes)
                .as_flattened(),
        )?;
    }
}

/// The client's view of a server's [`Received`].
pub(crate) struct Counter {
    stream: tokio::net::TcpStream,
}

impl Counter {
    pub(crate) async fn connect(control: SocketAddr) -> Result<Self> {
        let stream = tokio::net::TcpStream::connect(control)
            .await
            .context("control connection")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    pub(crate) async fn read(&mut self) -> Result<Reading> {
        self.stream.write_all(&[0]).await?;
        let count = self.stream.read_u64_le().await?;
        let wrong = self.stream.read_u64_le().await?;
        let at = Duration::from_nanos(self.stream.read_u64_le().await?);
        ensure!(
            wrong == 0,
            "{wrong} of {count} messages arrived with a text that was not sent"
        );
        Ok(Reading { count, wrong, at })
    }

    /// Returns when exactly `sent` messages have arrived.
    pub(crate) async fn wait_for(&mut self, sent: u64) -> Result<()> {
        loop {
            let Reading { count, .. } = self.read().await?;
            ensure!(count <= sent, "{count} messages arrived, {sent} were sent");
            if count == sent {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
