//! The methods that a broker says.

use super::{
    octets::{Malformed, Octets},
    request::Tuning,
};

/// A method of a broker, with what of its arguments matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    Start {
        mechanisms: &'a [u8],
    },
    Tune(Tuning),
    OpenOk,
    Close(Reason<'a>),
    CloseOk,
    Blocked {
        reason: &'a [u8],
    },
    Unblocked,
    Flow {
        active: bool,
    },
    ChannelClose(Reason<'a>),
    ChannelCloseOk,
    /// A request was carried out; of a queue's declaration its name.
    Done {
        name: Option<&'a str>,
    },
    /// The queue of a consumer is gone.
    Cancelled,
    Delivery {
        number: u64,
        is_redelivered: bool,
    },
    /// A message that no queue has taken follows.
    Returned,
    Ack {
        number: u64,
        multiple: bool,
    },
    Nack {
        number: u64,
        multiple: bool,
    },
}

/// Why a broker has ended a channel or connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reason<'a> {
    pub(super) code: u16,
    pub(super) text: &'a [u8],
}

impl<'a> Reason<'a> {
    fn parse(octets: &mut Octets<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            code: octets.short()?,
            text: octets.cut_text()?,
        })
    }
}

impl<'a> Answer<'a> {
    pub(super) fn parse(mut octets: Octets<'a>) -> Result<Self, Malformed> {
        let numbers = (octets.short()?, octets.short()?);
        Ok(match numbers {
            (10, 10) => {
                let _version = octets.short()?;
                let _properties = octets.longstr()?;
                Self::Start {
                    mechanisms: octets.longstr()?,
                }
            }
            (10, 30) => Self::Tune(Tuning {
                channel_max: octets.short()?,
                frame_max: octets.long()?,
                heartbeat: octets.short()?,
            }),
            (10, 41) => Self::OpenOk,
            (10, 50) => Self::Close(Reason::parse(&mut octets)?),
            (10, 51) => Self::CloseOk,
            (10, 60) => Self::Blocked {
                reason: octets.cut_text()?,
            },
            (10, 61) => Self::Unblocked,
            (20, 20) => Self::Flow {
                active: octets.octet()? & 1 != 0,
            },
            (20, 40) => Self::ChannelClose(Reason::parse(&mut octets)?),
            (20, 41) => Self::ChannelCloseOk,
            (50, 11) => Self::Done {
                name: Some(octets.shortstr()?),
            },
            (20, 11 | 21) | (40, 11) | (50, 21) | (60, 11 | 21 | 31) | (85, 11) => {
                Self::Done { name: None }
            }
            (60, 30) => Self::Cancelled,
            (60, 50) => Self::Returned,
            (60, 60) => Self::delivery(octets)?,
            (60, 80) => Self::Ack {
                number: octets.longlong()?,
                multiple: octets.octet()? & 1 != 0,
            },
            (60, 120) => Self::Nack {
                number: octets.longlong()?,
                multiple: octets.octet()? & 1 != 0,
            },
            _ => return Err(Malformed("a method that it has no reason to use")),
        })
    }

    fn delivery(mut octets: Octets<'a>) -> Result<Self, Malformed> {
        let _consumer = octets.shortstr()?;
        Ok(Self::Delivery {
            number: octets.longlong()?,
            is_redelivered: octets.octet()? & 1 != 0,
        })
    }
}
