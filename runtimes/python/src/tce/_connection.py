"""Connections: calls to the peer, and calls of the peer to servants.

What a stream and a message queue have in common; `_stream` and `_queues` send
and receive.
"""

from __future__ import annotations

import abc
import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

from . import _message
from ._calls import CallTable, Collector, Pending
from ._errors import (
    DecodeError,
    ErrorCode,
    Fault,
    MarshalError,
    RpcError,
    Side,
    UserException,
)
from ._message import Extra
from ._options import MAX_TIMEOUT, CallRecord, Options
from ._servant import Handler, Operation, Registry, Servant, encode_exception
from ._values import STRING, VOID, sequence

T = TypeVar("T")

log = logging.getLogger("tce")

PING: Operation[None] = Operation(
    "tce::Builtin::ping",
    _message.BUILTIN_INTERFACE,
    _message.PING,
    lambda: [],
    lambda: VOID,
)
DESCRIBE: Operation[list[str]] = Operation(
    "tce::Builtin::describe",
    _message.BUILTIN_INTERFACE,
    _message.DESCRIBE,
    lambda: [],
    lambda: sequence(lambda: STRING),
)

HELLO: Operation[None] = Operation(
    "tce::Builtin::hello",
    _message.BUILTIN_INTERFACE,
    _message.HELLO,
    lambda: [STRING],
    lambda: VOID,
)
BYE: Operation[None] = Operation(
    "tce::Builtin::bye",
    _message.BUILTIN_INTERFACE,
    _message.BYE,
    lambda: [STRING],
    lambda: VOID,
)

_ATTEMPT_FAILED = (ErrorCode.CONNECT_FAILED, ErrorCode.CONNECT_UNREACHABLE)
"""What a call on a lost connection fails with; the next attempt may succeed."""

Pool = Callable[[], ThreadPoolExecutor]
"""The threads of blocking servants, which are started with the first call."""


class ReplySink(Protocol):
    """Where the RETURN of a call goes."""

    def send_return(
        self,
        call: Context,
        errcode: int,
        extra: tuple[int, bytes],
        params: bytes | bytearray,
    ) -> bool:
        """Sends it, or drops it if the caller has gone. False if it is too large."""
        ...

    def finished(self, call: Context) -> None:
        """The call has ended, answered or not."""
        ...

    async def capacity(self) -> None:
        """Waits until a RETURN may be sent, or its caller has gone."""
        ...


class ExtraView:
    """The extra of a call as TCE's own Python programs read it."""

    def __init__(self, props: dict[str, str]) -> None:
        self.props = props


class MessageView:
    """A call as TCE's own Python programs read it."""

    def __init__(self, props: dict[str, str]) -> None:
        self.extra = ExtraView(props)


