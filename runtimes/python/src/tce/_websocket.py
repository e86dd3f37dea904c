"""WebSocket streams: `websockets` does the protocol, without I/O of its own.

The library is well kept, validates what browsers send and unmasks in C. Its
protocol objects take and give bytes, so that messages go through the same
connections as those of sockets, with the same limits and batches. It is an extra
of the package, since most programs within a network use sockets.
"""

from __future__ import annotations

import asyncio

from websockets.client import ClientProtocol
from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from ._endpoint import Endpoint
from ._goodbye import Goodbye
from ._stream import Link, StreamConnection


class WebSocketLink(Link):
    """A WebSocket. Its messages carry a byte stream: their boundaries have no meaning."""

    def __init__(
        self,
        connection: StreamConnection,
        endpoint: Endpoint,
        *,
        is_client: bool,
        origins: frozenset[str] | None = None,
    ) -> None:
        super().__init__(connection)
        # A message may carry several frames, so its size says little: it is read in
        # pieces of at most this size.
        max_size = self.options.limits.max_inflated
        self._path = endpoint.path
        self._origins = origins
        self.opened: asyncio.Future[None] = self.loop.create_future()
        """Done after the handshake, for a client."""
        self._protocol: ClientProtocol | ServerProtocol
        if is_client:
            scheme = "wss" if endpoint.is_tls else "ws"
            uri = parse_uri(f"{scheme}://{endpoint.authority}{endpoint.path or '/'}")
            self._protocol = ClientProtocol(uri, max_size=max_size)
        else:
            self._protocol = ServerProtocol(max_size=max_size)
        self._has_sent = False
        self._ping_timer: asyncio.TimerHandle | None = None

    def _opened(self) -> None:
        """The socket is open; the stream is after the handshake."""
        if isinstance(self._protocol, ClientProtocol):
            self._protocol.send_request(self._protocol.connect())
            self._send_data()
        else:
            time = self.options.connection.connect_time
            self.loop.call_later(time, self._check_handshake)

    def _check_handshake(self) -> None:
        if not self.is_open and not self.end_reason:
            self.abort("the WebSocket handshake did not end in time")

    def data_received(self, data: bytes) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._accept(event)
            elif isinstance(event, Response):
                self._handshake_ended()
            elif event.opcode in (Opcode.BINARY, Opcode.CONT, Opcode.TEXT):
                self._receive_message(event)
        self._send_data()
        if isinstance(self._protocol, ClientProtocol) and self._protocol.handshake_exc:
            self._fail_handshake(self._protocol.handshake_exc)
        elif self._protocol.parser_exc is not None:
            self.abort(f"WebSocket: {self._protocol.parser_exc}")

    def _receive_message(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT:
            return self.abort("the peer sends text, not binary messages")
        if frame.data:
            self._receive(bytes(frame.data))
        return None

    def _accept(self, request: Request) -> None:
        protocol = self._protocol
        assert isinstance(protocol, ServerProtocol)
        origin = request.headers.get("Origin")
        if self.connection.is_draining:
            response = protocol.reject(503, "the server is shutting down\n")
        elif self._path and request.path.partition("?")[0] != self._path:
            response = protocol.reject(404, "there is no such path\n")
        elif self._origins is not None and origin is not None and origin not in self._origins:
            response = protocol.reject(403, "pages of this origin may not connect\n")
        else:
            response = protocol.accept(request)
        protocol.send_response(response)
        self._send_data()
        if protocol.state is State.OPEN:
            self._handshake_ended()
        else:
            self.close(f"the handshake was refused with status {response.status_code}")

    def _handshake_ended(self) -> None:
        if self._protocol.state is not State.OPEN:
            return
        super()._opened()
        if not self.opened.done():
            self.opened.set_result(None)
        if self.options.connection.ping_interval:
            self._watch_silence()

    def _fail_handshake(self, error: Exception) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)
        self.abort(f"WebSocket handshake: {error}")

    def _watch_silence(self) -> None:
        """Sends a ping where nothing else was sent, so that no proxy ends the connection."""
        if not self.is_open:
            return
        if not self._has_sent:
            self._protocol.send_ping(b"")
            self._send_data()
        self._has_sent = False
        time = self.options.connection.ping_interval
        self._ping_timer = self.loop.call_later(time, self._watch_silence)

    def _write(self, frames: list[bytes]) -> None:
        if self._protocol.state is not State.OPEN:
            return
        self._has_sent = True
        for frame in frames:
            self._protocol.send_binary(frame)
        self._send_data()

    def _send_data(self) -> None:
        if self.transport is None:
            return
        for data in self._protocol.data_to_send():
            if data:
                self.transport.write(data)
            elif self.transport.can_write_eof():
                self.transport.write_eof()
            else:
                self.transport.close()

    def close(self, reason: str) -> None:
        if self._protocol.state is State.OPEN:
            self._flush()
            try:
                self._protocol.send_close(1000, "")
            except ProtocolError:  # The peer has begun to close.
                pass
            self._send_data()
        super().close(reason)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ping_timer is not None:
            self._ping_timer.cancel()
        received = self._protocol.close_rcvd
        if self.goodbye is None and received is not None:
            self.goodbye = Goodbye.of_close_frame(received.code, received.reason)
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionResetError("the peer closed it"))
        if self.opened.done() and not self.opened.cancelled():
            # Read once, since an adapter does not await it.
            self.opened.exception()
        super().connection_lost(exc)
