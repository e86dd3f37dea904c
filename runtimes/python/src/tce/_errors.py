"""The errors of calls, and what a servant answers instead of a result."""

from __future__ import annotations

import enum
from typing import Any


class ErrorCode(enum.IntEnum):
    """The error codes of `spec/wire.md`, section 4."""

    SENDFAILED = 1
    """The call was not sent, and never will be."""
    TIMEOUT = 2
    """No RETURN in time; the call may have been executed."""
    DATADIRTY = 3
    """The bytes received are invalid."""
    INTERFACE_NOTFOUND = 4
    """No servant has the interface, or it has no such operation."""
    UNSERIALIZE_FAILED = 5
    """The parameters or the result do not decode."""
    REMOTEMETHOD_EXCEPTION = 6
    """The servant failed unexpectedly, or its result can't be sent."""
    DATA_INSUFFICIENT = 7
    """There are fewer bytes than the type needs."""
    REMOTE_EXCEPTION = 8
    """The servant raised an application error."""
    CONNECT_UNREACHABLE = 101
    """The peer's address can't be reached."""
    CONNECT_FAILED = 102
    """The peer did not accept the connection."""
    CONNECT_REJECT = 103
    """The peer refused, by authentication or by a limit."""
    CONNECTION_LOST = 104
    """The connection ended with calls in flight, which may have been executed."""


class CloseCode(enum.IntEnum):
    """Why a peer has ended a connection (`spec/sessions.md`)."""

    NORMAL = 1000
    """The side that closes needs the connection no longer."""
    GOING_AWAY = 1001
    """The peer ends."""
    REFUSED = 1008
    """The peer refuses the connection, for example its login."""
    TOO_LARGE = 1009
    """A message was larger than the peer accepts."""
    RESTARTING = 1012
    """The peer restarts; the connection may be made again, after the pause in the text."""
    TRY_LATER = 1013
    """The peer has no capacity now."""
    REPLACED = 4001
    """Another login of the user, or of the device, has replaced the connection."""
    LOGIN_EXPIRED = 4002
    """The login has expired."""
    SLOW_READER = 4003
    """This side has not read what was sent to it."""
    IDLE = 4004
    """This side was silent for too long."""
    ENDED = 4005
    """An operator has ended the connection."""


FINAL = frozenset({CloseCode.REPLACED, CloseCode.ENDED})
"""The codes after which a client does not connect again, not even for a call: two devices that
replace each other would do so without an end."""
REFUSALS = FINAL | {CloseCode.REFUSED, CloseCode.LOGIN_EXPIRED}
"""The codes after which the same login does not succeed."""

_RETRY = frozenset(
    {
        ErrorCode.SENDFAILED,
        ErrorCode.TIMEOUT,
        ErrorCode.CONNECT_UNREACHABLE,
        ErrorCode.CONNECT_FAILED,
        ErrorCode.CONNECT_REJECT,
        ErrorCode.CONNECTION_LOST,
    }
)


def code_name(code: int) -> str:
    """The name of a code in `spec/wire.md`, or `error code N`."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"error code {code}"


class Side(enum.Enum):
    """The side on which a call failed."""

    LOCAL = "local"
    """The caller's: the call was not sent, or no valid RETURN came."""
    REMOTE = "remote"
    """The peer's: it answered with an error."""


class RpcError(Exception):
    """Why a call failed."""

    def __init__(
        self,
        code: int,
        text: str,
        *,
        side: Side = Side.LOCAL,
        operation: str | None = None,
        peer: str | None = None,
        close_code: int | None = None,
    ) -> None:
        super().__init__(code, text)
        self.code = code
        """An `ErrorCode`, or a number of the application."""
        self.text = text
        """What happened, as the side that failed describes it."""
        self.side = side
        """The side on which the call failed."""
        self.operation = operation
        """The operation, as the IDL spells it: `test::Server::echo`."""
        self.peer = peer
        """The endpoint of the peer."""
        self.close_code = close_code
        """Why the peer has ended the connection, where that is the cause and the peer has said
        so: a `CloseCode`, or a number of the application."""

    @property
    def can_retry(self) -> bool:
        """Whether the same call may succeed when it is repeated.

        After TIMEOUT and CONNECTION_LOST it may have been executed: repeat it only if
        the operation is idempotent. Where the peer has refused the login, or has ended the
        connection permanently, the same connection does not succeed.
        """
        return self.code in _RETRY and self.close_code not in REFUSALS

    def what(self) -> str:
        """The text of the error, as TCE's own Python programs read it."""
        return str(self)

    def of_call(self, operation: str, peer: str) -> RpcError:
        """The same error with the operation and the peer of a call."""
        error = RpcError(
            self.code, self.text, side=self.side, operation=operation, peer=peer,
            close_code=self.close_code,
        )  # fmt: skip
        error.__cause__ = self.__cause__
        return error

    def __str__(self) -> str:
        before = f"{self.operation}: " if self.operation else ""
        text = f": {self.text}" if self.text else ""
        behind = f" ({self.peer})" if self.peer else ""
        return f"{before}{code_name(self.code)}{text}{behind}"


class UserException(RpcError):
    """An exception of an IDL; generated classes extend it.

    A servant raises it, and the caller of an operation that declares it gets it. Any other
    caller gets an `RpcError` with REMOTE_EXCEPTION and its text. One that a servant gets from a
    call of its own is an internal error, as any error of a call: the servant raises a new one.
    """

    def __init__(self, name: str, *members: Any, detail: str = "") -> None:
        super().__init__(ErrorCode.REMOTE_EXCEPTION, f"{name}: {detail}" if detail else name)
        self._members = members

    def of_call(self, operation: str, peer: str) -> RpcError:
        """The same exception with the operation and the peer of a call."""
        self.operation, self.peer = operation, peer
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._members


class Fault(Exception):
    """Raised by a servant: the caller gets its code and its text.

    Any other exception is logged at the server, and the caller gets REMOTE_EXCEPTION
    with the text "internal error". The code is `ErrorCode.REMOTE_EXCEPTION` or a number
    of the application, 1 to 2**32 - 1.
    """

    def __init__(self, text: str, code: int = ErrorCode.REMOTE_EXCEPTION) -> None:
        if not 0 < code < 1 << 32:
            raise ValueError(f"{code} is not a code: 1 to 4294967295")
        super().__init__(text)
        self.text = text
        self.code = code


class MarshalError(ValueError):
    """A value that its type in the IDL can't express. Nothing was sent."""


class DecodeError(Exception):
    """Bytes that are not what their type in the IDL says."""


class FrameError(Exception):
    """Bytes that break the framing of a stream, which ends its connection."""
