"""Calls to a server that block, by an event loop in a thread of the process."""

from __future__ import annotations

import asyncio
import getpass
import os
import stat
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from tce import (
    Communicator,
    Connection,
    ConnectionLimits,
    ErrorCode,
    Options,
    RpcError,
    TlsFiles,
)

from ._flow import FlowControlPrx, FlowJobsPrx, FlowQueryPrx

T = TypeVar("T")

PART = 512 * 1024
"""The longest text of one call, in bytes."""
_UNSENT = (
    ErrorCode.SENDFAILED,
    ErrorCode.CONNECT_UNREACHABLE,
    ErrorCode.CONNECT_FAILED,
    ErrorCode.CONNECT_REJECT,
)


class Unreachable(Exception):
    """There is no connection to the server: nothing was sent."""


class _Loop:
    """The event loop of the process; a forked one gets another."""

    _lock = threading.Lock()
    _process = 0
    _loop: asyncio.AbstractEventLoop

    @classmethod
    def run(cls, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine, and waits for it."""
        with cls._lock:
            if cls._process != os.getpid():
                cls._loop = asyncio.new_event_loop()
                thread = threading.Thread(
                    target=cls._loop.run_forever, name="tce-flow", daemon=True
                )
                thread.start()
                cls._process = os.getpid()
        future = asyncio.run_coroutine_threadsafe(coroutine, cls._loop)
        try:
            return future.result()
        except BaseException:
            # Of Ctrl-C in this thread.
            future.cancel()
            raise


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _token() -> str | None:
    """The token of the file that the environment names, which its owner alone can read."""
    path = os.environ.get("TCE_FLOW_TOKEN_FILE") or os.environ.get("TAKLER_SECRET_FILE")
    if not path:
        return None
    if stat.S_IMODE(os.stat(path).st_mode) & 0o077:
        raise PermissionError(f"{path}: others can read it: `chmod 600` it")
    with open(path, encoding="utf-8") as file:
        return file.readline().strip()


class Link:
    """A server as a client reaches it. Its connection is made by the first call."""

    def __init__(self, host: str, port: str, client: str) -> None:
        self._host = host
        self._port = port
        self._client = client
        self._extra: dict[str, str] = {}
        self._connection: Connection | None = None
        self._communicator: Communicator | None = None
        self._process = 0

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self._host}:{self._port}"

    def _endpoint(self) -> str:
        is_tls = self._host.startswith("ssl://") or bool(
            os.environ.get("ECF_SSL") or os.environ.get("TAKLER_TLS_CA_FILE")
        )
        scheme = "ssl" if is_tls else "tcp"
        return f"{scheme}://{self._host.removeprefix('ssl://')}:{self._port}"

    async def _connect(self, timeout: float) -> Connection:
        if self._connection is not None and self._process == os.getpid():
            return self._connection
        named = os.environ.get("TAKLER_TLS_CA_FILE") or os.environ.get("ECF_SSL") or ""
        tls = TlsFiles(ca_file=named if os.path.isfile(named) else None)
        limits = ConnectionLimits(connect_time=timeout)
        communicator = Communicator(Options(timeout=timeout, connection=limits, tls=tls))
        self._extra = {"user": _user(), "client": self._client}
        token = _token()
        if token is not None:
            self._extra["__token__"] = token
        try:
            self._connection = await communicator.connect(self._endpoint())
        except (RpcError, ValueError) as error:
            await communicator.shutdown(0)
            raise Unreachable(str(error)) from error
        self._communicator = communicator
        self._process = os.getpid()
        return self._connection

    def call(
        self,
        operation: Callable[[Proxies], Awaitable[T]],
        *,
        timeout: float = 60.0,
        attempts: int = 2,
        pause: float = 1.0,
    ) -> T:
        """Calls the server. It is called again where nothing was sent.

        Raises `Unreachable` after the last attempt, and `RpcError` where the call fails.
        """
        for attempt in range(attempts):
            if attempt > 0:
                time.sleep(pause)
            try:
                return _Loop.run(self._call(operation, timeout))
            except Unreachable:
                self.close()
                if attempt + 1 >= attempts:
                    raise
        raise Unreachable("no attempt was made")

    async def _call(self, operation: Callable[[Proxies], Awaitable[T]], timeout: float) -> T:
        connection = await self._connect(timeout)
        try:
            return await operation(Proxies(connection, self._extra, timeout))
        except RpcError as error:
            if error.code in _UNSENT:
                raise Unreachable(str(error)) from error
            raise

    def close(self) -> None:
        """Ends the connection; the next call makes another."""
        communicator, self._communicator, self._connection = self._communicator, None, None
        if communicator is not None and self._process == os.getpid():
            _Loop.run(communicator.shutdown(0))


class Proxies:
    """The interfaces of a server, over one connection."""

    def __init__(self, connection: Connection, extra: dict[str, str], timeout: float) -> None:
        self.query = FlowQueryPrx(connection, timeout=timeout, extra=extra)
        """To ask."""
        self.control = FlowControlPrx(connection, timeout=timeout, extra=extra)
        """To order."""
        self.jobs = FlowJobsPrx(connection, timeout=timeout, extra=extra)
        """To tell about a job."""

    async def show(self, path: str, style: str) -> str:
        """A node as text, all parts of it."""
        first = await self.query.show(path, style, 0)
        texts = [first.text]
        for part in range(1, first.parts):
            texts.append((await self.query.show(path, style, part)).text)
        return "".join(texts)

    async def uploaded(self, text: str) -> str:
        """What a load or replace sends: nothing where the text is too long, and was uploaded."""
        data = text.encode()
        if len(data) <= PART:
            return text
        while data:
            end = min(PART, len(data))
            # Not within a character.
            while end < len(data) and data[end] & 0xC0 == 0x80:
                end -= 1
            reply = await self.control.upload(data[:end].decode())
            if reply.code != 0:
                raise RuntimeError(reply.text)
            data = data[end:]
        return ""
