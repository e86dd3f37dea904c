//! Why a connection is closed, as a number (`spec/sessions.md`, Close codes).

use std::fmt;

/// Why a gateway, or another peer, closes a connection. The numbers are those of
/// WebSocket close frames; over other transports they are in `__close__` of the goodbye.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseCode {
    /// 1000: the side that closes needs the connection no longer.
    Normal,
    /// 1001: the peer ends.
    GoingAway,
    /// 1008: the peer refuses the connection, for example its login.
    Refused,
    /// 1009: a message was larger than the peer accepts.
    TooLarge,
    /// 1012: the peer restarts; the connection may be made again.
    Restarting,
    /// 1013: the peer has no capacity now.
    TryLater,
    /// 4001: another login of the user, or of the device, has replaced the connection.
    Replaced,
    /// 4002: the login has expired.
    LoginExpired,
    /// 4003: this side has not read what was sent to it.
    SlowReader,
    /// 4004: this side was silent for too long.
    Idle,
    /// 4005: an operator has closed the connection.
    Ended,
    /// Any other number: of an application, or of a later version.
    Other(u16),
}

/// The codes and their numbers.
const CODES: [(CloseCode, u16); 11] = [
    (CloseCode::Normal, 1000),
    (CloseCode::GoingAway, 1001),
    (CloseCode::Refused, 1008),
    (CloseCode::TooLarge, 1009),
    (CloseCode::Restarting, 1012),
    (CloseCode::TryLater, 1013),
    (CloseCode::Replaced, 4001),
    (CloseCode::LoginExpired, 4002),
    (CloseCode::SlowReader, 4003),
    (CloseCode::Idle, 4004),
    (CloseCode::Ended, 4005),
];

impl CloseCode {
    /// The number on the wire.
    #[must_use]
    pub fn to_wire(self) -> u16 {
        let mut codes = CODES.iter();
        match self {
            Self::Other(number) => number,
            known => codes
                .find(|(code, _)| *code == known)
                .map_or(0, |(_, number)| *number),
        }
    }

    /// The code of a number on the wire.
    #[must_use]
    pub fn from_wire(number: u16) -> Self {
        let mut codes = CODES.iter();
        codes
            .find(|(_, known)| *known == number)
            .map_or(Self::Other(number), |(code, _)| *code)
    }

    /// Whether the same login may succeed later.
    #[must_use]
    pub fn can_retry(self) -> bool {
        !matches!(
            self,
            Self::Refused | Self::Replaced | Self::LoginExpired | Self::Ended
        )
    }

    /// Whether the client must not connect again, not even for a call: two devices that
    /// replace each other would do so without an end.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Replaced | Self::Ended)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_wire())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_they_are_written() {
        for (code, number) in CODES {
            assert_eq!(code.to_wire(), number);
            assert_eq!(CloseCode::from_wire(number), code);
        }
        assert_eq!(CloseCode::from_wire(4999).to_wire(), 4999);
        assert!(CloseCode::Other(4999).can_retry());
    }
}
