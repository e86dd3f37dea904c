"""What generated code says of interfaces, and the servants of an adapter or connection."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from ._errors import ErrorCode, Fault, MarshalError
from ._options import Limits
from ._values import Codec, Reader

T = TypeVar("T")


class Operation(Generic[T]):
    """An operation: its indices on the wire and the codecs of its values."""

    __slots__ = (
        "_codecs", "_parameters", "_result", "_returns", "ifidx", "key", "name", "opidx",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        ifidx: int,
        opidx: int,
        parameters: Callable[[], Sequence[Codec[Any]]],
        returns: Callable[[], Codec[T]],
    ) -> None:
        self.name = name
        """As the IDL spells it: `test::Server::echo`."""
        self.ifidx = ifidx
        self.opidx = opidx
        self.key = ifidx << 16 | opidx
        self._parameters = parameters
        self._returns = returns
        self._codecs: Sequence[Codec[Any]] | None = None
        self._result: Codec[T] | None = None

    def encode_parameters(self, arguments: tuple[Any, ...]) -> bytearray:
        """Raises `MarshalError` if a type can't express its argument."""
        codecs = self._codecs
        if codecs is None:
            codecs = self._codecs = self._parameters()
        out = bytearray()
        try:
            for codec, argument in zip(codecs, arguments):
                codec.write(out, argument)
        except RecursionError:
            raise MarshalError("an argument nests too deep") from None
        return out

    def decode_parameters(self, data: bytes, start: int, end: int, limits: Limits) -> list[Any]:
        """Raises `DecodeError`. Bytes behind the last parameter are ignored."""
        codecs = self._codecs
        if codecs is None:
            codecs = self._codecs = self._parameters()
        reader = Reader(data, start, end, limits.max_depth)
        return [codec.read(reader) for codec in codecs]

    def encode_result(self, value: T) -> bytearray:
        """Raises `MarshalError`."""
        result = self._result
        if result is None:
            result = self._result = self._returns()
        out = bytearray()
        try:
            result.write(out, value)
        except RecursionError:
            raise MarshalError("the result nests too deep") from None
        return out

    def decode_result(self, data: bytes, start: int, end: int, limits: Limits) -> T:
        """Raises `DecodeError`."""
        result = self._result
        if result is None:
            result = self._result = self._returns()
        return result.read(Reader(data, start, end, limits.max_depth))


class Interface:
    """An interface, as the class of its servants has it."""

    __slots__ = ("idl", "ifidx", "name", "operations")

    def __init__(
        self, name: str, ifidx: int, operations: Mapping[str, Operation[Any]], idl: str = ""
    ) -> None:
        self.name = name
        """`module.Interface`"""
        self.ifidx = ifidx
        self.operations = operations
        """By the name of the method."""
        self.idl = idl
        """The interface as an IDL without imports, for peers that ask."""


class Servant(abc.ABC):
    """An object that serves calls; generated classes extend it."""

    _interface: ClassVar[Interface]


class BlockingServant(Servant):
    """A servant whose methods block: they run in a pool of threads."""


class Handler:
    """What serves an operation."""

    __slots__ = ("is_blocking", "method", "operation")

    def __init__(
        self, method: Callable[..., Any], operation: Operation[Any], is_blocking: bool
    ) -> None:
        self.method = method
        self.operation = operation
        self.is_blocking = is_blocking


class Registry:
    """The servants of an adapter or of a connection, by interface index."""

    def __init__(self) -> None:
        self.handlers: dict[int, Handler] = {}
        """By `Operation.key`."""
        self._idls: dict[int, str] = {}

    def add(self, servant: Servant) -> None:
        """Adds a servant with the interfaces of its bases; it replaces an earlier one."""
        served: set[int] = set()
        for class_ in type(servant).__mro__:
            interface = class_.__dict__.get("_interface")
            # Two modules may use one index: the derived interface hides its base.
            if not isinstance(interface, Interface) or interface.ifidx in served:
                continue
            served.add(interface.ifidx)
            self.handlers = {
                key: handler
                for key, handler in self.handlers.items()
                if handler.operation.ifidx != interface.ifidx
            }
            for name, operation in interface.operations.items():
                method = getattr(servant, name)
                is_blocking = not inspect.iscoroutinefunction(method)
                self.handlers[operation.key] = Handler(method, operation, is_blocking)
            self._idls[interface.ifidx] = interface.idl
        if not served:
            raise TypeError(f"{servant!r} extends no class of an interface")

    def has(self, ifidx: int) -> bool:
        """Whether a servant serves an interface."""
        return ifidx in self._idls

    def idls(self) -> list[str]:
        """The IDL of each servant, without duplicates."""
        return sorted({idl for idl in self._idls.values() if idl})


def not_implemented(operation: Operation[Any]) -> Exception:
    """What a servant raises for an operation that it leaves out."""
    text = f"the servant does not implement {operation.name}"
    return Fault(text, ErrorCode.INTERFACE_NOTFOUND)