class Context:
    """What a servant learns of a call."""

    __slots__ = (
        "_call_id", "_calltype", "_connection", "_extra", "_ifidx", "_opidx",
        "_returned", "_sequence", "_sink", "began", "is_redelivered",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        sink: ReplySink,
        sequence: int,
        calltype: int,
        ifidx: int,
        opidx: int,
        call_id: int,
        extra: Extra,
    ) -> None:
        self._connection = connection
        self._sink = sink
        self._sequence = sequence
        self._calltype = calltype
        self._ifidx = ifidx
        self._opidx = opidx
        self._call_id = call_id
        self._extra = extra
        self._returned: dict[str, str] | None = None
        self.began = 0.0 if connection.options.on_call is None else time.monotonic()
        """For the runtime: when the call arrived, if that is reported."""
        self.is_redelivered = extra.get(_message.REDELIVERED) is not None
        """Whether the call may have been executed before: a queue has delivered it again."""

    @property
    def connection(self) -> Connection:
        """The connection by which the call came, for calls to the caller."""
        return self._connection

    @property
    def extra(self) -> dict[str, str]:
        """The extra of the call, with U+FFFD in place of what is not UTF-8."""
        return self._extra.as_dict()

    @property
    def user_id(self) -> str | None:
        """The user who calls, as the gateway has set it."""
        return self._extra.get(_message.USER_ID)

    @property
    def is_oneway(self) -> bool:
        """Whether the caller waits for no RETURN."""
        return bool(self._calltype & _message.IS_ONEWAY)

    @property
    def deadline(self) -> float | None:
        """Unix time in seconds after which the caller waits no longer, if the call says so."""
        text = self._extra.get(_message.DEADLINE)
        try:
            return None if text is None else int(text) / 1000
        except ValueError:
            return None

    @property
    def time_left(self) -> float | None:
        """Seconds until the deadline, at least 0."""
        deadline = self.deadline
        return None if deadline is None else max(0.0, deadline - time.time())

    def return_extra(self, key: str, value: str) -> None:
        """Sets a pair of the RETURN's extra."""
        if self._returned is None:
            self._returned = {}
        self._returned[key] = value

    @property
    def msg(self) -> MessageView:
        """The call as TCE's own Python programs read it: `ctx.msg.extra.props`."""
        return MessageView(self.extra)

    # The rest is for the runtime.

    @property
    def sequence(self) -> int:
        return self._sequence

    @property
    def sink(self) -> ReplySink:
        return self._sink

    def pair(self, key: str) -> str | None:
        """A value of the extra."""
        return self._extra.get(key)

    @property
    def key(self) -> int:
        """`Operation.key`"""
        return self._ifidx << 16 | self._opidx

    @property
    def indices(self) -> tuple[int, int, int]:
        """ifidx, opidx and call_id, which the RETURN repeats."""
        return self._ifidx, self._opidx, self._call_id

    def _routed(self) -> Extra:
        """The extra by which a gateway routes the RETURN."""
        return self._extra if self._call_id & _message.ROUTED else _message.EMPTY

    def succeed(self, operation: Operation[Any], result: Any) -> None:
        """Answers with a result."""
        if self._calltype & _message.IS_ONEWAY:
            if result is not None:
                log.error("%s: a oneway call returned %r", operation.name, result)
            return self._finish(0)
        try:
            params = operation.encode_result(result)
            extra = self._routed().with_pairs(self._returned or {})
        except MarshalError as error:
            log.error("%s: the result can't be sent: %s", operation.name, error)
            return self.fail(ErrorCode.REMOTEMETHOD_EXCEPTION, "the result can't be marshalled")
        if self._returned and not self._is_within_limits(extra):
            text = "the extra of the result is larger than peers accept"
            return self.fail(ErrorCode.REMOTEMETHOD_EXCEPTION, text)
        if not self._sink.send_return(self, 0, extra, params):
            text = "the result is larger than may be sent"
            return self.fail(ErrorCode.REMOTEMETHOD_EXCEPTION, text)
        self._finish(0)

    def raise_(self, operation: Operation[Any], exception: UserException) -> None:
        """Answers with an exception of the IDL.

        If it is too large for the extra of a message, the caller gets its text.
        """
        try:
            pairs = encode_exception(exception)
        except MarshalError as error:
            log.error("%s: an exception can't be sent: %s", operation.name, error)
            return self.fail(ErrorCode.REMOTE_EXCEPTION, "internal error")
        self.fail(ErrorCode.REMOTE_EXCEPTION, exception.text, pairs)

    def fail(self, code: int, text: str, exception: Mapping[str, str] | None = None) -> None:
        """Answers with an error; a oneway call is logged."""
        if self._calltype & _message.IS_ONEWAY:
            peer, ifidx, opidx = self._connection.peer, self._ifidx, self._opidx
            log.warning("a oneway call of %s to %d.%d failed: %s", peer, ifidx, opidx, text)
        else:
            escaped = _message.escape_ascii(_message.shortened(text))
            routed = self._routed()
            if exception is not None:
                extra = routed.with_pairs({_message.ERROR: escaped, **exception})
                if self._is_within_limits(extra) and self._sink.send_return(
                    self, code, extra, b""
                ):
                    return self._finish(code)
                name, peer = exception[_message.EXCEPTION], self._connection.peer
                log.warning("%s to %s is larger than peers accept: its text is sent", name, peer)
            extra = routed.with_pairs({_message.ERROR: escaped})
            # The text may exceed what the extra of the call leaves of the limits.
            is_sent = self._is_within_limits(extra) and self._sink.send_return(
                self, code, extra, b""
            )
            if not is_sent:
                self._sink.send_return(self, code, (routed.count, routed.raw), b"")
        self._finish(code)

    def _finish(self, code: int) -> None:
        self._sink.finished(self)
        self._connection.report_served(self, code)

    def _is_within_limits(self, extra: tuple[int, bytes]) -> bool:
        """Whether a peer with the limits of this side reads this extra.

        Without its RETURN a caller waits until its timeout.
        """
        count, pairs = extra
        limits = self._connection.options.limits
        size = _message.COUNT_SIZE + len(pairs)
        return count <= limits.max_extra_entries and size <= limits.max_extra_bytes


