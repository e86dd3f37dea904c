"""Connections that a client makes, and makes again when they are lost."""

from __future__ import annotations

import asyncio
import errno
import inspect
import random
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from . import _message
from ._connection import Context, Pool, log
from ._endpoint import Endpoint
from ._errors import DecodeError, ErrorCode, MarshalError, RpcError
from ._goodbye import Goodbye, Reconnect
from ._options import Options, TlsFiles
from ._servant import Operation, Registry
from ._session import GO_AWAY, LOGIN, REFRESH, PushCursor, SessionCall
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
_REFRESH_SHARE = (0.7, 0.9)
"""Which share of a login's time passes before it is refreshed, at random between these."""
_REFRESH_PAUSE = 1.0
"""Seconds at least before a login is refreshed."""
_CHECK_TIME = 0.01
"""Seconds between two looks at whether the calls on a stream have ended that was left."""
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
        self._goodbye: Goodbye | None = None
        """What the peer has said before it has ended the last stream."""
        self._due = asyncio.Event()
        """Another stream is needed."""
        self._leaving: asyncio.TimerHandle | None = None
        """Until when the stream is used that its peer has asked this side to leave."""
        self._left: set[Link] = set()
        """Streams that have been left, on which calls have not ended."""
        self._refresher: asyncio.Task[None] | None = None
        self._cursor = PushCursor() if options.resume else None

    async def connect(self) -> None:
        """Makes the first stream.

        Raises `RpcError` with CONNECT_UNREACHABLE or CONNECT_FAILED.
        """
        await self._attempt()
        self._supervisor = self.calls.loop.create_task(self._supervise())

    async def close(self) -> None:
        for link in list(self._left):
            link.close("this side closed it")
        if self.is_closed:
            return
        self._end()
        await super().close()
        self._notify("closed", "this side closed it")

    def _end(self) -> None:
        """Makes no further stream."""
        self.is_closed = True
        if self._supervisor is not None:
            self._supervisor.cancel()
        self._stop_timers()
        self._signal()

    def _stop_timers(self) -> None:
        """Ends what waits for a time of the current stream."""
        for work in (self._leaving, self._refresher):
            if work is not None:
                work.cancel()
        self._leaving = self._refresher = None

    def _signal(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    @property
    def in_flight(self) -> int:
        return super().in_flight + sum(len(link.calls) + link.served for link in self._left)

    async def _sendable(self) -> None:
        if self.is_connected:
            return await super()._sendable()
        # An attempt that has begun before this call does not count.
        attempts = self._attempts
        self._asked.set()
        while not self.is_connected:
            if self.is_closed:
                raise self._closed_error()
            if self._attempts > attempts and self._failure is not None:
                raise RpcError(self._failure.code, self._failure.text)
            await self._changed.wait()
        return None

    def _closed_error(self) -> RpcError:
        goodbye = self._goodbye
        if self._reconnect_after(goodbye) is not Reconnect.NEVER or goodbye is None:
            return RpcError(ErrorCode.CONNECTION_LOST, "the connection is closed")
        text = f"closed by the peer: {goodbye.text}"
        return RpcError(ErrorCode.CONNECT_REJECT, text, close_code=goodbye.close_code)

    # Streams.

    async def _attempt(self) -> None:
        credentials = await self._ask_credentials()
        time = self.options.connection.connect_time
        due = asyncio.Event()
        try:
            opening = open_link(self, self._endpoint, credentials, due.set)
            await asyncio.wait_for(opening, time)
        except (TimeoutError, asyncio.TimeoutError):
            text = f"no connection within {time:g}s"
            raise RpcError(ErrorCode.CONNECT_FAILED, text, peer=self.peer) from None
        except RpcError as error:
            error.peer = self.peer
            raise
        self._due = due

    async def _ask_credentials(self) -> dict[str, str]:
        """Raises `RpcError` if the function of the token fails."""
        token = self.options.token
        if callable(token):
            try:
                asked = token()
                if inspect.isawaitable(asked):
                    asked = await asyncio.wait_for(asked, self.options.connection.connect_time)
                token = asked
            except Exception as error:
                why = str(error) or type(error).__name__
                text = f"there is no token: {why}"
                raise RpcError(ErrorCode.CONNECT_FAILED, text, peer=self.peer) from error
        credentials: dict[str, str] = {}
        if token is not None:
            credentials[_message.TOKEN] = token
        if self.options.device_id is not None:
            credentials[_message.DEVICE_ID] = self.options.device_id
        return credentials

    def link_opened(self, link: Link) -> None:
        left = self.link
        self._stop_timers()
        self._needs_login = bool(link.credentials) or self._cursor is not None
        super().link_opened(link)
        if left is not None and left.is_open:
            self._left.add(left)
            self.spawn(self._finish(left))

    def link_closed(self, link: Link) -> None:
        self._left.discard(link)
        is_current = self.link is link
        super().link_closed(link)
        if not is_current:
            return
        self._stop_timers()
        self._goodbye = link.goodbye
        if self._goodbye and self._reconnect_after(self._goodbye) is Reconnect.NEVER:
            if not self.is_closed:
                self._end()
                self._notify("closed", self._goodbye.text)

    def _reconnect_after(self, goodbye: Goodbye | None) -> Reconnect:
        if goodbye is None:
            return Reconnect.BY_ITSELF
        return goodbye.reconnect(renews_login=callable(self.options.token))

    async def _finish(self, link: Link) -> None:
        """Closes a stream that was left when the calls on it have ended."""
        loop = self.calls.loop
        # Calls have deadlines of their own, servants have none.
        until = loop.time() + self.options.timeout
        while link.is_open and (len(link.calls) or link.served and loop.time() < until):
            await asyncio.sleep(_CHECK_TIME)
        link.close("another stream is used")

    async def _supervise(self) -> None:
        """Makes the connection again until it is closed."""
        loop = self.calls.loop
        login_delay, pause = LOGIN_DELAY, BACKOFF_MIN
        while True:
            connected_at = loop.time()
            await self._until_due(login_delay)
            login_delay = 0.0
            if loop.time() - connected_at > BACKOFF_MAX:
                pause = BACKOFF_MIN
            if self.link is not None:
                first: float | None = 0.0
            else:
                first = self._goodbye.pause if self._goodbye else None
                if self._reconnect_after(self._goodbye) is Reconnect.WHEN_CALLED:
                    # Refused again would be the result, unless the program wants to call.
                    await self._asked.wait()
            pause = await self._reconnect(pause, first)

    async def _until_due(self, login_delay: float) -> None:
        """Waits until another stream is needed; logs in unless a call does it before."""
        if self._needs_login:
            try:
                await asyncio.wait_for(self._due.wait(), login_delay)
                return
            except (TimeoutError, asyncio.TimeoutError):
                self._log_in()
        await self._due.wait()

    async def _reconnect(self, pause: float, first: float | None) -> float:
        """Tries until there is a stream, first after a pause that may be given; returns the next
        pause."""
        loop = self.calls.loop
        while True:
            began_at = loop.time()
            # Jitter adds up to the pause itself.
            wait = pause * (1 + random.random()) if first is None else first
            try:
                await asyncio.wait_for(self._asked.wait(), wait)
                await asyncio.sleep(max(0.0, BACKOFF_MIN - (loop.time() - began_at)))
            except (TimeoutError, asyncio.TimeoutError):
                pass
            self._asked.clear()
            first, pause = None, min(2 * pause, BACKOFF_MAX / 2)
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

    def _go_away(self, link: Link, delay: float) -> None:
        """The peer asks this side to use another stream after a delay."""
        if link is self.link and self._leaving is None:
            self._leaving = self.calls.loop.call_later(max(0.0, delay), self._leave)

    def _leave(self) -> None:
        self._leaving = None
        self._due.set()

    # The session.

    def _log_in(self) -> None:
        """Says who the user is, and which pushes were handled.

        Calls are sent behind it without waiting. They carry the token as well until the
        login is answered: peers exist that do not know it.
        """
        link = self.link
        if link is None or not self._needs_login:
            return
        self._needs_login = False
        pairs = dict(link.credentials)
        if self._cursor is not None:
            pairs[_message.RESUME] = self._cursor.position
        self._call_on(link, LOGIN, pairs, lambda login: self._logged_in(link, login))

    def _call_on(
        self,
        link: Link,
        operation: Operation[None],
        pairs: Mapping[str, str],
        on_end: Callable[[SessionCall], object],
    ) -> None:
        """Calls `login` or `refresh` on one stream."""
        call = SessionCall(link.calls, operation, self.options.connection.connect_time, on_end)
        sequence = link.calls.next_sequence()
        try:
            extra = len(pairs), _message.encode_extra(pairs)
            frame = self._frame(operation, sequence, _message.TWOWAY, extra, bytearray())
        except (RpcError, MarshalError) as error:
            call.set_exception(error)
        else:
            link.calls.add(call, sequence)
            link.send(frame, False)

    def _logged_in(self, link: Link, login: SessionCall) -> None:
        error = login.exception()
        if not link.is_open:
            return
        if error is None:
            link.credentials = {}
            self._read_position(login.extra)
            self._refresh_in_time(link, login.extra)
        elif isinstance(error, RpcError) and error.code == ErrorCode.CONNECT_REJECT:
            # The peer ends the stream.
            link.goodbye = link.goodbye or Goodbye.of_refused_login(error.text)
        else:
            # The peer knows no login. It has taken the token from its message, or from a call.
            self._read_position({})

    def _read_position(self, extra: Mapping[str, str]) -> None:
        """Reads from the RETURN of a login which pushes follow."""
        self.recovered = None if self._cursor is None else self._cursor.logged_in(extra)
        if self.recovered is not None:
            self._notify_resumed(self.recovered)

    def _refresh_in_time(self, link: Link, extra: Mapping[str, str]) -> None:
        """Sends another token before the login expires, if the program has a function for it."""
        expires_in = _message.number(extra.get(_message.EXPIRES_IN))
        if expires_in is not None and callable(self.options.token) and link is self.link:
            # Clients that have logged in together do not come together.
            pause = expires_in * random.uniform(*_REFRESH_SHARE)
            self._refresh_after(pause, link, self.calls.loop.time() + expires_in)

    def _refresh_after(self, pause: float, link: Link, expires_at: float) -> None:
        """Sends another token after a pause, unless the stream has ended then."""
        refreshing = self._refresh(max(_REFRESH_PAUSE, pause), link, expires_at)
        self._refresher = self.calls.loop.create_task(refreshing)

    async def _refresh(self, pause: float, link: Link, expires_at: float) -> None:
        await asyncio.sleep(pause)

        def ended(call: SessionCall) -> None:
            error = call.exception()
            if not link.is_open:
                return
            if error is None:
                self._refresh_in_time(link, call.extra)
            else:
                failed(error)

        def failed(error: BaseException) -> None:
            log.warning("can't refresh the login at %s: %s", self.peer, error)
            left = expires_at - self.calls.loop.time()
            self._refresh_after(left * _REFRESH_SHARE[0], link, expires_at)

        try:
            credentials = await self._ask_credentials()
        except RpcError as error:
            failed(error)
        else:
            self._call_on(link, REFRESH, credentials, ended)

    # Calls of the peer.

    def serve(self, context: Context, data: bytes, start: int, end: int) -> None:
        link = context.sink
        assert isinstance(link, Link)
        if context.key == GO_AWAY.key:
            try:
                (delay,) = GO_AWAY.decode_parameters(data, start, end, self.options.limits)
            except DecodeError as error:
                return context.fail(ErrorCode.UNSERIALIZE_FAILED, str(error))
            self._go_away(link, delay / 1000)
            return context.succeed(GO_AWAY, None)
        if self._cursor is None or self._cursor.accept(context, is_current=link is self.link):
            return super().serve(context, data, start, end)
        if context.is_oneway:
            return link.finished(context)
        return context.fail(ErrorCode.REMOTEMETHOD_EXCEPTION, "the push was handled before")

    def refuse(self, context: Context) -> None:
        link = context.sink
        if self._cursor is None or not context.pair(_message.OFFSET) or not isinstance(link, Link):
            return super().refuse(context)
        # It comes again after the next login.
        link.finished(context)
        return link.abort("more pushes than are handled")


async def open_link(
    connection: StreamConnection,
    endpoint: Endpoint,
    credentials: Mapping[str, str],
    on_due: Callable[[], object],
) -> None:
    """Opens a stream, which calls `on_due` when another one is needed.

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
    link.credentials = credentials
    link.on_due = on_due
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
