//! The methods that are said to a broker.

use super::octets::{TooLong, put_counted, put_long, put_longlong, put_short, put_shortstr};

/// What this client can take, each of which a broker would otherwise not do
/// (`https://www.rabbitmq.com/docs/connections#capabilities`).
const CAPABILITIES: [&str; 5] = [
    "publisher_confirms",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "authentication_failure_close",
];

/// The flags of `queue.declare` and `exchange.declare`, which share these.
const DURABLE: u8 = 1 << 1;
const EXCLUSIVE: u8 = 1 << 2;
const AUTO_DELETE: u8 = 1 << 3;

/// Nacked messages go back to their queue.
const REQUEUE: u8 = 1 << 1;

/// AMQP's reply code for "all is well".
const SUCCESS: u16 = 200;

/// A method, with what of its arguments is not always the same.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request<'a> {
    StartOk {
        user: &'a str,
        password: &'a str,
    },
    TuneOk(Tuning),
    Open {
        vhost: &'a str,
    },
    Close,
    CloseOk,
    ChannelOpen,
    /// Go on, and answer.
    Flow,
    FlowOk {
        active: bool,
    },
    ChannelClose,
    ChannelCloseOk,
    DeclareTopic {
        name: &'a str,
    },
    DeclareQueue {
        name: &'a str,
        owner: Owner,
    },
    Bind {
        queue: &'a str,
        exchange: &'a str,
        key: &'a str,
    },
    Qos {
        prefetch: u16,
    },
    Consume {
        queue: &'a str,
        tag: &'a str,
    },
    Cancel {
        tag: &'a str,
    },
    Ack {
        number: u64,
        multiple: bool,
    },
    GiveBack {
        number: u64,
    },
    ConfirmSelect,
}

/// Whose a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Everybody's, and it stays.
    All,
    /// This connection's, with which it ends.
    Connection,
}

/// What the two sides agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tuning {
    /// The highest number of a channel.
    pub(super) channel_max: u16,
    /// The size of a frame.
    pub(super) frame_max: u32,
    /// After how many seconds without a word a side is doubted.
    pub(super) heartbeat: u16,
}

impl Request<'_> {
    /// The numbers of its class and of the method in it.
    fn numbers(&self) -> (u16, u16) {
        match self {
            Self::StartOk { .. } => (10, 11),
            Self::TuneOk(_) => (10, 31),
            Self::Open { .. } => (10, 40),
            Self::Close => (10, 50),
            Self::CloseOk => (10, 51),
            Self::ChannelOpen => (20, 10),
            Self::Flow => (20, 20),
            Self::FlowOk { .. } => (20, 21),
            Self::ChannelClose => (20, 40),
            Self::ChannelCloseOk => (20, 41),
            Self::DeclareTopic { .. } => (40, 10),
            Self::DeclareQueue { .. } => (50, 10),
            Self::Bind { .. } => (50, 20),
            Self::Qos { .. } => (60, 10),
            Self::Consume { .. } => (60, 20),
            Self::Cancel { .. } => (60, 30),
            Self::Ack { .. } => (60, 80),
            Self::GiveBack { .. } => (60, 120),
            Self::ConfirmSelect => (85, 10),
        }
    }

    /// Appends it, with its numbers.
    pub(super) fn put(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let (class, method) = self.numbers();
        put_short(out, class);
        put_short(out, method);
        match *self {
            Self::StartOk { user, password } => put_start_ok(out, user, password),
            Self::TuneOk(tuning) => {
                put_short(out, tuning.channel_max);
                put_long(out, tuning.frame_max);
                put_short(out, tuning.heartbeat);
                Ok(())
            }
            Self::Open { vhost } => {
                put_shortstr(out, vhost)?;
                out.extend_from_slice(&[0, 0]);
                Ok(())
            }
            Self::Close | Self::ChannelClose => {
                put_short(out, SUCCESS);
                put_shortstr(out, "done")?;
                put_long(out, 0);
                Ok(())
            }
            Self::CloseOk | Self::ChannelCloseOk => Ok(()),
            Self::ChannelOpen | Self::ConfirmSelect => {
                out.push(0);
                Ok(())
            }
            Self::Flow => {
                out.push(1);
                Ok(())
            }
            Self::FlowOk { active } => {
                out.push(active.into());
                Ok(())
            }
            Self::DeclareTopic { name } => put_declare_topic(out, name),
            Self::DeclareQueue { name, owner } => put_declare_queue(out, name, owner),
            Self::Bind {
                queue,
                exchange,
                key,
            } => put_bind(out, queue, exchange, key),
            Self::Qos { prefetch } => {
                put_long(out, 0);
                put_short(out, prefetch);
                // Each consumer's: brokers from 4.0 on know no other.
                out.push(0);
                Ok(())
            }
            Self::Consume { queue, tag } => put_consume(out, queue, tag),
            Self::Cancel { tag } => {
                put_shortstr(out, tag)?;
                out.push(0);
                Ok(())
            }
            Self::Ack { number, multiple } => {
                put_longlong(out, number);
                out.push(multiple.into());
                Ok(())
            }
            Self::GiveBack { number } => {
                put_longlong(out, number);
                out.push(REQUEUE);
                Ok(())
            }
        }
    }
}

