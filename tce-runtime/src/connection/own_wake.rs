//! A future beside others in one task, polled only after a wake of its own.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// Polls its future for the first time, and then only when that future has been woken, not
/// whenever the task is. `FuturesUnordered` does the same for many futures, with four times
/// the memory.
pub(super) struct OwnWake<F> {
    future: F,
    signal: Arc<WakeSignal>,
    /// Of `signal`.
    waker: Waker,
}

struct WakeSignal {
    is_woken: AtomicBool,
    task: AtomicWaker,
}

impl<F> OwnWake<F> {
    pub(super) fn new(future: F) -> Self {
        let signal = Arc::new(WakeSignal {
            is_woken: AtomicBool::new(true),
            task: AtomicWaker::new(),
        });
        Self {
            future,
            waker: Waker::from(Arc::clone(&signal)),
            signal,
        }
    }
}

impl<F: Future + Unpin> Future for OwnWake<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        // Registered before the check, so that no wake is missed.
        this.signal.task.register(cx.waker());
        if !this.signal.is_woken.load(Ordering::Relaxed)
            || !this.signal.is_woken.swap(false, Ordering::Acquire)
        {
            return Poll::Pending;
        }
        Pin::new(&mut this.future).poll(&mut Context::from_waker(&this.waker))
    }
}

impl Wake for WakeSignal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::poll_fn, pin::pin};

    use super::*;

    #[test]
    fn a_future_is_polled_once_and_then_after_each_wake_of_its_own() {
        let (polls, waker) = (Cell::new(0), Cell::new(None));
        let mut own = pin!(OwnWake::new(poll_fn(|cx| {
            polls.set(polls.get() + 1);
            waker.set(Some(cx.waker().clone()));
            match polls.get() {
                3 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })));
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert!(own.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(polls.get(), 1);
        waker.take().unwrap().wake();
        for _ in 0..3 {
            assert!(own.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(polls.get(), 2);
        waker.take().unwrap().wake();
        assert!(own.as_mut().poll(&mut cx).is_ready());
    }
}
