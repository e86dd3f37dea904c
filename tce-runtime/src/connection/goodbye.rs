//! The reason that a side gives before it closes a stream (`spec/wire.md`, section 4).

use std::fmt;

use crate::{
    close_code::CloseCode,
    error::{ErrorCode, RpcError},
    wire::{KeySet, RawMessage, reserved, unescape_ascii},
};

/// The sequence of the RETURN by which a peer says why it closes the connection.
pub(super) const GOODBYE_SEQUENCE: u32 = u32::MAX;

/// Why a side closes a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Goodbye {
    /// Whether this side closes it.
    pub(super) is_own: bool,
    error: ErrorCode,
    /// `None` from a peer that knows no close codes.
    pub(super) close: Option<CloseCode>,
    pub(super) text: String,
    /// Whether the peer has executed no call of the stream, since it refuses the login.
    is_before_login: bool,
}

/// Whether a client connects again after the end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reconnect {
    /// By itself.
    ByItself,
    /// Only for a call: the peer would refuse the same login again.
    WhenCalled,
    /// Never: the connection is closed permanently.
    Never,
}

impl Goodbye {
    /// What this side says.
    pub(super) fn own(close: CloseCode, text: &str) -> Self {
        Self {
            is_own: true,
            error: error_code(close),
            close: Some(close),
            text: text.to_owned(),
            is_before_login: false,
        }
    }

    /// The RETURN that refuses a login, for a peer that says nothing else before it
    /// closes the stream. The peer may accept the same login later.
    pub(super) fn of_refused_login(message: &RawMessage<'_>) -> Self {
        Self {
            is_own: false,
            error: ErrorCode::ConnectFailed,
            close: None,
            text: text_of(message),
            is_before_login: true,
        }
    }

    /// The goodbye in a RETURN, if it is one.
    pub(super) fn of_message(message: &RawMessage<'_>) -> Option<Self> {
        let header = message.header;
        if header.sequence != GOODBYE_SEQUENCE || header.errcode == 0 {
            return None;
        }
        let close = message.extra.get(reserved::CLOSE);
        let close = close.and_then(|number| number.parse().ok());
        let close = close.map(CloseCode::from_wire);
        Some(Self {
            is_own: false,
            error: ErrorCode::from_wire(header.errcode),
            close,
            text: text_of(message),
            is_before_login: matches!(close, Some(CloseCode::Refused | CloseCode::TryLater)),
        })
    }

    /// Whether this side may connect again; `renews_login` tells that it can get another
    /// token.
    pub(super) fn reconnect(&self, renews_login: bool) -> Reconnect {
        match self.close {
            Some(code) if code.is_final() => Reconnect::Never,
            Some(CloseCode::LoginExpired) if renews_login => Reconnect::ByItself,
            Some(code) if code.can_retry() => Reconnect::ByItself,
            None if self.error != ErrorCode::ConnectReject => Reconnect::ByItself,
            _ => Reconnect::WhenCalled,
        }
    }

    /// The error of a call that the peer has not answered.
    pub(crate) fn lost_call(&self) -> RpcError {
        if self.is_before_login {
            return self.error_of(ErrorCode::ConnectReject, self.text.clone());
        }
        let text = format!("the connection ended before the answer came: {self}");
        self.error_of(ErrorCode::ConnectionLost, text)
    }

    /// The error of a call that is not sent, since the peer has closed the connection
    /// permanently.
    pub(crate) fn refused_call(&self) -> RpcError {
        self.error_of(ErrorCode::ConnectReject, self.to_string())
    }

    fn error_of(&self, code: ErrorCode, text: String) -> RpcError {
        let error = RpcError::new(code, text);
        match self.close {
            Some(close) => error.closed_with(close),
            None => error,
        }
    }
}

/// The most bytes of a peer's reason that are kept.
const MAX_TEXT: usize = 1 << 10;

/// The text of an error RETURN.
fn text_of(message: &RawMessage<'_>) -> String {
    let text = message.reserved_text(KeySet::ERROR).unwrap_or_default();
    let mut text = unescape_ascii(text).into_owned();
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// The error code of a goodbye, by which peers that know no close codes decide whether
/// they connect again.
pub(super) fn error_code(close: CloseCode) -> ErrorCode {
    match close.can_retry() {
        true => ErrorCode::ConnectFailed,
        false => ErrorCode::ConnectReject,
    }
}

impl fmt::Display for Goodbye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "closed by the peer: {}", self.text)
    }
}
