"""Adapters, which accept connections and serve their calls."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable

from ._connection import Pool
from ._client import WITHOUT_WEBSOCKET
from ._endpoint import Endpoint
from ._errors import ErrorCode, RpcError
from ._options import Options, TlsFiles
from ._servant import Registry, Servant
from ._stream import Link, StreamConnection

log = logging.getLogger("tce")

_BACKLOG = 1024


class AcceptedConnection(StreamConnection):
    """A connection that a client has made."""

    def __init__(self, adapter: SocketAdapter) -> None:
        super().__init__(
            adapter.options, "a client", adapter.registry, adapter.pool,
            compresses=adapter.endpoint.compress and not adapter.endpoint.is_websocket,
        )  # fmt: skip
        self._adapter = adapter

    def link_opened(self, link: Link) -> None:
        assert link.transport is not None
        name: tuple[str, int] | None = link.transport.get_extra_info("peername")
        if name:
            scheme = self._adapter.endpoint.scheme
            self.peer = link.calls.peer = str(Endpoint(scheme, name[0], name[1]))
        super().link_opened(link)
        if not self._adapter.admit(self):
            self.say_goodbye(ErrorCode.CONNECT_REJECT, "the server has too many connections")
            link.close("too many connections")

    def link_closed(self, link: Link) -> None:
        super().link_closed(link)
        self._adapter.dismiss(self)


class SocketAdapter:
    """Accepts connections at an endpoint."""

    def __init__(
        self, options: Options, endpoint: Endpoint, registry: Registry, pool: Pool
    ) -> None:
        self.options = options
        self.endpoint = endpoint
        """The endpoint; after `open` with its port."""
        self.registry = registry
        self.pool = pool
        self.connections: set[AcceptedConnection] = set()
        self._server: asyncio.Server | None = None

    def add_servant(self, servant: Servant) -> None:
        """Serves calls of all clients."""
        self.registry.add(servant)

    async def open(self, origins: frozenset[str] | None) -> None:
        """Listens.

        Raises `RpcError` if it can't.
        """
        loop = asyncio.get_running_loop()
        endpoint = self.endpoint
        tls = server_tls(self.options.tls) if endpoint.is_tls else None
        time = self.options.connection.connect_time
        try:
            self._server = await loop.create_server(
                self._protocol(origins), endpoint.host, endpoint.port,
                ssl=tls, backlog=_BACKLOG,
                ssl_handshake_timeout=time if tls else None,
            )  # fmt: skip
        except OSError as error:
            text = f"can't listen: {error}"
            raise RpcError(ErrorCode.CONNECT_FAILED, text, peer=str(endpoint)) from error
        port: int = self._server.sockets[0].getsockname()[1]
        self.endpoint = Endpoint(
            endpoint.scheme, endpoint.host, port, endpoint.path, endpoint.compress
        )

    def _protocol(self, origins: frozenset[str] | None) -> Callable[[], Link]:
        if not self.endpoint.is_websocket:
            return lambda: Link(AcceptedConnection(self))
        try:
            from ._websocket import WebSocketLink
        except ImportError:
            raise RpcError(ErrorCode.CONNECT_FAILED, WITHOUT_WEBSOCKET) from None
        endpoint = self.endpoint
        return lambda: WebSocketLink(
            AcceptedConnection(self), endpoint, is_client=False, origins=origins
        )

    def admit(self, connection: AcceptedConnection) -> bool:
        """Enters a connection, unless there are too many."""
        if len(self.connections) >= self.options.connection.connections:
            log.warning("refused %s: too many connections", connection.peer)
            return False
        self.connections.add(connection)
        return True

    def dismiss(self, connection: AcceptedConnection) -> None:
        """Leaves a connection out that has ended."""
        self.connections.discard(connection)

    def stop_accepting(self) -> None:
        """Refuses new connections, and new calls on those that there are."""
        if self._server is not None:
            self._server.close()
        for connection in self.connections:
            connection.is_draining = True

    @property
    def in_flight(self) -> int:
        """Calls of all connections that have not ended."""
        return sum(connection.in_flight for connection in self.connections)

    async def close(self) -> None:
        """Ends all connections."""
        self.stop_accepting()
        for connection in list(self.connections):
            await connection.close()


def server_tls(files: TlsFiles) -> ssl.SSLContext:
    """Raises `RpcError` if a file is missing or can't be used."""
    if not files.cert_file:
        text = "TLS needs a certificate: set cert_file and key_file in Options.tls"
        raise RpcError(ErrorCode.CONNECT_FAILED, text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.cert_file, files.key_file)
    except (OSError, ssl.SSLError) as error:
        raise RpcError(ErrorCode.CONNECT_FAILED, f"TLS files: {error}") from error
    return context
