"""Multi-calls: one request to all programs behind a topic, and their replies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from . import _message
from ._calls import CallTable, Collector
from ._errors import DecodeError, ErrorCode, RpcError, Side
from ._message import Extra
from ._options import Limits
from ._roster import is_member_id, wrong_member_id
from ._servant import Operation

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._communicator import Communicator
    from ._connection import Connection

T = TypeVar("T")

MAX_REPLIES = 10_000
MAX_BYTES = 64 << 20
"""The most replies of a call, and the most bytes of all of them."""
MAX_AWAITED = 10_000
"""The most members that a call waits for."""
_OTHER_EXTRA = 1024
"""Bytes of what a call has in its extra beside ids and the program's own pairs, at most."""


class Reply(Generic[T]):
    """One member's reply to a multi-call."""

    __slots__ = ("_value", "error", "member")

    def __init__(self, member: str, value: T | None, error: RpcError | None = None) -> None:
        self.member = member
        """The id of the member; `?1`, `?2` … for programs that have not joined the topic."""
        self.error = error
        """Why its servant failed; `None` if it did not."""
        self._value = value

    @property
    def result(self) -> T:
        """The result of the operation.

        Raises the `RpcError` of the member.
        """
        if self.error is not None:
            raise self.error
        return cast("T", self._value)

    def __repr__(self) -> str:
        return f"<Reply {self.member}: {self._value if self.error is None else self.error!r}>"


@dataclass(slots=True)
class Replies(Generic[T]):
    """The replies to a multi-call, by the ids of the members."""

    values: dict[str, T] = field(default_factory=dict[str, T])
    failures: dict[str, RpcError] = field(default_factory=dict[str, RpcError])
    """The errors of members whose servant failed."""
    missing: list[str] = field(default_factory=list[str])
    """Members that have not answered, sorted."""


class _Awaited:
    """The members that a call waits for, and those that have replied."""

    def __init__(self, named: frozenset[str] | None, excluded: frozenset[str]) -> None:
        self._is_named = named is not None
        self._excluded = excluded
        self._has_roster = False
        self._last_roster: str = ""
        self._replied: set[str] = set()
        self._unnamed = 0
        self.missing = set(named or ()) - excluded

    @property
    def is_done(self) -> bool:
        """Whether all that are waited for have replied."""
        return (self._is_named or self._has_roster) and not self.missing

    @property
    def names_someone(self) -> bool:
        """Whether a member has replied, or is known to be missing."""
        return self._is_named or self._unnamed > 0 or bool(self._replied)

    def replied(self, extra: Extra) -> str | None:
        """Notes a reply. Returns who has replied, `None` if that member has before."""
        member = extra.get(_message.REPLIER)
        if member is None:
            self._unnamed += 1
            return f"?{self._unnamed}"
        self.missing.discard(member)
        is_first = member not in self._replied
        self._replied.add(member)
        roster = extra.get(_message.ROSTER)
        if roster is not None and not self._is_named:
            self._add_roster(roster)
        return member if is_first else None

    def _add_roster(self, roster: str) -> None:
        if self._has_roster and roster == self._last_roster:
            return
        self._has_roster = True
        self._last_roster = roster
        for member in filter(is_member_id, roster.split(",")):
            is_known = member in self._replied or member in self._excluded
            if not is_known and len(self.missing) < MAX_AWAITED:
                self.missing.add(member)


