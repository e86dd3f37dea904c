//! The errors of calls, and what a servant answers instead of a result.

use std::{borrow::Cow, fmt};

use crate::{
    advice,
    close_code::CloseCode,
    exception::{EncodedException, Exception},
};

/// The error codes of `spec/wire.md`, section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// SENDFAILED: the call was not sent, and never will be.
    SendFailed,
    /// TIMEOUT: no RETURN in time; the call may have been executed.
    Timeout,
    /// DATADIRTY: the bytes received are invalid.
    DataDirty,
    /// INTERFACE_NOTFOUND: no servant has the interface, or it has no such
    /// operation.
    InterfaceNotFound,
    /// UNSERIALIZE_FAILED: the parameters or the result do not decode.
    UnserializeFailed,
    /// REMOTEMETHOD_EXCEPTION: the servant failed unexpectedly, or its result is too
    /// large to be sent.
    RemoteMethodException,
    /// DATA_INSUFFICIENT: there are fewer bytes than the type needs.
    DataInsufficient,
    /// REMOTE_EXCEPTION: the servant raised an application error.
    RemoteException,
    /// CONNECT_UNREACHABLE: the peer's address can't be reached.
    ConnectUnreachable,
    /// CONNECT_FAILED: the peer did not accept the connection.
    ConnectFailed,
    /// CONNECT_REJECT: the peer refused by authentication or by a limit.
    ConnectReject,
    /// CONNECTION_LOST: the connection ended with calls in flight, which may have
    /// been executed.
    ConnectionLost,
    /// USER_OFFLINE: no gateway has a session of the user whom a server calls.
    UserOffline,
    /// Any other code: of an application, or of a later version.
    Other(u32),
}

/// The codes, their numbers on the wire and their names in `spec/wire.md`.
const CODES: [(ErrorCode, u32, &str); 13] = [
    (ErrorCode::SendFailed, 1, "SENDFAILED"),
    (ErrorCode::Timeout, 2, "TIMEOUT"),
    (ErrorCode::DataDirty, 3, "DATADIRTY"),
    (ErrorCode::InterfaceNotFound, 4, "INTERFACE_NOTFOUND"),
    (ErrorCode::UnserializeFailed, 5, "UNSERIALIZE_FAILED"),
    (
        ErrorCode::RemoteMethodException,
        6,
        "REMOTEMETHOD_EXCEPTION",
    ),
    (ErrorCode::DataInsufficient, 7, "DATA_INSUFFICIENT"),
    (ErrorCode::RemoteException, 8, "REMOTE_EXCEPTION"),
    (ErrorCode::ConnectUnreachable, 101, "CONNECT_UNREACHABLE"),
    (ErrorCode::ConnectFailed, 102, "CONNECT_FAILED"),
    (ErrorCode::ConnectReject, 103, "CONNECT_REJECT"),
    (ErrorCode::ConnectionLost, 104, "CONNECTION_LOST"),
    (ErrorCode::UserOffline, 105, "USER_OFFLINE"),
];

impl ErrorCode {
    /// The number on the wire.
    #[must_use]
    pub fn to_wire(self) -> u32 {
        match self {
            Self::Other(code) => code,
            known => CODES
                .iter()
                .find(|(code, ..)| *code == known)
                .map_or(0, |(_, number, _)| *number),
        }
    }

    /// The code of a number on the wire.
    #[must_use]
    pub fn from_wire(number: u32) -> Self {
        CODES
            .iter()
            .find(|(_, known, _)| *known == number)
            .map_or(Self::Other(number), |(code, ..)| *code)
    }

