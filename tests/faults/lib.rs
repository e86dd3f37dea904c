//! A TCP proxy with faults on demand: it delays, splits, freezes and cuts what
//! passes through it. Tests put it between a client and a server, a gateway, or a
//! broker.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test without its proxy fails"
)]

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    runtime,
    sync::{mpsc, oneshot, watch},
    task::yield_now,
    time::{Instant, sleep_until},
};

/// Bytes read at a time.
const CHUNK: usize = 16 << 10;
/// Chunks that may be under way in one direction of one connection.
const CHUNKS: usize = 64;

/// Which way bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the side that has connected to the proxy.
    ToServer,
    /// From the target of the proxy.
    ToClient,
}

#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    delay: Duration,
    piece: Option<usize>,
    is_frozen: [bool; 2],
    is_refusing: bool,
    /// Connections whose number is lower are cut.
    first_uncut: u64,
}

#[derive(Debug)]
struct Shared {
    faults: watch::Sender<Faults>,
    accepted: AtomicU64,
    passed: [AtomicU64; 2],
    /// Value of `passed` at which all connections are cut; `u64::MAX` if there is none.
    cut_at: [AtomicU64; 2],
}

/// A running proxy. It has a thread of its own, so a test's runtime may block or
/// pause its clock. Dropping the proxy closes its connections.
#[derive(Debug)]
pub struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

impl FaultProxy {
    /// Listens on a free port of 127.0.0.1, and connects each connection to
    /// `target` (`host:port`).
    ///
    /// # Panics
    /// No port is free, or no thread can be started.
    pub fn start(target: impl Into<String>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("no port is free");
        let port = listener.local_addr().expect("the socket is bound").port();
        let shared = Arc::new(Shared {
            faults: watch::Sender::default(),
            accepted: AtomicU64::new(0),
            passed: Default::default(),
            cut_at: [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)],
        });
        let (stop, stopped) = oneshot::channel();
        let proxy = Self {
            port,
            shared: Arc::clone(&shared),
            _stop: stop,
        };
        let target = target.into();
        thread::Builder::new()
            .name("fault proxy".to_owned())
            .spawn(move || run(listener, &target, shared, stopped))
            .expect("a thread can be started");
        proxy
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address to connect to.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Number of connections accepted so far, refused ones included.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Number of bytes passed so far, over all connections.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.shared.passed[direction as usize].load(Ordering::SeqCst)
    }

    /// From now on each byte arrives this much later, in both directions. The order
    /// of bytes is kept.
    pub fn set_delay(&self, delay: Duration) {
        self.change(|faults| faults.delay = delay);
    }

    /// From now on at most `piece` bytes are written at a time, without waiting for
    /// more; `None` removes the limit.
    pub fn set_piece(&self, piece: Option<usize>) {
        self.change(|faults| faults.piece = piece);
    }

    /// From now on no byte, and no end of a connection, passes in this direction.
    /// Connections stay open and new ones are accepted: with both directions frozen,
    /// each side sees a peer that has vanished.
    pub fn freeze(&self, direction: Direction) {
        self.change(|faults| faults.is_frozen[direction as usize] = true);
    }

    /// Ends [`FaultProxy::freeze`] in both directions. Nothing has been lost.
    pub fn thaw(&self) {
        self.change(|faults| faults.is_frozen = [false; 2]);
    }

    /// Whether new connections are closed as soon as they are accepted.
    pub fn set_refusing(&self, is_refusing: bool) {
        self.change(|faults| faults.is_refusing = is_refusing);
    }

    /// Resets all connections now. New ones are accepted.
    pub fn cut(&self) {
        cut(&self.shared);
    }

    /// Resets all connections once `bytes` further bytes have passed in this
    /// direction.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        let at = self.passed(direction) + bytes;
        self.shared.cut_at[direction as usize].store(at, Ordering::SeqCst);
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        self.shared.faults.send_modify(change);
    }
}

fn cut(shared: &Shared) {
    let accepted = shared.accepted.load(Ordering::SeqCst);
    shared
        .faults
        .send_modify(|faults| faults.first_uncut = accepted);
}