fn put_start_ok(out: &mut Vec<u8>, user: &str, password: &str) -> Result<(), TooLong> {
    let put_text = |out: &mut Vec<u8>, key: &str, text: &str| {
        put_shortstr(out, key)?;
        out.push(b'S');
        put_counted(out, |out| {
            out.extend_from_slice(text.as_bytes());
            Ok(())
        })
    };
    put_counted(out, |out| {
        put_text(out, "product", "tce")?;
        put_text(out, "version", env!("CARGO_PKG_VERSION"))?;
        put_text(out, "platform", "Rust")?;
        put_text(out, "connection_name", "tce")?;
        put_shortstr(out, "capabilities")?;
        out.push(b'F');
        put_counted(out, |out| {
            CAPABILITIES.iter().try_for_each(|name| {
                put_shortstr(out, name)?;
                out.extend_from_slice(&[b't', 1]);
                Ok(())
            })
        })
    })?;
    put_shortstr(out, "PLAIN")?;
    put_counted(out, |out| {
        for text in [user, password] {
            out.push(0);
            out.extend_from_slice(text.as_bytes());
        }
        Ok(())
    })?;
    put_shortstr(out, "en_US")
}

fn put_declare_topic(out: &mut Vec<u8>, name: &str) -> Result<(), TooLong> {
    put_short(out, 0);
    put_shortstr(out, name)?;
    put_shortstr(out, "topic")?;
    out.push(DURABLE);
    put_long(out, 0);
    Ok(())
}

fn put_declare_queue(out: &mut Vec<u8>, name: &str, owner: Owner) -> Result<(), TooLong> {
    put_short(out, 0);
    put_shortstr(out, name)?;
    out.push(match owner {
        Owner::All => DURABLE,
        Owner::Connection => EXCLUSIVE | AUTO_DELETE,
    });
    put_long(out, 0);
    Ok(())
}

fn put_bind(out: &mut Vec<u8>, queue: &str, exchange: &str, key: &str) -> Result<(), TooLong> {
    put_short(out, 0);
    put_shortstr(out, queue)?;
    put_shortstr(out, exchange)?;
    put_shortstr(out, key)?;
    out.push(0);
    put_long(out, 0);
    Ok(())
}

fn put_consume(out: &mut Vec<u8>, queue: &str, tag: &str) -> Result<(), TooLong> {
    put_short(out, 0);
    put_shortstr(out, queue)?;
    put_shortstr(out, tag)?;
    out.push(0);
    put_long(out, 0);
    Ok(())
}
