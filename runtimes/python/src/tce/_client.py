"""Connections that a client makes, and makes again when they are lost."""

from __future__ import annotations

import asyncio
import errno
import inspect
import random
import socket
import ssl
from typing import TYPE_CHECKING

from . import _message
from ._connection import PING, Pool, log
from ._endpoint import Endpoint
from ._errors import ErrorCode, MarshalError, RpcError
from ._options import Options, TlsFiles
from ._servant import Registry
from ._stream import Link, StreamConnection

if TYPE_CHECKING:
    from ._websocket import WebSocketLink

BACKOFF_MIN = 0.05
"""Seconds between two attempts at least, also where calls ask for one."""
BACKOFF_MAX = 5.0
"""Seconds at most, jitter included. Pauses are short again after a connection that has lasted
longer than this."""
LOGIN_DELAY = 1.0
"""How long a program that has connected may take to make its first call, before the connection
logs in by itself: far below the time after which gateways close a silent connection."""
_NEXT_ADDRESS = 0.25
"""Seconds after which the next address of a host is tried, too."""

WITHOUT_WEBSOCKET = "WebSocket needs the package websockets: install tce[ws]"


class ClientConnection(StreamConnection):
    """A connection to an endpoint, made again when it is lost."""

    def __init__(
        self, options: Options, endpoint: Endpoint, registry: Registry, pool: Pool
    ) -> None:
        compresses = endpoint.compress and not endpoint.is_websocket
        super().__init__(options, str(endpoint), registry, pool, compresses=compresses)
        self._endpoint = endpoint
        self.is_closed = False
        self._asked = asyncio.Event()
        self._changed = asyncio.Event()
        self._attempts = 0
        self._failure: RpcError | None = None
        self._supervisor: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Makes the first stream.

        Raises `RpcError` with CONNECT_UNREACHABLE or CONNECT_FAILED.
        """
        await self._attempt()
        self._supervisor = self.calls.loop.create_task(self._supervise())

    async def close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        if self._supervisor is not None:
            self._supervisor.cancel()
        self._signal()
        await super().close()
        self._notify("closed", "this side closed it")

    def _signal(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _sendable(self) -> None:
        if self.is_connected:
            return await super()._sendable()
        if self.is_closed:
            raise RpcError(ErrorCode.CONNECTION_LOST, "the connection is closed")
        # An attempt that has begun before this call does not count.
        attempts = self._attempts
        self._asked.set()
        while not self.is_connected and not self.is_closed:
            if self._attempts > attempts and self._failure is not None:
                raise RpcError(self._failure.code, self._failure.text)
            await self._changed.wait()
        return None

    async def _attempt(self) -> None:
        self._credentials = await self._ask_credentials()
        time = self.options.connection.connect_time
        try:
            await asyncio.wait_for(open_link(self, self._endpoint), time)
        except (TimeoutError, asyncio.TimeoutError):
            text = f"no connection within {time:g}s"
            raise RpcError(ErrorCode.CONNECT_FAILED, text, peer=self.peer) from None
        except RpcError as error:
            error.peer = self.peer
            raise

    async def _ask_credentials(self) -> dict[str, str]:
        token = self.options.token
        if callable(token):
            try:
                asked = token()
                token = await asked if inspect.isawaitable(asked) else asked
            except Exception as error:
                text = f"there is no token: {error}"
                raise RpcError(ErrorCode.CONNECT_FAILED, text, peer=self.peer) from error
        credentials: dict[str, str] = {}
        if token is not None:
            credentials[_message.TOKEN] = token
        if self.options.device_id is not None:
            credentials[_message.DEVICE_ID] = self.options.device_id
        return credentials

    async def _supervise(self) -> None:
        """Makes the connection again until it is closed."""
        loop = self.calls.loop
        login_delay, pause = LOGIN_DELAY, BACKOFF_MIN
        while not self.is_closed:
            connected_at = loop.time()
            await self._until_lost(login_delay)
            login_delay = 0.0
            if loop.time() - connected_at > BACKOFF_MAX:
                pause = BACKOFF_MIN
            if self.goodbye and self.goodbye[0] == ErrorCode.CONNECT_REJECT:
                # Refused again would be the result, unless the program wants to call.
                await self._asked.wait()
            pause = await self._reconnect(pause)

    async def _until_lost(self, login_delay: float) -> None:
        link = self.link
        if link is None:
            return
        lost = asyncio.Event()
        link.on_lost = lost.set
        if not link.is_open:
            return
        if self._credentials:
            try:
                await asyncio.wait_for(lost.wait(), login_delay)
                return
            except (TimeoutError, asyncio.TimeoutError):
                await self._log_in()
        await lost.wait()

    async def _log_in(self) -> None:
        """Sends the token on a stream on which the program makes no call."""
        if not self._credentials or not self.is_connected:
            return
        credentials, self._credentials = self._credentials, {}
        try:
            await self._send_oneway(PING, credentials, bytearray(), 0.0)
        except (RpcError, MarshalError) as error:
            log.warning("can't log in at %s: %s", self.peer, error)

    async def _reconnect(self, pause: float) -> float:
        """Tries until there is a connection; returns the next pause."""
        loop = self.calls.loop
        while True:
            began_at = loop.time()
            try:
                # Jitter adds up to the pause itself.
                await asyncio.wait_for(self._asked.wait(), pause * (1 + random.random()))
                await asyncio.sleep(max(0.0, BACKOFF_MIN - (loop.time() - began_at)))
            except (TimeoutError, asyncio.TimeoutError):
                pass
            self._asked.clear()
            pause = min(2 * pause, BACKOFF_MAX / 2)
            try:
                await self._attempt()
            except RpcError as error:
                log.debug("can't connect to %s: %s", self.peer, error)
                self._failure = error
                self._attempts += 1
                self._signal()
            else:
                self._failure = None
                self._attempts += 1
                self._signal()
                return pause


async def open_link(connection: StreamConnection, endpoint: Endpoint) -> None:
    """Opens a stream.

    Raises `RpcError`.
    """
    loop = asyncio.get_running_loop()
    tls = client_tls(connection.options.tls) if endpoint.is_tls else None
    link: Link
    websocket: WebSocketLink | None = None
    if endpoint.is_websocket:
        try:
            from ._websocket import WebSocketLink
        except ImportError:
            raise RpcError(ErrorCode.CONNECT_FAILED, WITHOUT_WEBSOCKET) from None
        link = websocket = WebSocketLink(connection, endpoint, is_client=True)
    else:
        link = Link(connection)
    try:
        await loop.create_connection(
            lambda: link,
            endpoint.host,
            endpoint.port,
            ssl=tls,
            server_hostname=endpoint.host if tls else None,
            happy_eyeballs_delay=_NEXT_ADDRESS,
        )
        if websocket is not None:
            await websocket.opened
    except (OSError, ssl.SSLError) as error:
        raise _connect_error(error) from error
    except asyncio.CancelledError:
        link.abort("it did not open in time")
        raise
    except Exception as error:
        if websocket is None:
            raise
        text = f"WebSocket handshake: {error}"
        raise RpcError(ErrorCode.CONNECT_FAILED, text) from error


def client_tls(files: TlsFiles) -> ssl.SSLContext:
    """Raises `RpcError` if a file can't be used."""
    try:
        context = ssl.create_default_context(cafile=files.ca_file)
        if files.cert_file:
            context.load_cert_chain(files.cert_file, files.key_file)
    except (OSError, ssl.SSLError) as error:
        raise RpcError(ErrorCode.CONNECT_FAILED, f"TLS files: {error}") from error
    return context


def _connect_error(error: OSError) -> RpcError:
    if isinstance(error, ssl.SSLError):
        return RpcError(ErrorCode.CONNECT_FAILED, f"TLS handshake: {error}")
    unreachable = (errno.EHOSTUNREACH, errno.ENETUNREACH)
    if isinstance(error, socket.gaierror) or error.errno in unreachable:
        return RpcError(ErrorCode.CONNECT_UNREACHABLE, str(error))
    return RpcError(ErrorCode.CONNECT_FAILED, str(error))