    /// The code as a label of metrics and spans (`error.type`): its name, or the number of
    /// an application's code.
    #[must_use]
    pub fn label(self) -> Cow<'static, str> {
        match CODES.iter().find(|(code, ..)| *code == self) {
            Some((_, _, name)) => Cow::Borrowed(name),
            None => Cow::Owned(self.to_wire().to_string()),
        }
    }

    /// Whether the same call may succeed when it is repeated later.
    ///
    /// After [`ErrorCode::Timeout`] and [`ErrorCode::ConnectionLost`] the call
    /// may already have been executed: repeat it only if the operation is
    /// idempotent.
    #[must_use]
    pub fn can_retry(self) -> bool {
        matches!(
            self,
            Self::SendFailed
                | Self::Timeout
                | Self::ConnectUnreachable
                | Self::ConnectFailed
                | Self::ConnectReject
                | Self::ConnectionLost
        )
    }

    /// What the caller can do about the error.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::SendFailed => "repeat the call later: it was not sent; or send smaller messages",
            Self::Timeout => {
                "raise the timeout with `with_timeout`, or find out why the servant is slow"
            }
            Self::DataDirty | Self::UnserializeFailed | Self::DataInsufficient => {
                "compile both sides from the same .idl"
            }
            Self::InterfaceNotFound => {
                "check that the servant is added to the adapter and that both sides are compiled from the same .idl; an older TCE server needs a servant of the base interface, too, for inherited operations"
            }
            Self::RemoteMethodException => "read the server's log",
            Self::ConnectUnreachable => "check the host name and the network",
            Self::ConnectFailed => "check that the server runs and listens on this host and port",
            Self::ConnectReject => "check the token, and the limits of the server",
            Self::ConnectionLost => {
                "repeat the call if the operation is idempotent: the client reconnects by itself"
            }
            Self::UserOffline => "keep the message, and call the user after the next login",
            Self::RemoteException | Self::Other(_) => {
                "read the text of the error, or the server's log"
            }
        }
    }
}

impl fmt::Display for ErrorCode {
    /// The name of `spec/wire.md`, section 4.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match CODES.iter().find(|(code, ..)| code == self) {
            Some((_, _, name)) => f.write_str(name),
            None => write!(f, "error code {}", self.to_wire()),
        }
    }
}

/// The side on which a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The caller's: the call was not sent, or no valid RETURN came.
    Local,
    /// The peer's: it answered with an error.
    Remote,
}

/// Why a call failed: the code, the side, the operation, the peer, and a text.
///
/// ```
/// use tce_runtime::{ErrorCode, RpcError};
///
/// let error = RpcError::new(ErrorCode::Timeout, "no answer within 1s");
/// assert!(error.can_retry());
/// assert!(error.to_string().starts_with("TIMEOUT: no answer within 1s"));
/// ```
pub struct RpcError(Box<Details>);

struct Details {
    code: ErrorCode,
    side: Side,
    operation: Option<&'static str>,
    peer: Option<String>,
    text: String,
    close: Option<CloseCode>,
    advice: Option<&'static str>,
    exception: Option<EncodedException>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl RpcError {
    /// An error of the local side.
    #[must_use]
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        let text = text.into();
        Self(Box::new(Details {
            code,
            side: Side::Local,
            operation: None,
            peer: None,
            text,
            close: None,
            advice: None,
            exception: None,
            source: None,
        }))
    }

    pub(crate) fn remote(code: ErrorCode, text: impl Into<String>) -> Self {
        let mut error = Self::new(code, text);
        error.0.side = Side::Remote;
        error
    }

    pub(crate) fn with_exception(mut self, exception: Option<EncodedException>) -> Self {
        self.0.exception = exception;
        self
    }

    pub(crate) fn closed_with(mut self, code: CloseCode) -> Self {
        self.0.close = Some(code);
        self
    }

