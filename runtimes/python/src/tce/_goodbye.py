"""What a peer says before it ends a stream, and whether a client comes back then."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from . import _message
from ._errors import FINAL, REFUSALS, CloseCode, ErrorCode
from ._message import Extra

_NO_CODE = 1005
"""Stands for a close frame without a code."""
_COME_BACK = re.compile(r"come back in ([0-9]{1,9}) ms")


class Reconnect(enum.Enum):
    """Whether a client connects again after the end of a stream."""

    BY_ITSELF = enum.auto()
    WHEN_CALLED = enum.auto()
    """Only for a call: the peer would refuse the same login again."""
    NEVER = enum.auto()
    """The connection is closed permanently."""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """What a peer has said before it ends a stream."""

    errcode: int
    text: str
    close_code: int | None
    """`None` from a peer that knows no close codes."""

    @classmethod
    def read(cls, errcode: int, extra: Extra) -> Goodbye:
        """The goodbye of a RETURN."""
        text = _message.unescape_ascii(extra.get(_message.ERROR) or "")
        return cls(errcode, text, _message.number(extra.get(_message.CLOSE)))

    @classmethod
    def of_close_frame(cls, code: int, text: str) -> Goodbye | None:
        """The same from a WebSocket's close frame; `None` where it has no code or a normal one."""
        if code <= CloseCode.NORMAL or code == _NO_CODE:
            return None
        errcode = ErrorCode.CONNECT_REJECT if code in REFUSALS else ErrorCode.CONNECT_FAILED
        return cls(errcode, text, code)

    @classmethod
    def of_refused_login(cls, text: str) -> Goodbye:
        """The same from the RETURN of a login: unless the peer says another reason, it may accept
        the login later."""
        return cls(ErrorCode.CONNECT_FAILED, text, CloseCode.TRY_LATER)

    @property
    def is_before_login(self) -> bool:
        """Whether the peer has executed no call of the stream, since it refuses the login."""
        return self.close_code in (CloseCode.REFUSED, CloseCode.TRY_LATER)

    def reconnect(self, renews_login: bool) -> Reconnect:
        """Whether this side may connect again; `renews_login` tells that it may get another
        token."""
        if self.close_code in FINAL:
            return Reconnect.NEVER
        renews_login = renews_login and self.close_code == CloseCode.LOGIN_EXPIRED
        is_refused = self.errcode == ErrorCode.CONNECT_REJECT and not renews_login
        return Reconnect.WHEN_CALLED if is_refused else Reconnect.BY_ITSELF

    @property
    def pause(self) -> float | None:
        """The seconds after which a gateway that drains wants its client back."""
        found = _COME_BACK.search(self.text)
        return None if found is None else int(found[1]) / 1000
