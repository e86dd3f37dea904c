//! How a connection to a broker begins (AMQP 0-9-1, section 2.2.4), and the
//! task that keeps it.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{
    address::AmqpAddress,
    answer::Answer,
    error::AmqpError,
    frame::{Content, Frame, GREETING, put_request},
    octets::Malformed,
    request::{Request, Tuning},
    session::{Beat, Session},
};
use crate::{busy_poll::bytes_received, transport::ByteStream};

/// What we ask for; a broker may want less.
const WANTED: Tuning = Tuning {
    channel_max: 2047,
    frame_max: 128 << 10,
    heartbeat: 10,
};
/// The least frame that AMQP allows.
const FRAME_MIN: u32 = 4096;
/// What a read has room for.
const READ_SIZE: usize = 64 << 10;

/// Greets a broker, and keeps the connection in a task that ends with it.
pub(super) async fn connect(
    stream: ByteStream,
    address: &AmqpAddress,
) -> Result<Arc<Session>, AmqpError> {
    let mut talk = Talk {
        stream,
        heard: BytesMut::with_capacity(READ_SIZE),
    };
    let tuning = talk.begin(address).await?;
    let session = Arc::new(Session::new(tuning));
    let kept = Arc::clone(&session);
    tokio::spawn(async move {
        let error = keep(talk, &kept, tuning.heartbeat).await;
        kept.fail(error);
    });
    Ok(session)
}

/// A connection whose sides take turns.
struct Talk {
    stream: ByteStream,
    heard: BytesMut,
}

impl Talk {
    async fn begin(&mut self, address: &AmqpAddress) -> Result<Tuning, AmqpError> {
        self.write(GREETING).await?;
        self.hear(|answer| match answer {
            Answer::Start { mechanisms } => knows_plain(mechanisms),
            _ => Err(Malformed("it does not begin").into()),
        })
        .await?;
        let (user, password) = (&address.user, &address.password);
        self.say(&Request::StartOk { user, password }).await?;
        let offer = self.hear(|answer| match answer {
            Answer::Tune(offer) => Ok(offer),
            _ => Err(Malformed("it does not let us in").into()),
        });
        let tuning = agreed(offer.await?)?;
        self.say(&Request::TuneOk(tuning)).await?;
        let vhost = &address.vhost;
        self.say(&Request::Open { vhost }).await?;
        self.hear(|answer| match answer {
            Answer::OpenOk => Ok(()),
            _ => Err(Malformed("it does not open").into()),
        })
        .await?;
        Ok(tuning)
    }

    async fn say(&mut self, request: &Request<'_>) -> Result<(), AmqpError> {
        let mut out = Vec::new();
        put_request(&mut out, 0, request)?;
        self.write(&out).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), AmqpError> {
        let sink = &mut self.stream.sink;
        sink.write_all(bytes).await.map_err(broken)?;
        sink.flush().await.map_err(broken)
    }

    /// Waits for a method, and has `understand` look at it.
    async fn hear<T>(
        &mut self,
        understand: impl Fn(Answer<'_>) -> Result<T, AmqpError>,
    ) -> Result<T, AmqpError> {
        loop {
            // Who speaks another version says with which.
            if self.heard.starts_with(b"AMQP") {
                return Err(Malformed("it greets with another version").into());
            }
            while let Some((frame, size)) = Frame::split(&self.heard, WANTED.frame_max as usize)? {
                let understood = match frame.content {
                    Content::Method(octets) => Some(match Answer::parse(octets)? {
                        Answer::Close(reason) => Err(AmqpError::ended(reason)),
                        answer => understand(answer),
                    }),
                    Content::Heartbeat => None,
                    _ => return Err(Malformed("a message comes too early").into()),
                };
                self.heard.advance(size);
                if let Some(understood) = understood {
                    return understood;
                }
            }
            if self
                .stream
                .source
                .read_buf(&mut self.heard)
                .await
                .map_err(broken)?
                == 0
            {
                return Err(AmqpError::lost(
                    "the broker has hung up; see that user, password and virtual host are right",
                ));
            }
        }
    }
}

fn knows_plain(mechanisms: &[u8]) -> Result<(), AmqpError> {
    let mut known = mechanisms.split(|byte| *byte == b' ');
    if known.any(|mechanism| mechanism == b"PLAIN") {
        return Ok(());
    }
    let known = String::from_utf8_lossy(mechanisms);
    Err(AmqpError::Lost(format!(
        "the broker takes no password (PLAIN), only {known}"
    )))
}

/// What both sides can do; 0 is "without limit".
fn agreed(offer: Tuning) -> Result<Tuning, AmqpError> {
    fn least<T: Ord + Default>(one: T, other: T) -> T {
        if other == T::default() {
            one
        } else {
            one.min(other)
        }
    }
    let tuning = Tuning {
        channel_max: least(WANTED.channel_max, offer.channel_max),
        frame_max: least(WANTED.frame_max, offer.frame_max),
        heartbeat: least(WANTED.heartbeat, offer.heartbeat),
    };
    if tuning.frame_max < FRAME_MIN {
        return Err(Malformed("it wants frames that are too small").into());
    }
    Ok(tuning)
}

/// Reads and writes until the connection is lost; says why.
async fn keep(talk: Talk, session: &Session, heartbeat: u16) -> AmqpError {
    let Talk {
        stream: ByteStream {
            mut source,
            mut sink,
            ..
        },
        mut heard,
    } = talk;
    let half = Duration::from_secs(heartbeat.into()) / 2;
    let mut beats = interval_at(Instant::now() + half, half);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent = 0;
    if let Err(error) = session.take(&mut heard) {
        return error;
    }
    loop {
        heard.reserve(READ_SIZE);
        tokio::select! {
            biased;
            error = poll_fn(|context| session.poll_write(context, &mut sink)) => return error,
            read = source.read_buf(&mut heard) => match read {
                Ok(0) => return AmqpError::lost("the broker has hung up"),
                Ok(_) => {
                    let taken = session.take(&mut heard);
                    bytes_received();
                    if let Err(error) = taken {
                        return error;
                    }
                }
                Err(error) => return broken(error),
            },
            _ = beats.tick() => {
                let Beat { was_heard, is_closing } = session.beat();
                silent = if was_heard { 0 } else { silent + 1 };
                // Twice the time that was agreed on.
                if silent >= 4 || is_closing && silent > 1 {
                    return AmqpError::Lost(format!("the broker was silent for {} s", heartbeat * 2));
                }
            }
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "what `map_err` hands over")]
fn broken(error: std::io::Error) -> AmqpError {
    AmqpError::Lost(error.to_string())
}
