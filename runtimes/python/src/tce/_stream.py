"""Streams: the connections of sockets, and what is read from and written to one.

A `StreamConnection` outlives its streams: a client's is made again when it is lost.
A `Link` is one of its streams.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from . import _frame, _message
from ._calls import CallTable, Pending
from ._connection import Connection, Context, Pool, log
from ._errors import DecodeError, ErrorCode, FrameError, MarshalError, RpcError
from ._frame import Deframer
from ._goodbye import Goodbye
from ._options import DEFAULT_TIMEOUT, Options
from ._servant import Operation, Registry

MAX_MALFORMED = 16
"""Messages of a connection that don't decode, before it ends."""

READ_SIZE = 256 << 10
"""Bytes of a read at most."""

_HEADER = _message.HEADER_AND_COUNT
_CALL_OVERHEAD = 512
"""Bytes that a call takes beside its parameters, about."""
_PROBE_TIME = 30
"""Seconds for which a peer may leave bytes or probes unacknowledged."""


class _ReadBuffer(threading.local):
    """Where the sockets of a thread put what they read.

    A buffer of its own for each read costs 30 us where the allocator takes it from the system
    and gives it back each time.
    """

    def __init__(self) -> None:
        self.view = memoryview(bytearray(READ_SIZE))


_read_buffer = _ReadBuffer()


