"""The session of a client at a gateway (`spec/sessions.md`): login, refresh, kept pushes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from . import _message
from ._calls import CallTable, Pending
from ._connection import Context
from ._servant import Operation
from ._values import INT, VOID

LOGIN: Operation[None] = Operation(
    "tce::Builtin::login",
    _message.BUILTIN_INTERFACE,
    _message.LOGIN,
    lambda: [],
    lambda: VOID,
)
REFRESH: Operation[None] = Operation(
    "tce::Builtin::refresh",
    _message.BUILTIN_INTERFACE,
    _message.REFRESH,
    lambda: [],
    lambda: VOID,
)
GO_AWAY: Operation[None] = Operation(
    "tce::Builtin::goAway",
    _message.BUILTIN_INTERFACE,
    _message.GO_AWAY,
    lambda: [INT],
    lambda: VOID,
)


class SessionCall(Pending[None]):
    """A call of `login` or `refresh`, whose end is handled before the next message is."""

    def __init__(
        self,
        calls: CallTable,
        operation: Operation[None],
        timeout: float,
        on_end: Callable[[SessionCall], object],
    ) -> None:
        super().__init__(calls, operation, timeout)
        self._on_end = on_end

    def set_result(self, result: None, /) -> None:
        super().set_result(result)
        self._on_end(self)

    def set_exception(self, exception: type[BaseException] | BaseException, /) -> None:
        super().set_exception(exception)
        self._on_end(self)


class PushCursor:
    """How far a client has handled the pushes of its session, so that it handles none twice."""

    def __init__(self) -> None:
        self._epoch = ""
        """Names the sequence of pushes; empty until a gateway has kept pushes."""
        self._offset = 0

    @property
    def position(self) -> str:
        """The value of `__resume__`; empty before the first login."""
        return f"{self._epoch}:{self._offset}" if self._epoch else ""

    def logged_in(self, extra: Mapping[str, str]) -> bool | None:
        """Reads the RETURN of a login: whether no push is missing since the one before; `None`
        if the gateway keeps no pushes."""
        epoch, offset = extra.get(_message.EPOCH), _message.number(extra.get(_message.OFFSET))
        if not epoch or offset is None:
            # Pushes from here on have no position: an old one would not tell what was missed.
            self._epoch = ""
            return None
        if epoch != self._epoch or offset > self._offset:
            self._epoch, self._offset = epoch, offset
        return extra.get(_message.RECOVERED) == "1"

    def accept(self, context: Context, *, is_current: bool) -> bool:
        """Whether a call is no push that was handled before; then it counts as handled.

        A push on a stream that this side leaves (`is_current` is false) may be of an
        epoch that has ended.
        """
        epoch = context.pair(_message.EPOCH)
        offset = _message.number(context.pair(_message.OFFSET))
        if not epoch or offset is None:
            return True
        if epoch == self._epoch and offset <= self._offset:
            return False
        if epoch == self._epoch or is_current:
            self._epoch, self._offset = epoch, offset
        return True