class _Gathering(Collector, Generic[T]):
    """What arrives for a multi-call, until it ends."""

    def __init__(
        self, table: CallTable, operation: Operation[T], timeout: float, peer: str,
        awaited: _Awaited,
    ) -> None:  # fmt: skip
        self.operation = operation
        self.deadline = table.loop.time() + timeout
        self.awaited = awaited
        self.replies: list[Reply[T]] = []
        self.has_ended = awaited.is_done
        self.failure: RpcError | None = None
        self._table = table
        self._timeout = timeout
        self._peer = peer
        self._sequence: int | None = None
        self._timer = table.loop.call_at(self.deadline, self._expire)
        self._count = 0
        self._bytes = 0
        self._waiters: set[asyncio.Future[None]] = set()

    def sent_as(self, sequence: int) -> None:
        self._sequence = sequence
        self._table.collect(self, sequence)

    def fail(self, code: int, text: str) -> None:
        if not self.has_ended:
            self.failure = RpcError(code, text).of_call(self.operation.name, self._peer)
            self.end()

    def received(self, errcode: int, extra: Extra, data: bytes, start: int, end: int) -> None:
        if self.has_ended:
            return
        self._count += 1
        self._bytes += len(extra.raw) + end - start
        if self._count > MAX_REPLIES or self._bytes > MAX_BYTES:
            limit = f"more than {MAX_REPLIES} replies, or more than {MAX_BYTES >> 20} MiB of them"
            return self.fail(ErrorCode.DATADIRTY, f"{limit}, have arrived")
        member = self.awaited.replied(extra)
        if member is not None:
            self.replies.append(self._decode(member, errcode, extra, data, start, end))
        if self.awaited.is_done:
            self.end()
        else:
            self._wake()
        return None

    def _decode(
        self, member: str, errcode: int, extra: Extra, data: bytes, start: int, end: int
    ) -> Reply[T]:
        limits, name = self._table.limits, self.operation.name
        peer = f"{member} at {self._peer}"
        if errcode:
            side, text = Side.REMOTE, _message.unescape_ascii(extra.get(_message.ERROR) or "")
        else:
            try:
                return Reply(member, self.operation.decode_result(data, start, end, limits))
            except DecodeError as error:
                errcode, side = ErrorCode.UNSERIALIZE_FAILED, Side.LOCAL
                text = f"the result does not decode: {error}"
        if errcode == ErrorCode.REMOTE_EXCEPTION:
            exception = self.operation.decode_exception(extra, limits.max_depth)
            if exception is not None:
                exception.text, exception.side = text, side
                return Reply(member, None, exception.of_call(name, peer))
        failure = RpcError(errcode, text, side=side, operation=name, peer=peer)
        return Reply(member, None, failure)

    async def changed(self) -> None:
        waiter: asyncio.Future[None] = self._table.loop.create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _expire(self) -> None:
        if self.awaited.names_someone:
            self.end()
        else:
            self.fail(ErrorCode.TIMEOUT, f"no answer within {self._timeout:g}s")

    def end(self) -> None:
        self.has_ended = True
        self._timer.cancel()
        if self._sequence is not None:
            self._table.forget(self._sequence)
        self._wake()


class MultiCall(Generic[T]):
    """A multi-call that was sent: `await call.collect()`, or take its replies by `async for`.

    It ends when all members that are waited for have replied, else at the deadline. A
    member that replies twice counts once. At most 10,000 replies and 64 MiB of them are
    taken; more are an error.
    """

    __slots__ = ("_gathering", "_taken")

    def __init__(self, gathering: _Gathering[T]) -> None:
        self._gathering = gathering
        self._taken = 0

    def done(self) -> bool:
        """Whether no further reply is taken."""
        return self._gathering.has_ended

    @property
    def missing(self) -> list[str]:
        """The members that are waited for, as far as they are known, sorted."""
        return sorted(self._gathering.awaited.missing)

    @property
    def replies(self) -> Replies[T]:
        """The replies so far."""
        found: Replies[T] = Replies(missing=self.missing)
        for reply in self._gathering.replies:
            if reply.error is None:
                found.values[reply.member] = reply.result
            else:
                found.failures[reply.member] = reply.error
        return found

    async def collect(self) -> Replies[T]:
        """Waits for all replies.

        Raises `RpcError`: SENDFAILED if the call was not sent, at once if no program reads
        the topic; TIMEOUT if no reply has arrived until the deadline and no member was
        waited for by its id; CONNECTION_LOST if the broker went away.
        """
        gathering = self._gathering
        while not gathering.has_ended:
            await gathering.changed()
        if gathering.failure is not None:
            raise gathering.failure
        return self.replies

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Reply[T]:
        gathering = self._gathering
        while self._taken == len(gathering.replies):
            if gathering.has_ended:
                failure, gathering.failure = gathering.failure, None
                raise failure or StopAsyncIteration
            await gathering.changed()
        self._taken += 1
        return gathering.replies[self._taken - 1]

    def cancel(self) -> None:
        """Takes no more replies. The members run the call nevertheless."""
        self._gathering.end()


