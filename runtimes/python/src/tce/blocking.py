"""The API of TCE's own Python programs, whose calls block the thread.

One event loop in a thread of its own makes all connections; servants run in a pool
of threads. The names are those that existing programs use.
"""

from __future__ import annotations

import asyncio
import atexit
import dataclasses
import inspect
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from . import _message
from ._communicator import Communicator
from ._connection import Connection, Context
from ._errors import RpcError
from ._options import Options
from ._servant import Operation, Servant

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._communicator import Adapter

T = TypeVar("T")
R = TypeVar("R", contravariant=True)
P = TypeVar("P", contravariant=True)

log = logging.getLogger("tce")

RpcException = RpcError
"""The error of a call, under its name in existing programs."""


class Callback(Protocol[R, P]):
    """Called with the result of an asynchronous call, its proxy and its cookie."""

    def __call__(self, result: R, proxy: P, cookie: Any, /) -> object: ...


class ErrorCallback(Protocol[P]):
    """Called with the error of an asynchronous call, its proxy and its cookie."""

    def __call__(self, error: RpcError, proxy: P, cookie: Any, /) -> object: ...


class RpcCommunicator:
    """The communicator of the process: `RpcCommunicator.instance()`."""

    _instance: RpcCommunicator | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        self.name = ""
        self.options = Options()
        """Set before `init`, for example with a token."""
        self._communicator: Communicator | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = threading.Event()
        self._adapters: list[Any] = []

    @classmethod
    def instance(cls) -> RpcCommunicator:
        """The communicator, which the first call makes."""
        with cls._lock:
            if cls._instance is None:
                cls._instance = cls()
            return cls._instance

    def init(self, name: str = "", options: Options | None = None) -> RpcCommunicator:
        """Starts the thread of the event loop. The name is that of a section in `config.yml`."""
        self.name = name
        if options is not None:
            self.options = options
        if self._loop is None:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="tce", daemon=True)
            thread.start()
            self._loop = loop
            self._communicator = self.run(self._create())
            atexit.register(self.shutdown, 0.0)
        return self

    async def _create(self) -> Communicator:
        token = self.options.token
        if not callable(token) or inspect.iscoroutinefunction(token):
            return Communicator(self.options)
        # It may make calls, which block: not in the thread of the event loop.
        return Communicator(dataclasses.replace(self.options, token=partial(_ask, token)))

    @property
    def communicator(self) -> Communicator:
        """What has the connections, in the thread of the event loop."""
        if self._communicator is None:
            raise RuntimeError("call RpcCommunicator.instance().init() first")
        return self._communicator

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Runs a coroutine in the event loop."""
        if self._loop is None:
            coroutine.close()
            raise RuntimeError("call RpcCommunicator.instance().init() first")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Waits for a coroutine in the event loop."""
        self._check_thread(coroutine)
        return self.submit(coroutine).result()

    def _check_thread(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is not None and running is self._loop:
            coroutine.close()
            raise RuntimeError("a blocking call in the thread of the event loop would wait forever")

    @classmethod
    def forget(cls) -> None:
        """Begins anew in a forked process, which has no thread but the one that has forked."""
        cls._instance = None
        cls._lock = threading.Lock()

    def initMQEndpoints(self, path: str) -> RpcCommunicator:
        """Opens the message queues that a `config.yml` lists for this process.

        Raises `RpcException` if a broker can't be reached, and `ConfigError` for mistakes
        in the file.
        """
        from ._mq_config import MqConfig

        config = MqConfig.load(path, self.name)
        self.run(self.communicator.open_mq(config))
        return self

    def run_on(self, connection: Connection, coroutine: Coroutine[Any, Any, T]) -> T:
        """Waits for a coroutine of a connection."""
        return self.submit_on(connection, coroutine).result()

    def submit_on(self, connection: Connection, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Runs a coroutine of a connection.

        Raises `RuntimeError` for a connection of another event loop, whose thread may not
        exist: that of a communicator that was shut down, or of the process that has forked
        this one.
        """
        if self._loop is not None and connection.calls.loop is not self._loop:
            coroutine.close()
            text = "the connection belongs to a communicator that has ended, or to another process"
            raise RuntimeError(f"{text}: make the proxy again")
        self._check_thread(coroutine)
        return self.submit(coroutine)

    def onResumed(
        self, connection: Connection, callback: Callable[[bool], object]
    ) -> RpcCommunicator:
        """Calls `callback(recovered)` as `Connection.on_resumed` does, in a thread of the pool,
        where it may make calls that block."""
        self.run_on(connection, _listen(connection, callback))
        return self

    def getConnectionMQCollection(self) -> ConnectionMQCollection:
        """The connections by message queues."""
        return ConnectionMQCollection(self)

    def addAdapter(self, adapter: RpcCommAdapter) -> RpcCommunicator:
        """Starts an adapter."""
        adapter.start()
        self._adapters.append(adapter)
        return self

    def waitForShutdown(self) -> None:
        """Waits for SIGTERM, Ctrl-C or `shutdown`, then ends calls in flight within 10 s."""
        self._wait()
        self.shutdown()

    def _wait(self) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda number, frame: self._stopped.set())
        try:
            self._stopped.wait()
        except KeyboardInterrupt:
            pass

    def shutdown(self, timeout: float = 10.0) -> None:
        """Ends all connections and the event loop; calls in flight have `timeout` seconds."""
        loop, communicator = self._loop, self._communicator
        if loop is None or communicator is None:
            return
        self._loop = self._communicator = None
        ending = asyncio.run_coroutine_threadsafe(_end(communicator, timeout), loop)
        try:
            ending.result(timeout + 5.0)
        except Exception:
            log.exception("the shutdown failed")
        loop.call_soon_threadsafe(loop.stop)
        self._stopped.set()
        with self._lock:
            RpcCommunicator._instance = None


async def _ask(token: Callable[[], str | Awaitable[str]]) -> str:
    """Asks a function for a token in a thread."""
    asked = await asyncio.to_thread(token)
    return asked if isinstance(asked, str) else await asked


async def _end(communicator: Communicator, timeout: float) -> None:
    """Shuts down, and ends what goes on nevertheless, as `asyncio.run` does."""
    await communicator.shutdown(timeout)
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class ConnectionMQCollection:
    """The connections by message queues, by the names of their endpoints."""

    def __init__(self, communicator: RpcCommunicator) -> None:
        self._communicator = communicator

    def get(self, name: str) -> Connection:
        """The connection that writes to an endpoint.

        Raises `RpcException` if it is not open for writing.
        """
        return self._communicator.run(self._communicator.communicator.connect(f"mq:{name}"))


class RpcEndPoint:
    """Where a server listens: host and port, or an endpoint as text."""

    def __init__(
        self,
        host: str = "localhost",
        port: int = 0,
        *,
        type: str = "tcp",
        path: str = "",
        compress: bool = False,
    ) -> None:
        scheme = {"socket": "tcp", "websocket": "ws"}.get(type, type)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.url = f"{scheme}://{address}{path}{'?compress=1' if compress else ''}"

    def __str__(self) -> str:
        return self.url


class RpcCommAdapter:
    """Serves calls: of clients that connect to an endpoint, or on connections of this side."""

    def __init__(self, id: str, endpoint: RpcEndPoint | str | None = None) -> None:
        self.id = id
        self._endpoint = None if endpoint is None else str(endpoint)
        self._servants: list[Servant] = []
        self._connections: list[Connection] = []
        self._adapter: Adapter | None = None

    @classmethod
    def create(cls, id: str, endpoint: RpcEndPoint | str) -> Self:
        """An adapter at an endpoint, which `start` opens."""
        return cls(id, endpoint)

    @property
    def endpoint(self) -> str:
        """The endpoint, with its port once it is open."""
        return str(self._adapter.endpoint) if self._adapter is not None else str(self._endpoint)

    def addConnection(self, connection: Connection) -> Self:
        """Serves calls of the peer of a connection."""
        self._connections.append(connection)
        for servant in self._servants:
            _in_loop(_add, connection, servant)
        return self

    def addServant(self, servant: Servant) -> Self:
        """Adds an object that serves an interface."""
        self._servants.append(servant)
        for connection in self._connections:
            _in_loop(_add, connection, servant)
        if self._adapter is not None:
            _in_loop(_add, self._adapter, servant)
        return self

    def start(self) -> Self:
        """Opens the endpoint, if there is one.

        Raises `RpcException` if it can't.
        """
        if self._endpoint is not None and self._adapter is None:
            runtime = RpcCommunicator.instance()
            listening = runtime.communicator.listen(self._endpoint, *self._servants)
            self._adapter = runtime.run(listening)
        return self


class RpcAdapterMQ(RpcCommAdapter):
    """Serves the calls of a message queue."""

    @classmethod
    def create(cls, id: str, endpoint: RpcEndPoint | str) -> Self:
        """An adapter that reads an endpoint of `config.yml`, which `start` opens."""
        return cls(id, f"mq:{endpoint}")


async def _add(server: Connection | Adapter, servant: Servant) -> None:
    server.add_servant(servant)


def _in_loop(call: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
    return RpcCommunicator.instance().run(call(*arguments))


class BlockingProxy:
    """Calls an interface by a connection; generated classes extend it."""

    __slots__ = ("_extra", "_timeout", "conn")

    def __init__(
        self,
        conn: Connection,
        *,
        timeout: float | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        self.conn = conn
        """The connection that carries the calls."""
        self._timeout = timeout
        self._extra: Mapping[str, str] = dict(extra or {})

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.conn.peer}>"

    @classmethod
    def create(cls, endpoint: RpcEndPoint | str) -> Self:
        """A proxy by a connection of its own.

        Raises `RpcException` if the first attempt to connect fails.
        """
        runtime = RpcCommunicator.instance()
        return cls(runtime.run(runtime.communicator.connect(str(endpoint))))

    @classmethod
    def createWithProxy(cls, proxy: BlockingProxy) -> Self:
        """A proxy by the connection of another one."""
        return cls(proxy.conn)

    def with_timeout(self, seconds: float) -> Self:
        """The same proxy with another timeout."""
        return type(self)(self.conn, timeout=seconds, extra=self._extra)

    def with_extra(self, extra: Mapping[str, str]) -> Self:
        """The same proxy, whose calls carry these pairs as well."""
        return type(self)(self.conn, timeout=self._timeout, extra={**self._extra, **extra})

    def _seconds(self, timeout: float | None) -> float | None:
        return self._timeout if timeout is None else timeout

    def _call_blocking(
        self,
        operation: Operation[T],
        arguments: tuple[Any, ...],
        timeout: float | None,
        extra: Mapping[str, str] | None,
    ) -> T:
        seconds = self._seconds(timeout)
        call = self.conn.call(operation, arguments, seconds, extra, self._extra)
        return RpcCommunicator.instance().run_on(self.conn, call)

    def _call_async(
        self,
        operation: Operation[Any],
        arguments: tuple[Any, ...],
        proxy: Any,
        callback: Callable[[Any, Any, Any], object],
        cookie: Any,
        timeout: float | None,
        extra: Mapping[str, str] | None,
        on_error: Callable[[RpcError, Any, Any], object] | None,
    ) -> None:
        seconds = self._seconds(timeout)
        call = self.conn.call(operation, arguments, seconds, extra, self._extra)
        finishing = _finish(self.conn, call, proxy, callback, cookie, on_error)
        try:
            RpcCommunicator.instance().submit_on(self.conn, finishing)
        except RuntimeError:
            call.close()
            raise

    def _call_oneway(
        self,
        operation: Operation[Any],
        arguments: tuple[Any, ...],
        extra: Mapping[str, str] | None,
    ) -> None:
        call = self.conn.call_oneway(operation, arguments, self._timeout, extra, self._extra)
        RpcCommunicator.instance().run_on(self.conn, call)


async def _listen(connection: Connection, callback: Callable[[bool], object]) -> None:
    async def call(recovered: bool) -> None:
        try:
            await connection.run_in_thread(callback, recovered)
        except Exception:
            log.exception("the callback of a resumed connection failed")

    connection.on_resumed(lambda recovered: connection.spawn(call(recovered)))


async def _finish(
    connection: Connection,
    call: Coroutine[Any, Any, Any],
    proxy: Any,
    callback: Callable[[Any, Any, Any], object],
    cookie: Any,
    on_error: Callable[[RpcError, Any, Any], object] | None,
) -> None:
    """Calls back in a thread of the pool, where the callback may make calls that block."""
    try:
        result = await call
    except RpcError as error:
        if on_error is None:
            log.error("an asynchronous call failed: %s", error)
            return
        result, callback = error, on_error
    except Exception:
        log.exception("an asynchronous call failed")
        return
    try:
        await connection.run_in_thread(callback, result, proxy, cookie)
    except Exception:
        log.exception("the callback of an asynchronous call failed")


class Shortcuts:
    """What servants ask of a call most often."""

    @staticmethod
    def MQ_RETURN(ctx: Context) -> str:
        """The endpoint to which the RETURN goes; empty without a message queue."""
        return ctx.extra.get(_message.MQ_RETURN, "")

    @staticmethod
    def USER_ID(ctx: Context) -> str:
        """The user who calls; empty without a gateway."""
        return ctx.user_id or ""

    @staticmethod
    def CALL_USER_ID(user_id: str) -> dict[str, str]:
        """The extra of a call to a user."""
        return {_message.USER_ID: user_id}


def sleep(seconds: float | None = None) -> None:
    """Sleeps; without a time until SIGTERM or Ctrl-C."""
    sys.stdout.flush()
    if seconds is None:
        RpcCommunicator.instance().waitForShutdown()
    else:
        time.sleep(seconds)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=RpcCommunicator.forget)
