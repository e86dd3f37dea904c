//! Expensive work that a peer asks for by a few bytes: to inflate a frame, to
//! perform a TLS handshake.

use std::{
    cell::Cell,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep_until};

/// Work that takes longer than this is expensive: about the cost of a hundred
/// calls.
const EXPENSIVE: Duration = Duration::from_micros(100);
/// The longest pause after one piece of work.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

thread_local! {
    /// When this thread may begin further expensive work.
    static DUE_AT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Does work that may be expensive. If it was, the thread begins no other such
/// work for as long as this took: it spends at most half of its time on such
/// work, whatever the number of peers that ask for it.
pub(crate) fn do_paced<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    let took = start.elapsed();
    if took > EXPENSIVE {
        DUE_AT.set(Some(start + took + took.min(LONGEST_PAUSE)));
    }
    result
}

/// When the thread may begin expensive work; `None` for now.
pub(crate) fn due_at() -> Option<Instant> {
    let at = DUE_AT.get()?;
    if at <= Instant::now() {
        DUE_AT.set(None);
        return None;
    }
    Some(at)
}

/// A future of which each poll may be expensive.
pub(crate) struct Paced<F> {
    inner: Pin<Box<F>>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Paced<F> {
    pub(crate) fn new(inner: F) -> Self {
        Self {
            inner: Box::pin(inner),
            pause: None,
        }
    }
}

impl<F: Future> Future for Paced<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        while let Some(at) = due_at() {
            let pause = self
                .pause
                .get_or_insert_with(|| Box::pin(sleep_until(at.into())));
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        self.pause = None;
        do_paced(|| self.inner.as_mut().poll(cx))
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    #[test]
    fn cheap_work_is_not_paced() {
        assert_eq!(do_paced(|| 7), 7);
        DUE_AT.set(None);
        assert_eq!(due_at(), None);
    }

    #[test]
    fn expensive_work_is_followed_by_a_pause_of_the_same_length() {
        let start = Instant::now();
        do_paced(|| sleep(Duration::from_millis(30)));
        let at = due_at().expect("a pause");
        assert!(at - start >= Duration::from_millis(59));
        sleep(at.saturating_duration_since(Instant::now()));
        assert_eq!(due_at(), None);
    }

    #[tokio::test]
    async fn paced_futures_leave_half_of_the_thread_to_others() {
        let work = || {
            Paced::new(async {
                for _ in 0..5 {
                    sleep(Duration::from_millis(4));
                    tokio::task::yield_now().await;
                }
            })
        };
        let start = Instant::now();
        tokio::join!(work(), work());
        assert!(
            start.elapsed() > Duration::from_millis(70),
            "{:?}",
            start.elapsed()
        );
    }
}
