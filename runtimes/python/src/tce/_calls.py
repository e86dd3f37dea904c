"""The calls of a connection that wait for their RETURN, and their deadlines."""

from __future__ import annotations

import abc
import asyncio
from typing import Any, TypeVar

from . import _message
from ._errors import DecodeError, ErrorCode, RpcError, Side, UserException
from ._message import Extra
from ._options import Limits
from ._servant import Operation

T = TypeVar("T")


class Pending(asyncio.Future[T]):
    """A call that was sent: await it for the result. Cancelled, it abandons the call."""

    __slots__ = ("_call_table", "deadline", "extra", "operation", "sequence", "timeout")

    def __init__(self, table: CallTable, operation: Operation[T], timeout: float) -> None:
        super().__init__(loop=table.loop)
        self._call_table = table
        self.operation = operation
        self.timeout = timeout
        """In seconds, as the call was given it."""
        self.deadline = table.loop.time() + timeout
        self.sequence: int | None = None
        """`None` until it is sent."""
        self.extra: dict[str, str] = {}
        """The extra of the RETURN, once there is one."""

    def cancel(self, msg: Any = None) -> bool:
        """Waits no longer. The servant may execute the call nevertheless."""
        if self.sequence is not None:
            self._call_table.forget(self.sequence)
        return super().cancel(msg)

    def raise_(self, exception: UserException, text: str) -> None:
        """Ends the call with an exception of the IDL, unless it has ended."""
        if not self.done():
            exception.text, exception.side = text, Side.REMOTE
            self.set_exception(exception.of_call(self.operation.name, self._call_table.peer))

    def fail(
        self,
        code: int,
        text: str,
        side: Side = Side.LOCAL,
        close_code: int | None = None,
    ) -> None:
        """Ends the call with an error, unless it has ended."""
        if not self.done():
            peer, operation = self._call_table.peer, self.operation.name
            error = RpcError(
                code, text, side=side, operation=operation, peer=peer, close_code=close_code
            )
            self.set_exception(error)


class Collector(abc.ABC):
    """A multi-call, which takes RETURNs until it is forgotten."""

    operation: Operation[Any]
    deadline: float

    @abc.abstractmethod
    def sent_as(self, sequence: int) -> None:
        """It is about to be sent."""

    @abc.abstractmethod
    def received(self, errcode: int, extra: Extra, data: bytes, start: int, end: int) -> None:
        """A RETURN has arrived."""

    @abc.abstractmethod
    def fail(self, code: int, text: str) -> None:
        """Ends it with an error, unless it has ended."""


class CallTable:
    """The calls of a stream or of a queue by their sequence. One timer watches all deadlines."""

    def __init__(self, loop: asyncio.AbstractEventLoop, peer: str, limits: Limits) -> None:
        self.loop = loop
        self.peer = peer
        self.limits = limits
        self._calls: dict[int, Pending[Any]] = {}
        self._collectors: dict[int, Collector] = {}
        self._sequence = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def __len__(self) -> int:
        return len(self._calls) + len(self._collectors)

    def next_sequence(self) -> int:
        """A sequence that no call in flight has."""
        while True:
            # 0xFFFFFFFF belongs to the goodbye.
            self._sequence = self._sequence % (_message.GOODBYE - 1) + 1
            if self._sequence not in self._calls and self._sequence not in self._collectors:
                return self._sequence

    def start_at(self, sequence: int) -> None:
        """Sets where sequences begin."""
        self._sequence = sequence % (_message.GOODBYE - 1)

    def add(self, call: Pending[Any], sequence: int) -> None:
        """Enters a call that is sent now."""
        call.sequence = sequence
        call._call_table = self  # pyright: ignore[reportPrivateUsage]
        self._calls[sequence] = call
        if self._timer is None or call.deadline < self._timer_at:
            self._watch(call.deadline)

    def collect(self, call: Collector, sequence: int) -> None:
        """Enters a multi-call that is sent now."""
        self._collectors[sequence] = call

    def forget(self, sequence: int) -> None:
        """Leaves a call to its fate: its RETURN is dropped."""
        if self._calls.pop(sequence, None) is None:
            self._collectors.pop(sequence, None)

    def complete(
        self, sequence: int, errcode: int, extra: Extra, data: bytes, start: int, end: int
    ) -> bool:
        """Ends the call of a RETURN. False if there is none: it came too late."""
        call = self._calls.pop(sequence, None)
        if call is None:
            collector = self._collectors.get(sequence)
            if collector is not None:
                collector.received(errcode, extra, data, start, end)
            return collector is not None
        if extra.count:
            call.extra = extra.as_dict()
        if errcode:
            text = _message.unescape_ascii(extra.get(_message.ERROR) or "")
            exception = None
            if errcode == ErrorCode.REMOTE_EXCEPTION:
                exception = call.operation.decode_exception(extra, self.limits.max_depth)
            if exception is None:
                call.fail(errcode, text, Side.REMOTE)
            else:
                call.raise_(exception, text)
            return True
        try:
            result = call.operation.decode_result(data, start, end, self.limits)
        except DecodeError as error:
            call.fail(ErrorCode.UNSERIALIZE_FAILED, f"the result does not decode: {error}")
        else:
            if not call.done():
                call.set_result(result)
        return True

    def fail(self, sequence: int, code: int, text: str) -> None:
        """Ends one call with an error."""
        call = self._calls.pop(sequence, None) or self._collectors.pop(sequence, None)
        if call is not None:
            call.fail(code, text)

    def lose_all(
        self, text: str, code: int = ErrorCode.CONNECTION_LOST, close_code: int | None = None
    ) -> None:
        """Ends all calls."""
        calls = list(self._calls.values())
        self._calls.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for call in calls:
            call.fail(code, text, close_code=close_code)
        for collector in list(self._collectors.values()):
            collector.fail(code, text)

    def _watch(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self.loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self.loop.time()
        expired = [call for call in self._calls.values() if call.deadline <= now]
        for call in expired:
            if call.sequence is not None:
                self.forget(call.sequence)
            call.fail(ErrorCode.TIMEOUT, f"no answer within {call.timeout:g}s")
        if self._calls:
            self._watch(min(call.deadline for call in self._calls.values()))
