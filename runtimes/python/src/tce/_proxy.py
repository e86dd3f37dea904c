"""Proxies of the asyncio API, which generated classes extend."""

from __future__ import annotations

import time
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from . import _message
from ._calls import Pending
from ._connection import Connection, Context
from ._servant import Operation

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._communicator import Communicator

T = TypeVar("T")


class Proxy:
    """Calls an interface by a connection."""

    __slots__ = ("_connection", "_extra", "_linger", "_timeout")

    def __init__(
        self,
        connection: Connection,
        *,
        timeout: float | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        self._connection = connection
        self._timeout = timeout
        self._extra: Mapping[str, str] = dict(extra or {})
        self._linger: float | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._connection.peer}>"

    @classmethod
    async def connect(cls, communicator: Communicator, endpoint: str) -> Self:
        """A proxy by a connection of its own.

        Raises `RpcError` if the first attempt to connect fails.
        """
        return cls(await communicator.connect(endpoint))

    @classmethod
    def to_caller(cls, context: Context) -> Self:
        """In a servant: a proxy to the caller, also to one behind a gateway."""
        user = context.user_id
        connection = context.connection
        return cls(connection) if user is None else cls.to_user(connection, user)

    @classmethod
    def to_user(cls, gateway: Connection, user: str) -> Self:
        """In a server: a proxy to a user, by a connection to the gateway of that user.

        A gateway forwards such calls as oneway.
        """
        return cls(gateway, extra={_message.USER_ID: user})

    @property
    def connection(self) -> Connection:
        """The connection that carries the calls."""
        return self._connection

    def with_timeout(self, seconds: float) -> Self:
        """The same proxy with another timeout."""
        proxy = self._copy()
        proxy._timeout = seconds
        return proxy

    def with_deadline_of(self, context: Context) -> Self:
        """In a servant: the same proxy, whose calls wait no longer than the caller of this call
        does, nor than this proxy's own timeout."""
        left = context.time_left
        if left is None:
            return self
        timeout = self._timeout
        if timeout is None:
            timeout = self._connection.options.timeout
        return self.with_timeout(min(timeout, left))

    def with_linger(self, seconds: float) -> Self:
        """The same proxy, whose calls are dropped if no servant has taken them from a message
        queue within these seconds."""
        proxy = self._copy()
        proxy._linger = seconds
        return proxy

    def with_extra(self, extra: Mapping[str, str]) -> Self:
        """The same proxy, whose calls carry these pairs as well."""
        proxy = self._copy()
        proxy._extra = {**self._extra, **extra}
        return proxy

    def _copy(self) -> Self:
        proxy = type(self)(self._connection, timeout=self._timeout, extra=self._extra)
        proxy._linger = self._linger
        return proxy

    def _defaults(self) -> Mapping[str, str]:
        """The pairs that all calls carry."""
        if self._linger is None:
            return self._extra
        until = time.time() + self._linger
        # The first one in whole seconds, rounded up.
        expiry = {
            _message.LINGER_TIME: str(int(until) + 1),
            _message.DEADLINE: str(int(until * 1000)),
        }
        return {**self._extra, **expiry}

    def _call(
        self,
        operation: Operation[T],
        arguments: tuple[Any, ...],
        timeout: float | None,
        extra: Mapping[str, str] | None,
    ) -> Coroutine[Any, Any, T]:
        if timeout is None:
            timeout = self._timeout
        return self._connection.call(operation, arguments, timeout, extra, self._defaults())

    def _call_async(
        self,
        operation: Operation[T],
        arguments: tuple[Any, ...],
        timeout: float | None,
        extra: Mapping[str, str] | None,
    ) -> Pending[T]:
        if timeout is None:
            timeout = self._timeout
        return self._connection.call_async(operation, arguments, timeout, extra, self._defaults())

    def _call_oneway(
        self,
        operation: Operation[Any],
        arguments: tuple[Any, ...],
        timeout: float | None,
        extra: Mapping[str, str] | None,
    ) -> Coroutine[Any, Any, None]:
        if timeout is None:
            timeout = self._timeout
        return self._connection.call_oneway(operation, arguments, timeout, extra, self._defaults())