class MultiProxy:
    """Calls all members of a topic at once; generated classes extend it.

    A member is a program that has joined the topic (`adapter.join`). Each operation
    returns a `MultiCall`, which waits for those that `only` or `expecting` name, else for
    all members that those which answer know of; until the timeout at most.
    """

    __slots__ = ("_connection", "_except", "_expecting", "_extra", "_only", "_timeout")

    def __init__(
        self,
        connection: Connection,
        *,
        timeout: float | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        if not connection.is_topic:
            text = "a multi-call needs a topic, and this endpoint is none"
            raise RpcError(ErrorCode.CONNECT_FAILED, text, peer=connection.peer)
        self._connection = connection
        self._timeout = timeout
        self._extra: Mapping[str, str] = dict(extra or {})
        self._only: frozenset[str] | None = None
        self._except: frozenset[str] = frozenset()
        self._expecting: frozenset[str] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._connection.peer}>"

    @classmethod
    async def connect(cls, communicator: Communicator, endpoint: str) -> Self:
        """A proxy by an endpoint `mq:name`, a topic that is open for writing.

        Raises `RpcError` for any other endpoint.
        """
        return cls(await communicator.connect(endpoint))

    @property
    def connection(self) -> Connection:
        """The connection that carries the calls."""
        return self._connection

    def with_timeout(self, seconds: float) -> Self:
        """The same proxy with another time limit for its calls."""
        proxy = self._copy()
        proxy._timeout = seconds
        return proxy

    def with_extra(self, extra: Mapping[str, str]) -> Self:
        """The same proxy, whose calls carry these pairs as well."""
        proxy = self._copy()
        proxy._extra = {**self._extra, **extra}
        return proxy

    def only(self, members: Iterable[str]) -> Self:
        """The same proxy, whose calls are for these members alone, and wait for all of them."""
        proxy = self._copy()
        proxy._only = _ids(members)
        return proxy

    def except_(self, members: Iterable[str]) -> Self:
        """The same proxy, whose calls are not for these members."""
        proxy = self._copy()
        proxy._except = _ids(members)
        return proxy

    def expecting(self, members: Iterable[str]) -> Self:
        """The same proxy, whose calls wait for these members, whichever others there are."""
        proxy = self._copy()
        proxy._expecting = _ids(members)
        return proxy

    def _copy(self) -> Self:
        proxy = type(self)(self._connection, timeout=self._timeout, extra=self._extra)
        proxy._only, proxy._except = self._only, self._except
        proxy._expecting = self._expecting
        return proxy

    def _call(
        self,
        operation: Operation[T],
        arguments: tuple[Any, ...],
        timeout: float | None,
        extra: Mapping[str, str] | None,
    ) -> MultiCall[T]:
        connection = self._connection
        seconds = connection.seconds(self._timeout if timeout is None else timeout)
        params = operation.encode_parameters(arguments)
        pairs = {**self._extra, **(extra or {})}
        if self._only is not None:
            pairs[_message.TO] = _joined(self._only)
        if self._except:
            pairs[_message.NOT_TO] = _joined(self._except)
        size = len(_message.encode_extra(pairs)) + _message.COUNT_SIZE
        accepted = Limits().max_extra_bytes - _OTHER_EXTRA
        if size > accepted:
            text = f"the ids of members and the extra have {size} bytes, more than {accepted}"
            failed = RpcError(ErrorCode.SENDFAILED, text)
            raise failed.of_call(operation.name, connection.peer)
        named = self._only if self._expecting is None else self._expecting
        awaited = _Awaited(named, self._except)
        gathering = _Gathering(connection.calls, operation, seconds, connection.peer, awaited)
        if gathering.has_ended:
            # For none: nothing is sent.
            gathering.end()
        else:
            connection.send_multi_call(gathering, pairs, params)
        return MultiCall(gathering)


def _ids(members: Iterable[str]) -> frozenset[str]:
    if isinstance(members, str):
        raise TypeError("give the ids of members as a list, not as one string")
    return frozenset(members)


def _joined(members: frozenset[str]) -> str:
    for member in members:
        if not is_member_id(member):
            raise RpcError(ErrorCode.SENDFAILED, wrong_member_id(member))
    return ",".join(sorted(members))