    pub(crate) fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let source = source.into();
        self.0.advice = advice::of_cause(&*source).or(self.0.advice);
        self.0.source = Some(source);
        self
    }

    /// Sets what the caller can do, unless the [cause](Self::caused_by) tells more.
    pub(crate) fn advised(mut self, advice: &'static str) -> Self {
        self.0.advice = Some(advice);
        self
    }

    pub(crate) fn of_operation(mut self, operation: &'static str) -> Self {
        self.0.operation = Some(operation);
        self
    }

    pub(crate) fn at_peer(mut self, peer: impl Into<String>) -> Self {
        self.0.peer = Some(peer.into());
        self
    }

    /// The error code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The side on which the call failed.
    #[must_use]
    pub fn side(&self) -> Side {
        self.0.side
    }

    /// The operation that was called, by its name in the IDL
    /// (`test::Server::echo`).
    #[must_use]
    pub fn operation(&self) -> Option<&str> {
        self.0.operation
    }

    /// The endpoint of the peer.
    #[must_use]
    pub fn peer(&self) -> Option<&str> {
        self.0.peer.as_deref()
    }

    /// What happened, as the side that failed describes it. A servant's text is here
    /// only if the servant sent it: see [`Fault`].
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The exception of the IDL that the servant has raised, if it is an `E`: `throws` in
    /// the IDL names the exceptions that an operation is known to raise.
    ///
    /// ```
    /// # use tce_runtime::{RpcError, codegen as rt};
    /// # #[derive(Debug)]
    /// # struct NotFound { key: String }
    /// # impl rt::Marshal for NotFound {
    /// #     fn marshal(&self, out: &mut rt::Writer<'_>) { self.key.marshal(out) }
    /// # }
    /// # impl rt::Unmarshal for NotFound {
    /// #     const MIN_SIZE: usize = 4;
    /// #     fn unmarshal(input: &mut rt::Reader<'_>) -> Result<Self, rt::DecodeError> {
    /// #         Ok(Self { key: String::unmarshal(input)? })
    /// #     }
    /// # }
    /// # impl rt::Exception for NotFound { const NAME: &'static str = "shop.NotFound"; }
    /// fn explain(error: &RpcError) -> String {
    ///     match error.exception::<NotFound>() {
    ///         Some(NotFound { key }) => format!("nothing is called {key}"),
    ///         None => error.to_string(),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn exception<E: Exception>(&self) -> Option<E> {
        self.0.exception.as_ref()?.decode()
    }

    /// The full name of the exception that the servant has raised: `module.Name`. A
    /// program that is compiled from an older IDL may not know it.
    #[must_use]
    pub fn exception_name(&self) -> Option<&str> {
        self.0.exception.as_ref().map(EncodedException::name)
    }

    /// The marshalled members of the exception that the servant has raised, for
    /// programs that read the IDL when they run.
    #[doc(hidden)]
    #[must_use]
    pub fn exception_members(&self) -> Option<&[u8]> {
        self.0.exception.as_ref().map(EncodedException::members)
    }

    /// Why the peer has closed the connection, where that is the cause and the peer has
    /// said so.
    #[must_use]
    pub fn close_code(&self) -> Option<CloseCode> {
        self.0.close
    }

    /// Whether the same call may succeed when it is repeated, by the same connection:
    /// [`ErrorCode::can_retry`], and [`CloseCode::can_retry`] where the peer has closed
    /// the connection.
    #[must_use]
    pub fn can_retry(&self) -> bool {
        self.code().can_retry() && self.0.close.is_none_or(CloseCode::can_retry)
    }

    /// What the caller can do about the error: by its cause where that is known, else
    /// by its code.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        // A servant's own text may hold any words.
        let is_of_gateway = matches!(
            self.code(),
            ErrorCode::SendFailed | ErrorCode::InterfaceNotFound
        );
        let is_of_tce = self.side() == Side::Local || is_of_gateway;
        let by_text = is_of_tce.then(|| advice::of_text(&self.0.text)).flatten();
        by_text
            .or(self.0.advice)
            .unwrap_or_else(|| self.code().advice())
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details {
            code,
            operation,
            peer,
            text,
            ..
        } = &*self.0;
        if let Some(operation) = operation {
            write!(f, "{operation}: ")?;
        }
        write!(f, "{code}")?;
        if !text.is_empty() {
            write!(f, ": {text}")?;
        }
        if let Some(peer) = peer {
            write!(f, " ({peer})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RpcError {
    /// As displayed, followed by the advice, since `main` prints an error that it
    /// returns by its `Debug`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}; {}", self.advice())
    }
}

