use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use tokio::io::AsyncWrite;

use super::{FlushPolicy, KEEP_CAPACITY, WriteBuffer};
use crate::{memory::MemoryBudget, wire::Extra};

/// A sink with a buffer of its own, such as a WebSocket: it takes all bytes at once,
/// and has to be flushed several times until they have left.
struct BufferingSink {
    pending_flushes: usize,
    flushes: Arc<AtomicUsize>,
}

impl AsyncWrite for BufferingSink {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        if self.pending_flushes == 0 {
            return Poll::Ready(Ok(()));
        }
        self.pending_flushes -= 1;
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn bytes_are_pending_until_the_sink_has_flushed_them() {
    for size in [1, KEEP_CAPACITY, 3 * KEEP_CAPACITY] {
        let flushes = Arc::new(AtomicUsize::new(0));
        let buffer = WriteBuffer::new(1 << 20, &MemoryBudget::default());
        let sink = BufferingSink {
            pending_flushes: 4,
            flushes: Arc::clone(&flushes),
        };
        buffer.attach(Box::new(sink), Extra::new(), None);
        let mut frame = buffer.frame(FlushPolicy::Immediate).expect("it is empty");
        frame.bytes().resize(size, 7);
        drop(frame);
        let mut writer = pin!(buffer.write(1, || {}));
        for _ in 0..4 {
            assert!(buffer.blocked_since().is_some(), "{size} bytes");
            let _ = writer
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
        }
        assert!(buffer.blocked_since().is_none(), "{size} bytes");
        assert_eq!(flushes.load(Ordering::Relaxed), 5, "{size} bytes");
    }
}
