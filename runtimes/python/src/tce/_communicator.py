"""The communicator: what a program's connections and adapters belong to."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING

from ._adapter import SocketAdapter
from ._client import ClientConnection
from ._connection import Connection, log
from ._endpoint import Endpoint, EndpointError
from ._errors import ErrorCode, RpcError
from ._options import Options
from ._servant import Registry, Servant

if TYPE_CHECKING:
    from ._mq_config import MqConfig
    from typing import TypeAlias

    from ._queues import MessageQueues, QueueAdapter

    Adapter: TypeAlias = SocketAdapter | QueueAdapter

WITHOUT_MQ = "message queues need the package aio-pika: install tce[mq]"
_CHECK_TIME = 0.005
"""Seconds between two looks at what a shutdown waits for."""
_CLOSE_TIME = 10.0
"""Seconds that `async with` gives calls in flight at its end."""


class Communicator:
    """Makes and owns connections and adapters. It belongs to one event loop."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self._connections: set[ClientConnection] = set()
        self._adapters: list[SocketAdapter] = []
        self._queues: MessageQueues | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._is_closed = False

    async def __aenter__(self) -> Communicator:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.shutdown(0.0 if error else _CLOSE_TIME)

    def _threads(self) -> ThreadPoolExecutor:
        """The threads in which blocking servants run."""
        if self._pool is None:
            size = min(32, (os.cpu_count() or 1) + 4)
            self._pool = ThreadPoolExecutor(size, thread_name_prefix="tce-servant")
        return self._pool

    async def connect(self, endpoint: str) -> Connection:
        """Connects to `tcp://host:port`, `ssl://…`, `ws://…/path`, `wss://…/path` or `mq:name`.

        A lost connection is made again after pauses of 50 ms to 5 s, with jitter; a call
        on it asks for an attempt at once. Servants stay; the token is sent again.

        Raises `RpcError` if the first attempt fails.
        """
        self._check_open()
        where = _parse(endpoint)
        if where.scheme == "mq":
            return self.queues.connection(where.host)
        connection = ClientConnection(self.options, where, Registry(), self._threads)
        await connection.connect()
        self._connections = {it for it in self._connections if not it.is_closed}
        self._connections.add(connection)
        return connection

    async def listen(
        self, endpoint: str, *servants: Servant, origins: Iterable[str] | None = None
    ) -> Adapter:
        """Accepts connections at an endpoint, or reads the queues of `mq:name,…`.

        `origins` are the pages that may connect by WebSocket; by default all.

        Raises `RpcError` if it can't listen.
        """
        self._check_open()
        where = _parse(endpoint)
        if where.scheme == "mq":
            return await self.queues.listen(where.host, servants)
        registry = Registry()
        for servant in servants:
            registry.add(servant)
        adapter = SocketAdapter(self.options, where, registry, self._threads)
        await adapter.open(None if origins is None else frozenset(origins))
        self._adapters.append(adapter)
        return adapter

    async def open_mq(self, config: MqConfig) -> None:
        """Opens the message queues of a `config.yml`: `MqConfig.load(path, process)`.

        Raises `RpcError` if a broker can't be reached.
        """
        self._check_open()
        if self._queues is not None:
            raise RpcError(ErrorCode.CONNECT_FAILED, "message queues are open already")
        try:
            from ._queues import MessageQueues
        except ImportError:
            raise RpcError(ErrorCode.CONNECT_FAILED, WITHOUT_MQ) from None
        queues = MessageQueues(self.options, config, self._threads)
        await queues.open()
        self._queues = queues

    @property
    def queues(self) -> MessageQueues:
        """The message queues.

        Raises `RpcError` before `open_mq`.
        """
        if self._queues is None:
            text = "no message queues are open: call open_mq first"
            raise RpcError(ErrorCode.CONNECT_FAILED, text)
        return self._queues

    def _check_open(self) -> None:
        if self._is_closed:
            raise RpcError(ErrorCode.CONNECT_FAILED, "the communicator is shut down")

    def _in_flight(self) -> int:
        queues = self._queues.in_flight if self._queues else 0
        return (
            sum(adapter.in_flight for adapter in self._adapters)
            + sum(connection.in_flight for connection in self._connections)
            + queues
        )

    async def shutdown(self, timeout: float = _CLOSE_TIME) -> bool:
        """Ends everything; calls in flight have `timeout` seconds to end.

        Returns whether all of them did.
        """
        self._is_closed = True
        for adapter in self._adapters:
            adapter.stop_accepting()
        if self._queues is not None:
            await self._queues.stop_consuming()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while self._in_flight() and loop.time() < deadline:
            await asyncio.sleep(_CHECK_TIME)
        has_ended = not self._in_flight()
        for connection in list(self._connections):
            await connection.close()
        for adapter in self._adapters:
            await adapter.close()
        if self._queues is not None:
            await self._queues.close()
        # Sockets are closed in the next iterations of the loop.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        return has_ended

    async def wait_for_shutdown(self, timeout: float = _CLOSE_TIME) -> bool:
        """Waits for SIGTERM or Ctrl-C, then shuts down."""
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, stopped.set)
        try:
            await stopped.wait()
        finally:
            for number in signals:
                loop.remove_signal_handler(number)
        log.info("shutting down")
        return await self.shutdown(timeout)


def _parse(endpoint: str) -> Endpoint:
    try:
        return Endpoint.parse(endpoint)
    except EndpointError as error:
        raise RpcError(ErrorCode.CONNECT_FAILED, str(error)) from None