class Link(asyncio.BufferedProtocol):
    """One stream. What one iteration of the event loop sends leaves in one write."""

    def __init__(self, connection: StreamConnection) -> None:
        self.connection = connection
        self.loop = connection.calls.loop
        self.options = connection.options
        self.calls: CallTable = CallTable(self.loop, connection.peer, self.options.limits)
        """Calls that were sent by this stream."""
        self.credentials: Mapping[str, str] = {}
        """Sent in each call until the first one to an interface."""
        self.goodbye: Goodbye | None = None
        """Why the peer ends the stream, once it has said so."""
        self.transport: asyncio.Transport | None = None
        self.is_open = False
        """Whether messages may be sent."""
        self.served = 0
        """Calls of the peer that have no RETURN yet."""
        self._deferred: deque[tuple[Context, bytes]] = deque()
        """Those of them that no servant has, with their parameters."""
        self._deferred_size = 0
        self.end_reason = ""
        self.on_due: Callable[[], object] = _nothing
        """Called when another stream is needed: it has ended, or its peer asks to leave it."""
        self._deframer = Deframer(self.options.limits)
        # The payloads of the last read that are not handled, and the reads behind it.
        self._payloads: Iterator[tuple[bytes, int, int]] | None = None
        self._reads: deque[bytes] = deque()
        self._is_reading = True
        self._malformed = 0
        self._frame_timer: asyncio.TimerHandle | None = None
        self._out: list[bytes] = []
        self._out_size = 0
        self._is_paused = False
        self._waiters: list[asyncio.Future[None]] = []

    # The transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=self.options.connection.send_buffer)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            _set_keepalive(sock, self.options.connection.keepalive_time)
        self._opened()

    def _opened(self) -> None:
        self.is_open = True
        self.connection.link_opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _read_buffer.view

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(_read_buffer.view[:nbytes]))

    def data_received(self, data: bytes) -> None:
        self._receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.end_reason:
            self.end_reason = str(exc) if exc else "the peer closed it"
        self.is_open = False
        self._out.clear()
        self.served -= len(self._deferred)
        self._deferred.clear()
        self._payloads = None
        self._reads.clear()
        if self._frame_timer is not None:
            self._frame_timer.cancel()
        self._wake()
        self.connection.link_closed(self)
        self.on_due()

    def pause_writing(self) -> None:
        self._is_paused = True
        assert self.transport is not None
        size = self.transport.get_write_buffer_size()
        self.loop.call_later(self.options.connection.stall_time, self._check_stall, size)

    def resume_writing(self) -> None:
        self._is_paused = False
        self._wake()
        self._pump()

    def _check_stall(self, before: int) -> None:
        if not self._is_paused or self.transport is None or not self.is_open:
            return
        size = self.transport.get_write_buffer_size()
        if size >= before:
            self.abort(f"the peer has read nothing for {self.options.connection.stall_time:g}s")
        else:
            self.loop.call_later(self.options.connection.stall_time, self._check_stall, size)

    def close(self, reason: str) -> None:
        """Ends the stream after what waits is sent."""
        self._end(reason)
        if self.transport is not None:
            self._flush()
            self.transport.close()
            self.loop.call_later(self.options.connection.connect_time, self.transport.abort)

    def abort(self, reason: str) -> None:
        """Ends the stream at once. What was read and not handled is dropped."""
        self._end(reason)
        self.is_open = False
        if self.transport is not None:
            self.transport.abort()

    def _end(self, reason: str) -> None:
        if not self.end_reason:
            self.end_reason = reason

    # Sending.

    def is_full(self) -> bool:
        """Whether senders have to wait."""
        return self._is_paused

    async def capacity(self) -> None:
        """Waits until less than the send buffer waits, or the stream has ended."""
        while self.is_open and self._is_paused:
            waiter = self.loop.create_future()
            self._waiters.append(waiter)
            await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def send(self, frame: bytes, is_alone: bool) -> None:
        """Sends a frame: at once if no other is expected soon, otherwise with them."""
        if is_alone and not self._out:
            if self.transport is not None:
                self._write([frame])
            return
        if not self._out:
            self.loop.call_soon(self._flush)
        self._out.append(frame)
        self._out_size += len(frame)
        if self._out_size > self.options.connection.send_buffer:
            self._flush()

    def _flush(self) -> None:
        if self._out:
            frames, self._out, self._out_size = self._out, [], 0
            if self.transport is not None and not self.transport.is_closing():
                self._write(frames)

    def _write(self, frames: list[bytes]) -> None:
        assert self.transport is not None
        self.transport.write(frames[0] if len(frames) == 1 else b"".join(frames))

    # Receiving.

    def _receive(self, data: bytes) -> None:
        if self._payloads is not None:
            self._reads.append(data)
            return
        self._payloads = self._deframer.feed(data)
        self._pump()

    def _pump(self) -> None:
        """Handles what was read, as long as there is capacity for it."""
        try:
            while self._payloads is not None:
                for data, start, end in self._payloads:
                    self._handle(data, start, end)
                    if not self.is_open or self._must_pause():
                        break
                else:
                    self._payloads = (
                        self._deframer.feed(self._reads.popleft()) if self._reads else None
                    )
                    continue
                break
        except FrameError as error:
            log.warning("the connection to %s ends: %s", self.connection.peer, error)
            self.abort(str(error))
            return
        self._set_reading(self._payloads is None or not self.is_open)
        self._watch_frame()

    def _must_pause(self) -> bool:
        """A RETURN never waits for a reader that waits for it: see ARCHITECTURE.md."""
        if self.calls:
            return False
        return self._is_paused or not self._has_capacity()

    def _has_capacity(self) -> bool:
        """Whether a servant may get a further call. Each call of this side raises the limit by
        one, so that calls back can't use it up."""
        limit = self.options.connection.served_calls + len(self.calls)
        return self.served - len(self._deferred) < limit

    def _set_reading(self, is_reading: bool) -> None:
        if self.transport is None or is_reading == self._is_reading:
            return
        self._is_reading = is_reading
        if is_reading:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def _watch_frame(self) -> None:
        """Bounds the time of a frame that has begun."""
        if self._frame_timer is None and self._deframer.is_partial:
            self._frame_timer = self.loop.call_later(
                self.options.connection.frame_time, self._check_frame, self._deframer.frames
            )

    def _check_frame(self, frames: int) -> None:
        self._frame_timer = None
        if self._deframer.is_partial and self._deframer.frames == frames and self._is_reading:
            time = self.options.connection.frame_time
            self.abort(f"a frame did not end within {time:g}s")
        elif self.is_open:
            self._watch_frame()

    def _handle(self, data: bytes, start: int, end: int) -> None:
        if end - start < _HEADER.size:
            return self._refuse_malformed("it is too short")
        msgtype, sequence, calltype, ifidx, opidx, errcode, _, call_id, count = (
            _HEADER.unpack_from(data, start)
        )
        if msgtype != _message.RPC:
            return self._refuse_malformed("its type is reserved")
        error = ""
        extra, position = _message.EMPTY, start + _HEADER.size
        if count:
            position = start + _message.HEADER_SIZE
            try:
                extra, position = _message.read_extra(
                    data, position, end, self.options.limits
                )
            except DecodeError as reason:
                error = str(reason)
        if calltype & _message.IS_RETURN:
            if error:
                self.calls.fail(sequence, ErrorCode.DATADIRTY, error)
            elif sequence == _message.GOODBYE and ifidx == _message.BUILTIN_INTERFACE:
                self.goodbye = Goodbye.read(errcode, extra)
            else:
                self.calls.complete(sequence, errcode, extra, data, position, end)
        elif calltype & _message.IS_CALL:
            context = Context(
                self.connection, self, sequence, calltype, ifidx, opidx, call_id, extra
            )
            # Those that were deferred come first: oneway calls have an order.
            if self._deferred:
                self._serve_deferred()
            has_capacity = not self._deferred and self._has_capacity()
            self.served += 1
            if error:
                context.fail(ErrorCode.DATADIRTY, error)
            elif self.connection.is_draining:
                context.fail(ErrorCode.CONNECT_REJECT, "the server is shutting down")
            elif has_capacity:
                self.connection.serve(context, data, position, end)
            else:
                self._defer(context, data[position:end])
        else:
            self._refuse_malformed("it is neither CALL nor RETURN")
        return None

    def _defer(self, context: Context, params: bytes) -> None:
        """Keeps a call until there is capacity: reading goes on, for RETURNs to this side."""
        size = len(params) + _CALL_OVERHEAD
        if self._deferred_size + size > self.options.connection.send_buffer:
            return self.connection.refuse(context)
        self._deferred.append((context, params))
        self._deferred_size += size
        return None

    def _serve_deferred(self) -> None:
        while self._deferred and self._has_capacity():
            context, params = self._deferred.popleft()
            self._deferred_size -= len(params) + _CALL_OVERHEAD
            self.connection.serve(context, params, 0, len(params))

    def _refuse_malformed(self, why: str) -> None:
        self._malformed += 1
        if self._malformed == 1:
            log.warning("dropped a message of %s: %s", self.connection.peer, why)
        if self._malformed >= MAX_MALFORMED:
            self.abort(f"{self._malformed} malformed messages")

    # As a `ReplySink`.

    def send_return(
        self, call: Context, errcode: int, extra: tuple[int, bytes], params: bytes | bytearray
    ) -> bool:
        if not self.is_open or self._is_paused and self._reads_no_returns():
            return True
        ifidx, opidx, call_id = call.indices
        frame = _message.frame(
            call.sequence, _message.RETURN, ifidx, opidx, errcode, call_id, extra, params
        )
        if len(frame) > self.options.limits.max_frame:
            return False
        if self.connection.compresses:
            frame = _frame.compress(frame)
        self.send(frame, self.served == 1)
        return True

    def _reads_no_returns(self) -> bool:
        """Whether the peer reads so little that even refusals would fill the memory."""
        assert self.transport is not None
        limit = 4 * self.options.connection.send_buffer
        return self.transport.get_write_buffer_size() > limit

    def finished(self, call: Context) -> None:
        self.served -= 1
        if self._deferred:
            self.loop.call_soon(self._serve_deferred)
        if self._payloads is not None and not self._must_pause():
            self.loop.call_soon(self._pump)