impl std::error::Error for RpcError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Why a servant's operation failed: what the caller is told, and what the server
/// logs.
///
/// The text of a fault made with [`Fault::new`] reaches the caller. Any other error
/// becomes a fault with `?` and may hold internals of the server: it is logged
/// there, at level `error`, and the caller gets REMOTE_EXCEPTION with the text
/// "internal error".
///
/// ```
/// use tce_runtime::{ErrorCode, Fault};
///
/// async fn load(path: &str) -> Result<String, Fault> {
///     if path.contains("..") {
///         // The caller reads this.
///         return Err(Fault::new(ErrorCode::RemoteException, "`..` is not allowed"));
///     }
///     // The caller reads "internal error"; the log of the server says which file.
///     Ok(std::fs::read_to_string(path)?)
/// }
/// ```
///
/// An exception of the IDL becomes a fault with `?` or `into()`, and arrives at the
/// caller as such: [`RpcError::exception`].
///
/// An error type of the application opts in by a conversion of its own. It must not
/// implement [`std::error::Error`], whose implementors are converted as internal
/// errors:
///
/// ```
/// use tce_runtime::{ErrorCode, Fault};
///
/// enum OrderError {
///     SoldOut,
/// }
///
/// impl From<OrderError> for Fault {
///     fn from(error: OrderError) -> Self {
///         match error {
///             OrderError::SoldOut => Fault::new(ErrorCode::Other(1001), "sold out"),
///         }
///     }
/// }
///
/// fn order(stock: u32) -> Result<(), Fault> {
///     Ok(if stock == 0 { Err(OrderError::SoldOut) } else { Ok(()) }?)
/// }
/// assert_eq!(order(0).unwrap_err().text(), "sold out");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    code: ErrorCode,
    text: String,
    internal: Option<String>,
    exception: Option<Box<EncodedException>>,
}

/// What the caller reads of an internal error.
const INTERNAL_ERROR: &str = "internal error";

impl Fault {
    /// A fault that the caller is told: its code, and its text in `__error__`. An
    /// application may use [`ErrorCode::RemoteException`] for all its faults, or its
    /// own numbers as [`ErrorCode::Other`].
    #[must_use]
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            internal: None,
            exception: None,
        }
    }

    /// A fault that is an exception of the IDL. Its text is the exception's name and
    /// [detail](Exception::detail): that is all that a caller gets who does not know the
    /// exception, and every caller if it is too large for the extra of a message.
    #[must_use]
    pub fn raise<E: Exception>(exception: &E) -> Self {
        let text = match exception.detail() {
            "" => E::NAME.to_owned(),
            detail => format!("{}: {detail}", E::NAME),
        };
        Self {
            exception: Some(Box::new(EncodedException::of(exception))),
            ..Self::new(ErrorCode::RemoteException, text)
        }
    }

    /// A fault whose `cause` only the server's log shows, as for an error that `?`
    /// converts. It is for errors that are no [`std::error::Error`]:
    /// `.map_err(Fault::internal)?` with a `Box<dyn Error>` or an `anyhow::Error`.
    #[must_use]
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self {
            code: ErrorCode::RemoteException,
            text: INTERNAL_ERROR.to_owned(),
            internal: Some(format!("{cause:#}")),
            exception: None,
        }
    }

    /// The code that the caller gets.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The text that the caller gets.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The exception of the IDL that the fault is, if it is an `E`.
    #[must_use]
    pub fn exception<E: Exception>(&self) -> Option<E> {
        self.exception.as_ref()?.decode()
    }

    pub(crate) fn encoded_exception(&self) -> Option<&EncodedException> {
        self.exception.as_deref()
    }

    /// The cause of an internal error, which the caller does not get.
    #[must_use]
    pub fn internal_cause(&self) -> Option<&str> {
        self.internal.as_deref()
    }
}

impl From<Fault> for RpcError {
    /// The error that the caller gets when a servant answers with the fault.
    fn from(fault: Fault) -> Self {
        Self::remote(fault.code, fault.text).with_exception(fault.exception.map(|it| *it))
    }
}

// Fault is not a std::error::Error itself: that would forbid this conversion.
impl<E: std::error::Error> From<E> for Fault {
    /// An internal error, with the errors that caused it.
    fn from(error: E) -> Self {
        let mut cause = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            cause.push_str(": ");
            cause.push_str(&error.to_string());
            source = error.source();
        }
        Self::internal(cause)
    }
}
