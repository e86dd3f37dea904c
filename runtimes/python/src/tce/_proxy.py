"""Proxies of the asyncio API, which generated classes extend."""

from __future__ import annotations

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

    __slots__ = ("_connection", "_extra", "_timeout")

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
        return type(self)(self._connection, timeout=seconds, extra=self._extra)

    def with_extra(self, extra: Mapping[str, str]) -> Self:
        """The same proxy, whose calls carry these pairs as well."""
        return type(self)(
            self._connection, timeout=self._timeout, extra={**self._extra, **extra}
        )

    def _call(
        self,
        operation: Operation[T],
        arguments: tuple[Any, ...],
        timeout: float | None,
        extra: Mapping[str, str] | None,
    ) -> Coroutine[Any, Any, T]:
        if timeout is None:
            timeout = self._timeout
        return self._connection.call(operation, arguments, timeout, extra, self._extra)

    def _call_async(
        self,
        operation: Operation[T],
        arguments: tuple[Any, ...],
        timeout: float | None,
        extra: Mapping[str, str] | None,
    ) -> Pending[T]:
        if timeout is None:
            timeout = self._timeout
        return self._connection.call_async(operation, arguments, timeout, extra, self._extra)

    def _call_oneway(
        self,
        operation: Operation[Any],
        arguments: tuple[Any, ...],
        timeout: float | None,
        extra: Mapping[str, str] | None,
    ) -> Coroutine[Any, Any, None]:
        if timeout is None:
            timeout = self._timeout
        return self._connection.call_oneway(operation, arguments, timeout, extra, self._extra)