def _nothing() -> None:
    pass


def _set_keepalive(sock: socket.socket, seconds: int) -> None:
    if not seconds or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Where the system has the options.
    for name, value in (
        ("TCP_KEEPIDLE", seconds),
        ("TCP_KEEPINTVL", _PROBE_TIME // 3),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", _PROBE_TIME * 1000),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


class StreamConnection(Connection):
    """A connection over a socket: accepted, or made by a client (`_client`)."""

    def __init__(
        self,
        options: Options,
        peer: str,
        registry: Registry,
        pool: Pool,
        *,
        compresses: bool = False,
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(options, peer, CallTable(loop, peer, options.limits), registry, pool)
        self.link: Link | None = None
        self.compresses = compresses
        self._needs_login = False
        """Whether a login precedes the first call of the stream."""
        self.is_draining = False
        self._has_timeout = options.timeout != DEFAULT_TIMEOUT

    @property
    def is_connected(self) -> bool:
        return self.link is not None and self.link.is_open

    @property
    def in_flight(self) -> int:
        """Calls of either side that have not ended."""
        return len(self.calls) + (self.link.served if self.link else 0)

    async def close(self) -> None:
        if self.link is not None:
            self.link.close("this side closed it")
        await asyncio.sleep(0)

    def link_opened(self, link: Link) -> None:
        """A stream is open."""
        self.link = link
        self.calls = link.calls
        self.close_code = None
        self._notify("connected", "")

    def link_closed(self, link: Link) -> None:
        """A stream has ended."""
        goodbye = link.goodbye
        reason = goodbye.text if goodbye else link.end_reason
        text = f"the connection ended before the answer came: {reason}"
        if self.link is not link:
            return link.calls.lose_all(text)
        self.link = None
        self.close_code = goodbye.close_code if goodbye else None
        if goodbye and goodbye.is_before_login:
            link.calls.lose_all(reason, ErrorCode.CONNECT_REJECT, self.close_code)
        else:
            link.calls.lose_all(text, close_code=self.close_code)
        self._notify("disconnected", reason)
        return None

    def refuse(self, context: Context) -> None:
        """Ends a call for which there is no capacity."""
        context.fail(ErrorCode.CONNECT_REJECT, "too many calls are being served")

    def say_goodbye(self, code: int, text: str) -> None:
        """Tells the peer why this side will close the connection."""
        if self.link is not None and self.link.is_open:
            extra = _message.encode_extra({_message.ERROR: _message.escape_ascii(text)})
            frame = _message.frame(
                _message.GOODBYE, _message.RETURN, _message.BUILTIN_INTERFACE, _message.PING,
                code, 0, (1, extra), b"",
            )  # fmt: skip
            self.link.send(frame, True)

    def _log_in(self) -> None:
        """Sends a login, if one is needed."""

    def _can_send(self) -> bool:
        link = self.link
        return (
            link is not None
            and link.is_open
            and not link.is_full()
            and len(self.calls) < self.options.connection.calls_in_flight
        )

    async def _sendable(self) -> None:
        link = self.link
        if link is None or not link.is_open:
            raise RpcError(ErrorCode.CONNECTION_LOST, "the connection has ended")
        await link.capacity()
        if link.is_open and not self._can_send():
            # All calls in flight are taken: one of them ends.
            await asyncio.sleep(0.01)

    def _encode(
        self,
        operation: Operation[Any],
        sequence: int,
        calltype: int,
        deadline: float | None,
        pairs: Mapping[str, str],
        params: bytearray,
    ) -> bytes:
        """The frame of a call.

        Raises `RpcError` if it is too large, and `MarshalError`.
        """
        link = self.link
        assert link is not None
        if link.credentials:
            pairs = {**link.credentials, **pairs}
            if operation.ifidx != _message.BUILTIN_INTERFACE:
                link.credentials = {}
        if deadline is not None:
            pairs = {**pairs, _message.DEADLINE: unix_deadline(self.calls.loop, deadline)}
        extra = (len(pairs), _message.encode_extra(pairs)) if pairs else (0, b"")
        return self._frame(operation, sequence, calltype, extra, params)

    def _frame(
        self,
        operation: Operation[Any],
        sequence: int,
        calltype: int,
        extra: tuple[int, bytes],
        params: bytearray,
    ) -> bytes:
        """Raises `RpcError` if the frame is too large."""
        frame = _message.frame(
            sequence, calltype, operation.ifidx, operation.opidx, 0, 0, extra, params
        )
        limit = self.options.limits.max_frame
        if len(frame) > limit:
            text = f"the message has {len(frame)} bytes, more than the limit of {limit}"
            error = RpcError(ErrorCode.SENDFAILED, text)
            raise error.of_call(operation.name, self.peer)
        return _frame.compress(frame) if self.compresses else frame

    def _send(
        self, call: Pending[Any], has_timeout: bool, pairs: Mapping[str, str], params: bytearray
    ) -> None:
        if self._needs_login:
            self._log_in()
        deadline = call.deadline if has_timeout or self._has_timeout else None
        sequence = self.calls.next_sequence()
        try:
            frame = self._encode(
                call.operation, sequence, _message.TWOWAY, deadline, pairs, params
            )
        except (RpcError, MarshalError) as error:
            call.set_exception(error)
            return
        is_alone = not self.calls
        self.calls.add(call, sequence)
        assert self.link is not None
        self.link.send(frame, is_alone)

    async def _send_oneway(
        self,
        operation: Operation[Any],
        pairs: Mapping[str, str],
        params: bytearray,
        timeout: float,
    ) -> None:
        if self._needs_login:
            self._log_in()
        sequence = self.calls.next_sequence()
        frame = self._encode(operation, sequence, _message.ONEWAY, None, pairs, params)
        assert self.link is not None
        self.link.send(frame, False)


def unix_deadline(loop: asyncio.AbstractEventLoop, deadline: float) -> str:
    """A time of the event loop as Unix time in milliseconds."""
    return str(int((time.time() + deadline - loop.time()) * 1000))

