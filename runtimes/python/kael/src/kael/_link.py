"""The connection of a client to the agents of its namespace, by an event loop in a thread."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from tce import Communicator, MqConfig, MultiCall, Options
from tce._address import Address
from tce._mq_config import MqEndpoint
from tce._queues import QueueConnection

from ._frame import FunctionsPrx, ManagementMulti

T = TypeVar("T")

COMMANDS = "commands"
"""The name of the endpoint."""
CLOSE_TIME = 2.0
"""Seconds for calls in flight when the client is closed."""


def endpoint_of(uri: str, namespace: str) -> MqEndpoint:
    """The topic of commands at the broker of `amqp://user:password@host:port/vhost`.

    Raises `ValueError`, without the URI, which may hold a password.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
        raise ValueError("the URI of the broker has to be amqp://user:password@host:port/vhost")
    is_tls = parts.scheme == "amqps"
    return MqEndpoint(
        name=COMMANDS,
        host=parts.hostname,
        port=parts.port or (5671 if is_tls else 5672),
        address=Address(f"tce.frame.{namespace}.commands", "", True, True, True),
        user=unquote(parts.username or "guest"),
        password=unquote(parts.password or "guest"),
        vhost=unquote(parts.path[1:]) or "/",
        tls=is_tls,
        writes=True,
    )


class Link:
    """A thread with an event loop, and what is connected there."""

    def __init__(self, uri: str, namespace: str) -> None:
        self._namespace = namespace
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._functions: dict[str, FunctionsPrx] = {}
        self._thread = threading.Thread(target=self._loop.run_forever, name="kael", daemon=True)
        self._thread.start()
        try:
            self._communicator, self.agents = self.run(self._open(uri))
        except BaseException:
            self._stop()
            raise

    @property
    def is_usable(self) -> bool:
        """Whether its thread exists: not in a process that was forked since."""
        return self._process == os.getpid()

    async def _open(self, uri: str) -> tuple[Communicator, ManagementMulti]:
        communicator = Communicator(Options(names_broker_user=True))
        endpoint = endpoint_of(uri, self._namespace)
        await communicator.open_mq(MqConfig(endpoints=(endpoint,)))
        return communicator, await ManagementMulti.connect(communicator, f"mq:{COMMANDS}")

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the loop, and waits for it."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            # Of Ctrl-C in this thread.
            future.cancel()
            raise

    def functions(self, base: str) -> FunctionsPrx:
        """The functions of a service."""
        known = self._functions.get(base)
        if known is None:
            connection = self.agents.connection
            assert isinstance(connection, QueueConnection)
            queue = f"tce.frame.{self._namespace}.service.{base}"
            known = self._functions[base] = FunctionsPrx(connection.to_queue(queue))
        return known

    def ended(self, call: MultiCall[Any], timeout: float) -> None:
        """Waits until a multi-call has ended, at most `timeout` seconds."""

        async def wait() -> None:
            collecting = asyncio.ensure_future(call.collect())
            await asyncio.wait([collecting], timeout=timeout)
            collecting.cancel()

        self.run(wait())

    def close(self) -> None:
        """Ends the connection and the thread."""
        if self.is_usable and self._loop.is_running():
            self.run(self._communicator.shutdown(CLOSE_TIME))
            self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
