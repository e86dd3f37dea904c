//! The byte stream between a broker and lapin, and the runtime that lets lapin
//! use it.

use std::{
    future,
    io::{self, Read, Write},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use async_rs::{
    Tokio,
    traits::{Executor, Reactor, RuntimeKit},
    util::Task,
};
use bytes::{Buf, BytesMut};
use futures_util::Stream;
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::{
    control::StreamControl,
    filter::{FrameFilter, Violation},
};
use crate::transport::ByteStream;

/// The bytes that one read takes from the socket.
const READ_SIZE: usize = 64 << 10;

/// A connection's socket, as lapin reads and writes it.
pub(super) struct BrokerStream {
    stream: ByteStream,
    /// Bytes of the broker that are not a whole frame yet.
    received: BytesMut,
    filter: FrameFilter,
    /// The frames that lapin has not read yet.
    passed: BytesMut,
    /// What the broker sent after them.
    violation: Option<Violation>,
    is_violation_due: bool,
    control: Arc<StreamControl>,
}

impl BrokerStream {
    pub(super) fn new(stream: ByteStream, control: Arc<StreamControl>) -> Self {
        Self {
            stream,
            received: BytesMut::new(),
            filter: FrameFilter::new(Arc::clone(&control)),
            passed: BytesMut::new(),
            violation: None,
            is_violation_due: false,
            control,
        }
    }

    /// Fails once the connection was ended.
    fn check_lost(&self) -> io::Result<()> {
        match self.control.lost_reason() {
            Some(reason) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, reason)),
            None => Ok(()),
        }
    }

    /// Reads until a frame for lapin is complete, or the broker ends the
    /// connection.
    fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.passed.is_empty() {
            if let Some(violation) = self.violation {
                if !std::mem::replace(&mut self.is_violation_due, true) {
                    // lapin parses what it has read once nothing more is ready.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let error = io::Error::new(io::ErrorKind::InvalidData, violation);
                return Poll::Ready(Err(error));
            }
            self.received.reserve(READ_SIZE);
            let read = pin!(self.stream.source.read_buf(&mut self.received)).poll(cx);
            if ready!(read)? == 0 {
                self.control.end("the broker closed the connection");
                return Poll::Ready(Ok(()));
            }
            let filtered = self.filter.pass(&mut self.received, &mut self.passed);
            self.violation = filtered.err();
        }
        Poll::Ready(Ok(()))
    }
}

impl futures_io::AsyncRead for BrokerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.control.reader.register(cx.waker());
        self.check_lost()?;
        if self.passed.is_empty() {
            if self.control.is_full() {
                return Poll::Pending;
            }
            let passed = ready!(self.poll_passed(cx));
            passed.inspect_err(|error| self.control.end(&error.to_string()))?;
        }
        let count = self.passed.len().min(out.len());
        self.passed.split_to(count).copy_to_slice(&mut out[..count]);
        Poll::Ready(Ok(count))
    }
}

impl futures_io::AsyncWrite for BrokerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_lost()?;
        Pin::new(&mut self.stream.sink).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream.sink).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream.sink).poll_shutdown(cx)
    }
}

impl Drop for BrokerStream {
    fn drop(&mut self) {
        self.control.end("the connection to the broker is closed");
    }
}

/// tokio, with [`BrokerStream`] as its stream: what lapin runs on.
#[derive(Debug, Clone)]
pub(super) struct BrokerRuntime(Tokio);

impl BrokerRuntime {
    /// The runtime of the task that calls this.
    pub(super) fn current() -> async_rs::Runtime<Self> {
        async_rs::Runtime::new(Self(Tokio::current()))
    }
}

impl RuntimeKit for BrokerRuntime {}

impl Executor for BrokerRuntime {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.0.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        future: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn(future)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        function: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(function)
    }
}

impl Reactor for BrokerRuntime {
    type TcpStream = BrokerStream;
    type Sleep = <Tokio as Reactor>::Sleep;

    /// Fails: lapin gets a connected stream, and opens none itself.
    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin + 'static>
    {
        Err::<BrokerStream, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.0.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(time)
    }

    /// Fails, as [`BrokerRuntime::register`] does.
    fn tcp_connect_addr(
        &self,
        _: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