StateListener = Callable[[str, str], object]
"""Called with `connected`, `disconnected` or `closed`, and a reason."""


ResumedListener = Callable[[bool], object]
"""Called with `Connection.recovered`."""


class Connection(abc.ABC):
    """A connection to a peer, which may call back on it."""

    def __init__(
        self,
        options: Options,
        peer: str,
        calls: CallTable,
        registry: Registry,
        pool: Pool,
    ) -> None:
        self.options = options
        self.peer = peer
        """The endpoint or the address of the peer."""
        self.close_code: int | None = None
        """Why the peer has ended the connection, if it has said so: a `CloseCode`. `None` while
        it is open."""
        self.recovered: bool | None = None
        """Whether the gateway has sent everything that was pushed since the last push that this
        program has handled, or will send it. `False` after the first login, and where too much
        was pushed meanwhile: the program loads anew what it shows. `None` unless the option
        `resume` asks for it and the gateway keeps pushes."""
        self.calls: CallTable = calls
        self.registry = registry
        self._pool = pool
        self._listeners: list[StateListener] = []
        self._resumed_listeners: list[ResumedListener] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._oneway_order = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.peer}>"

    def add_servant(self, servant: Servant) -> None:
        """Serves calls of the peer. It stays when the connection is made again."""
        self.registry.add(servant)

    def on_state(self, listener: StateListener) -> None:
        """Calls `listener(state, reason)` at each change."""
        self._listeners.append(listener)

    def on_resumed(self, listener: ResumedListener) -> None:
        """Calls `listener(recovered)` after each login at a gateway that keeps pushes.

        What was missed follows the call. Each push reaches its servant once.
        """
        self._resumed_listeners.append(listener)

    def _notify(self, state: str, reason: str) -> None:
        self._tell(self._listeners, state, reason)

    def _notify_resumed(self, recovered: bool) -> None:
        self._tell(self._resumed_listeners, recovered)

    def _tell(self, listeners: Sequence[Callable[..., object]], *arguments: object) -> None:
        for listener in listeners:
            try:
                listener(*arguments)
            except Exception:
                log.exception("a listener of %s failed", self.peer)

    async def ping(self, timeout: float | None = None) -> None:
        """Waits for the answer of the peer's runtime, without a servant."""
        await self.call(PING, (), timeout, None, {})

    async def describe(self, timeout: float | None = None) -> list[str]:
        """The IDL of the peer's servants, unless it has switched that off."""
        return await self.call(DESCRIBE, (), timeout, None, {})

    @property
    @abc.abstractmethod
    def is_connected(self) -> bool:
        """Whether a call can be sent now."""

    @property
    def is_topic(self) -> bool:
        """Whether each program behind its endpoint gets each call."""
        return False

    def send_multi_call(
        self, call: Collector, pairs: Mapping[str, str], params: bytearray
    ) -> None:
        """For the runtime: sends a call to all members of a topic."""
        call.fail(ErrorCode.SENDFAILED, "a stream leads to one server: connect to a topic")

    @abc.abstractmethod
    async def close(self) -> None:
        """Ends the connection; calls in flight fail with CONNECTION_LOST."""

    # Calls.

    async def call(
        self,
        operation: Operation[T],
        arguments: tuple[Any, ...],
        timeout: float | None,
        extra: Mapping[str, str] | None,
        defaults: Mapping[str, str],
    ) -> T:
        """Sends a call, after waiting for capacity, and waits for its result."""
        params = operation.encode_parameters(arguments)
        pairs = {**defaults, **extra} if extra else defaults
        call = self._pending(operation, timeout)
        if not self._can_send():
            try:
                await self._until_sendable(call)
            except RpcError as error:
                call.set_exception(error)
                return await call
            except asyncio.CancelledError:
                call.cancel()
                raise
        self._send(call, timeout is not None, pairs, params)
        return await call

    def call_async(
        self,
        operation: Operation[T],
        arguments: tuple[Any, ...],
        timeout: float | None,
        extra: Mapping[str, str] | None,
        defaults: Mapping[str, str],
    ) -> Pending[T]:
        """Sends a call now, or as soon as it can be sent."""
        params = operation.encode_parameters(arguments)
        pairs = {**defaults, **extra} if extra else defaults
        call = self._pending(operation, timeout)
        if self._can_send():
            self._send(call, timeout is not None, pairs, params)
        elif len(self._tasks) >= self.options.connection.calls_in_flight:
            call.fail(ErrorCode.SENDFAILED, "too many calls wait to be sent")
        else:
            self.spawn(self._send_later(call, timeout is not None, pairs, params))
        return call

    async def call_oneway(
        self,
        operation: Operation[Any],
        arguments: tuple[Any, ...],
        timeout: float | None,
        extra: Mapping[str, str] | None,
        defaults: Mapping[str, str],
    ) -> None:
        """Sends a call that is not answered."""
        sending = self._call_oneway(operation, arguments, timeout, extra, defaults)
        if self.options.on_call is None:
            return await sending
        began = time.monotonic()
        code: int | None = None
        try:
            await sending
            code = 0
        except RpcError as error:
            code = error.code
            raise
        finally:
            seconds = time.monotonic() - began
            self._report(CallRecord(operation.name, self.peer, False, True, seconds, code))

    async def _call_oneway(
        self,
        operation: Operation[Any],
        arguments: tuple[Any, ...],
        timeout: float | None,
        extra: Mapping[str, str] | None,
        defaults: Mapping[str, str],
    ) -> None:
        params = operation.encode_parameters(arguments)
        pairs = {**defaults, **extra} if extra else defaults
        if not self._can_send():
            call = Pending(self.calls, operation, self.seconds(timeout))
            await self._until_sendable(call)
        await self._send_oneway(operation, pairs, params, self.seconds(timeout))

    def _pending(self, operation: Operation[T], timeout: float | None) -> Pending[T]:
        """A call that is reported when it has ended."""
        call = Pending(self.calls, operation, self.seconds(timeout))
        if self.options.on_call is not None:
            call.add_done_callback(partial(self._report_call, operation.name, time.monotonic()))
        return call

    def _report_call(self, operation: str, began: float, call: asyncio.Future[Any]) -> None:
        code: int | None = None
        if not call.cancelled():
            error = call.exception()
            # Of the others, which are of the parameters, nothing was sent.
            code = error.code if isinstance(error, RpcError) else 0 if error is None else None
        seconds = time.monotonic() - began
        self._report(CallRecord(operation, self.peer, False, False, seconds, code))

    def _report(self, record: CallRecord) -> None:
        if self.options.on_call is not None:
            try:
                self.options.on_call(record)
            except Exception:
                log.exception("on_call failed")

    def report_served(self, context: Context, code: int) -> None:
        """Reports a call of the peer that has ended."""
        if self.options.on_call is None:
            return
        handler = self.registry.handlers.get(context.key)
        ifidx, opidx, _ = context.indices
        name = f"{ifidx}.{opidx}" if handler is None else handler.operation.name
        seconds = time.monotonic() - context.began
        self._report(CallRecord(name, self.peer, True, context.is_oneway, seconds, code))

    def seconds(self, timeout: float | None) -> float:
        """The time limit of a call that is given this one; by default that of the options.

        Raises `ValueError` if it is negative, too long or no number.
        """
        seconds = self.options.timeout if timeout is None else timeout
        if not 0 <= seconds <= MAX_TIMEOUT:
            raise ValueError(f"a timeout is 0 to {MAX_TIMEOUT} seconds, not {seconds}")
        return seconds

    async def _send_later(
        self, call: Pending[Any], has_timeout: bool, pairs: Mapping[str, str], params: bytearray
    ) -> None:
        """Sends a call once there is a connection, however many attempts that takes."""
        while not call.done():
            try:
                await self._until_sendable(call)
            except RpcError as error:
                if error.code not in _ATTEMPT_FAILED:
                    return call.set_exception(error)
            else:
                break
        if not call.done():
            self._send(call, has_timeout, pairs, params)
        return None

    async def _until_sendable(self, call: Pending[Any]) -> None:
        """Waits until a call may be sent.

        Raises `RpcError` at its deadline, or if there is no connection.
        """
        while not self._can_send():
            try:
                left = call.deadline - self.calls.loop.time()
                await asyncio.wait_for(self._sendable(), left)
            except (TimeoutError, asyncio.TimeoutError):
                text = f"the call could not be sent within {call.timeout:g}s"
                error = RpcError(ErrorCode.SENDFAILED, text)
                raise error.of_call(call.operation.name, self.peer) from None
            except RpcError as error:
                raise error.of_call(call.operation.name, self.peer) from None

    @abc.abstractmethod
    def _can_send(self) -> bool:
        """Whether a call may be sent now."""

    @abc.abstractmethod
    async def _sendable(self) -> None:
        """Waits until `_can_send`.

        Raises `RpcError` if the connection can't be made.
        """

    @abc.abstractmethod
    def _send(
        self, call: Pending[Any], has_timeout: bool, pairs: Mapping[str, str], params: bytearray
    ) -> None:
        """Sends a call; an error ends the call."""

    @abc.abstractmethod
    async def _send_oneway(
        self,
        operation: Operation[Any],
        pairs: Mapping[str, str],
        params: bytearray,
        timeout: float,
    ) -> None:
        """Sends a oneway call."""

    # Calls of the peer.

    def serve(self, context: Context, data: bytes, start: int, end: int) -> None:
        """Serves a CALL, whose parameters are these bytes."""
        deadline = context.deadline
        if deadline is not None:
            late_by = time.time() - deadline
            if late_by > self.options.deadline_tolerance:
                text = (
                    f"the call arrived {late_by:.3f}s after its deadline and was not executed; "
                    "if that is wrong, the clocks of caller and servant differ"
                )
                return context.fail(ErrorCode.TIMEOUT, text)
        handler = self.registry.handlers.get(context.key)
        if handler is None:
            return self._serve_builtin(context)
        try:
            arguments = handler.operation.decode_parameters(
                data, start, end, self.options.limits
            )
        except DecodeError as error:
            text = f"the parameters don't decode: {error}"
            return context.fail(ErrorCode.UNSERIALIZE_FAILED, text)
        self.spawn(self._run(handler, arguments, context))
        return None

    def _serve_builtin(self, context: Context) -> None:
        ifidx, opidx, _ = context.indices
        if ifidx == _message.BUILTIN_INTERFACE:
            # The others are for the members of a topic, which this program reads without
            # being one.
            if opidx in (_message.PING, _message.HELLO, _message.BYE):
                return context.succeed(PING, None)
            if opidx == _message.DESCRIBE and self.options.describes:
                return context.succeed(DESCRIBE, self.registry.idls())
        elif not self.registry.has(ifidx):
            text = f"no servant for interface {ifidx} here"
            return context.fail(ErrorCode.INTERFACE_NOTFOUND, text)
        text = f"interface {ifidx} has no operation {opidx} here"
        return context.fail(ErrorCode.INTERFACE_NOTFOUND, text)

    async def _run(self, handler: Handler, arguments: list[Any], context: Context) -> None:
        try:
            if handler.is_blocking:
                result = await self._run_blocking(handler, arguments, context)
            else:
                result = await handler.method(*arguments, context)
            await context.sink.capacity()
        except Fault as fault:
            context.fail(fault.code, fault.text)
        except asyncio.CancelledError:
            context.fail(ErrorCode.REMOTEMETHOD_EXCEPTION, "the server is shutting down")
            raise
        except Exception as error:
            # One that a call of the servant has raised is an internal error, as any of a call.
            if isinstance(error, UserException) and error.side is Side.LOCAL:
                return context.raise_(handler.operation, error)
            log.exception("a servant failed: %s of %s", handler.operation.name, self.peer)
            context.fail(ErrorCode.REMOTE_EXCEPTION, "internal error")
        else:
            context.succeed(handler.operation, result)

    async def _run_blocking(
        self, handler: Handler, arguments: list[Any], context: Context
    ) -> Any:
        if context.is_oneway:
            # A pool has no order, and messages that are pushed to a client need one.
            async with self._oneway_order:
                return await self.run_in_thread(handler.method, *arguments, context)
        return await self.run_in_thread(handler.method, *arguments, context)

    async def run_in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs a function that may block in the pool."""
        loop = self.calls.loop
        return await loop.run_in_executor(self._pool(), partial(function, *arguments))

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Runs a coroutine to its end."""
        task = self.calls.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
