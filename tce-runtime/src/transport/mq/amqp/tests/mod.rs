//! What a broker may say, and what we do then.

mod bytes;
mod channels;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tokio::io::AsyncWrite;

use super::{request::Tuning, session::Session};

const FRAME_MAX: u32 = 4096;

fn session() -> Arc<Session> {
    Arc::new(Session::new(Tuning {
        channel_max: 2,
        frame_max: FRAME_MAX,
        heartbeat: 10,
    }))
}

/// Takes all that is written.
#[derive(Default)]
struct Paper(Vec<u8>);

impl AsyncWrite for Paper {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a session has to say.
fn said(session: &Session) -> Vec<u8> {
    let mut paper = Paper::default();
    let waker = Waker::noop();
    let _ = session.poll_write(&mut Context::from_waker(waker), &mut paper);
    paper.0
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap();
    let head = [&[kind][..], &channel.to_be_bytes(), &size.to_be_bytes()];
    [head.concat().as_slice(), payload, &[0xCE]].concat()
}