fn run(listener: TcpListener, target: &str, shared: Arc<Shared>, stopped: oneshot::Receiver<()>) {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        tokio::select! {
            result = accept(listener, target, shared) => result.expect("the listener works"),
            _ = stopped => {}
        }
    });
}

async fn accept(listener: TcpListener, target: &str, shared: Arc<Shared>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (client, _) = listener.accept().await?;
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
        if shared.faults.borrow().is_refusing {
            continue;
        }
        let target = target.to_owned();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A target that refuses connections looks the same through the proxy.
            if let Ok(server) = TcpStream::connect(target).await {
                pass(number, client, server, &shared).await;
            }
        });
    }
}

/// Passes bytes until both directions have ended, or the connection is cut. A reset
/// of one side becomes a reset of the other.
async fn pass(number: u64, mut client: TcpStream, mut server: TcpStream, shared: &Shared) {
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (client_reader, client_writer) = client.split();
    let (server_reader, server_writer) = server.split();
    let mut faults = shared.faults.subscribe();
    let is_ended_in_order = tokio::select! {
        // First, so that no byte passes after a cut.
        biased;
        _ = faults.wait_for(|faults| number < faults.first_uncut) => false,
        result = async {
            tokio::try_join!(
                pump(client_reader, server_writer, Direction::ToServer, shared),
                pump(server_reader, client_writer, Direction::ToClient, shared),
            )
        } => result.is_ok(),
    };
    if !is_ended_in_order {
        for stream in [&client, &server] {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Passes the bytes of one direction.
async fn pump(
    reader: ReadHalf<'_>,
    writer: WriteHalf<'_>,
    direction: Direction,
    shared: &Shared,
) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    tokio::try_join!(
        read(reader, sender, direction, shared),
        write(writer, receiver, direction, shared),
    )?;
    Ok(())
}

async fn read(
    mut reader: ReadHalf<'_>,
    chunks: mpsc::Sender<(Instant, Vec<u8>)>,
    direction: Direction,
    shared: &Shared,
) -> io::Result<()> {
    loop {
        thawed(direction, shared).await;
        let mut chunk = vec![0; CHUNK];
        let count = reader.read(&mut chunk).await?;
        let due = Instant::now() + shared.faults.borrow().delay;
        if count == 0 {
            return Ok(());
        }
        chunk.truncate(count);
        if chunks.send((due, chunk)).await.is_err() {
            return Ok(());
        }
    }
}

async fn write(
    mut writer: WriteHalf<'_>,
    mut chunks: mpsc::Receiver<(Instant, Vec<u8>)>,
    direction: Direction,
    shared: &Shared,
) -> io::Result<()> {
    let passed = &shared.passed[direction as usize];
    let cut_at = &shared.cut_at[direction as usize];
    while let Some((due, chunk)) = chunks.recv().await {
        sleep_until(due).await;
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            thawed(direction, shared).await;
            let piece = shared.faults.borrow().piece.unwrap_or(CHUNK);
            let until_cut = cut_at
                .load(Ordering::SeqCst)
                .saturating_sub(passed.load(Ordering::SeqCst));
            let until_cut = usize::try_from(until_cut).unwrap_or(usize::MAX);
            let count = rest.len().min(piece).min(until_cut);
            // Before the write, so that a peer that has the bytes sees them counted.
            passed.fetch_add(count as u64, Ordering::SeqCst);
            writer.write_all(&rest[..count]).await?;
            if count == until_cut {
                cut_at.store(u64::MAX, Ordering::SeqCst);
                cut(shared);
            }
            rest = &rest[count..];
            // Lets other connections and the watcher of cuts run between pieces.
            yield_now().await;
        }
    }
    thawed(direction, shared).await;
    writer.shutdown().await
}

async fn thawed(direction: Direction, shared: &Shared) {
    let mut faults = shared.faults.subscribe();
    let _ = faults
        .wait_for(|faults| !faults.is_frozen[direction as usize])
        .await;
}

#[cfg(test)]
mod tests;
