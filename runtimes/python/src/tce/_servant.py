"""What generated code says of interfaces, and the servants of an adapter or connection."""

from __future__ import annotations

import abc
import base64
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from ._errors import DecodeError, ErrorCode, Fault, MarshalError, UserException
from ._message import EXCEPTION, EXCEPTION_DATA, Extra
from ._options import Limits
from ._values import Codec, ExceptionCodec, Reader, codec_of

T = TypeVar("T")


class Operation(Generic[T]):
    """An operation: its indices on the wire and the codecs of its values."""

    __slots__ = (
        "_codecs", "_parameters", "_result", "_returns", "_throws", "ifidx", "is_idempotent", "key",
        "name", "opidx",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        ifidx: int,
        opidx: int,
        parameters: Callable[[], Sequence[Codec[Any]]],
        returns: Callable[[], Codec[T]],
        *,
        throws: Callable[[], Sequence[ExceptionCodec[Any]]] | None = None,
        idempotent: bool = False,
    ) -> None:
        self.is_idempotent = idempotent
        """Whether a call may be repeated without another effect."""
        self._throws = throws
        self.name = name
        """As the IDL spells it: `test::Server::echo`."""
        self.ifidx = ifidx
        self.opidx = opidx
        self.key = ifidx << 16 | opidx
        self._parameters = parameters
        self._returns = returns
        self._codecs: Sequence[Codec[Any]] | None = None
        self._result: Codec[T] | None = None

    def layout(self) -> str:
        """What the result and the parameters are on the wire: `long(int,int)`. Two programs
        understand each other if the texts are equal."""
        shown: list[Codec[Any]] = []
        result = self._returns().layout(shown)
        parameters = ",".join(codec.layout(shown) for codec in self._parameters())
        return f"{result}({parameters})"

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

    def decode_exception(self, extra: Extra, max_depth: int) -> UserException | None:
        """The exception in the extra of an error RETURN, if the operation declares it.

        None as well if its members do not decode.
        """
        declared = self._throws() if self._throws is not None else ()
        name = extra.get(EXCEPTION) if declared else None
        codec = next((codec for codec in declared if codec.name == name), None)
        if codec is None:
            return None
        try:
            data = base64.b64decode(extra.get(EXCEPTION_DATA) or "", validate=True)
            decoded: UserException = codec.read(Reader(data, 0, len(data), max_depth))
        except (ValueError, DecodeError):
            return None
        return decoded


def encode_exception(exception: UserException) -> dict[str, str]:
    """The pairs of an error RETURN that carry an exception.

    Raises `MarshalError` if a type can't express a member.
    """
    codec = codec_of(exception)
    if codec is None:
        raise MarshalError(f"{exception!r} is not of a generated class")
    out = bytearray()
    try:
        codec.write(out, exception)
    except RecursionError:
        raise MarshalError("an exception nests too deep") from None
    return {EXCEPTION: codec.name, EXCEPTION_DATA: base64.b64encode(out).decode()}


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
