"""Parameters and results: how values of the IDL's types are encoded.

A codec reads and writes values of one type. Those of structs, sequences and
dictionaries take functions, since types may contain each other in a circle: they
are resolved when a value is first read or written.
"""

from __future__ import annotations

import enum
import struct as _struct
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Generic, TypeVar

from ._errors import DecodeError, MarshalError, UserException

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

_U32 = _struct.Struct(">I")
_MAX_U32 = (1 << 32) - 1


class Reader:
    """Bytes that are decoded, and how deep values may still nest."""

    __slots__ = ("data", "depth_left", "end", "position")

    def __init__(self, data: bytes, position: int, end: int, max_depth: int) -> None:
        self.data = data
        self.position = position
        self.end = end
        self.depth_left = max_depth

    def take(self, count: int) -> int:
        """The position of the next `count` bytes, which are consumed."""
        start = self.position
        left = self.end - start
        if count > left:
            raise DecodeError(f"{count} bytes are needed, {left} are left")
        self.position = start + count
        return start

    def take_length(self) -> int:
        """A length or count, whatever it announces."""
        start = self.take(4)
        length: int = _U32.unpack_from(self.data, start)[0]
        return length

    def take_count(self, min_size: int) -> int:
        """A count of elements, which the bytes left can hold."""
        count = self.take_length()
        left = self.end - self.position
        if count * min_size > left:
            raise DecodeError(
                f"{count} elements are announced, which do not fit in the {left} bytes left"
            )
        return count

    def enter(self) -> None:
        """Begins a value that nests others; `depth_left` is raised again at its end."""
        if self.depth_left == 0:
            raise DecodeError("values nest deeper than the limit")
        self.depth_left -= 1


class Codec(Generic[T]):
    """Reads and writes values of one type."""

    __slots__ = ()

    @property
    def min_size(self) -> int:
        """The fewest bytes of a value: at least 1, except for void."""
        raise NotImplementedError

    def write(self, out: bytearray, value: T) -> None:
        """Appends a value.

        Raises `MarshalError` if the type can't express it.
        """
        raise NotImplementedError

    def read(self, reader: Reader) -> T:
        """Reads a value.

        Raises `DecodeError` if the bytes are not one.
        """
        raise NotImplementedError

    def layout(self, shown: list[Any]) -> str:
        """What the type is on the wire, as `spec/tasks.md` writes it. `shown` are the codecs of the
        structs that the text has already."""
        raise NotImplementedError


class _Number(Codec[Any]):
    __slots__ = ("_name", "_struct")

    def __init__(self, name: str, layout: str) -> None:
        self._name = name
        self._struct = _struct.Struct(layout)

    def layout(self, shown: list[Any]) -> str:
        return self._name

    @property
    def min_size(self) -> int:
        return self._struct.size

    def write(self, out: bytearray, value: Any) -> None:
        try:
            out += self._struct.pack(value)
        except (_struct.error, OverflowError) as error:
            raise MarshalError(f"{value!r} is not a value of type {self._name}") from error

    def read(self, reader: Reader) -> Any:
        packed = self._struct
        start = reader.position
        position = start + packed.size
        if position > reader.end:
            reader.take(packed.size)
        reader.position = position
        return packed.unpack_from(reader.data, start)[0]


class _Bool(Codec[bool]):
    __slots__ = ()

    @property
    def min_size(self) -> int:
        return 1

    def layout(self, shown: list[Any]) -> str:
        return "bool"

    def write(self, out: bytearray, value: bool) -> None:
        out.append(1 if value else 0)

    def read(self, reader: Reader) -> bool:
        return reader.data[reader.take(1)] != 0


class _String(Codec[str]):
    __slots__ = ()

    @property
    def min_size(self) -> int:
        return 4

    def layout(self, shown: list[Any]) -> str:
        return "string"

    def write(self, out: bytearray, value: str) -> None:
        try:
            text = value.encode()
        except (AttributeError, UnicodeEncodeError) as error:
            raise MarshalError(f"{value!r} is not a value of type string: {error}") from error
        out += _U32.pack(len(text))
        out += text

    def read(self, reader: Reader) -> str:
        length = reader.take_length()
        start = reader.take(length)
        try:
            return reader.data[start : start + length].decode()
        except UnicodeDecodeError:
            raise DecodeError("a string is not UTF-8") from None


class _Bytes(Codec[bytes]):
    __slots__ = ()

    @property
    def min_size(self) -> int:
        return 4

    def layout(self, shown: list[Any]) -> str:
        return "[byte]"

    def write(self, out: bytearray, value: bytes) -> None:
        try:
            data = memoryview(value)
        except TypeError as error:
            raise MarshalError(f"{value!r} is not a value of type sequence<byte>") from error
        out += _U32.pack(data.nbytes)
        out += data

    def read(self, reader: Reader) -> bytes:
        length = reader.take_length()
        start = reader.take(length)
        return reader.data[start : start + length]


class _Void(Codec[None]):
    __slots__ = ()

    @property
    def min_size(self) -> int:
        return 0

    def layout(self, shown: list[Any]) -> str:
        return "void"

    def write(self, out: bytearray, value: None) -> None:
        if value is not None:
            raise MarshalError(f"{value!r} is not void: the operation returns nothing")

    def read(self, reader: Reader) -> None:
        return None


class _Sequence(Codec[list[V]]):
    __slots__ = ("_element", "_resolve")

    def __init__(self, resolve: Callable[[], Codec[V]]) -> None:
        self._resolve = resolve
        self._element: Codec[V] | None = None

    @property
    def min_size(self) -> int:
        return 4

    def _codec(self) -> Codec[V]:
        if self._element is None:
            self._element = self._resolve()
        return self._element

    def layout(self, shown: list[Any]) -> str:
        return f"[{self._codec().layout(shown)}]"

    def write(self, out: bytearray, value: list[V]) -> None:
        write = self._codec().write
        _write_count(out, value)
        for element in value:
            write(out, element)

    def read(self, reader: Reader) -> list[V]:
        element = self._codec()
        count = reader.take_count(element.min_size)
        reader.enter()
        read = element.read
        values = [read(reader) for _ in range(count)]
        reader.depth_left += 1
        return values


class _Dictionary(Codec[dict[K, V]]):
    __slots__ = ("_entry", "_key", "_value")

    def __init__(self, key: Callable[[], Codec[K]], value: Callable[[], Codec[V]]) -> None:
        self._key = key
        self._value = value
        self._entry: tuple[Codec[K], Codec[V]] | None = None

    @property
    def min_size(self) -> int:
        return 4

    def _codecs(self) -> tuple[Codec[K], Codec[V]]:
        if self._entry is None:
            self._entry = self._key(), self._value()
        return self._entry

    def layout(self, shown: list[Any]) -> str:
        key, value = (codec.layout(shown) for codec in self._codecs())
        return f"<{key}:{value}>"

    def write(self, out: bytearray, value: dict[K, V]) -> None:
        key_codec, value_codec = self._codecs()
        _write_count(out, value)
        for key, entry in value.items():
            key_codec.write(out, key)
            value_codec.write(out, entry)

    def read(self, reader: Reader) -> dict[K, V]:
        key_codec, value_codec = self._codecs()
        count = reader.take_count(key_codec.min_size + value_codec.min_size)
        reader.enter()
        read_key, read_value = key_codec.read, value_codec.read
        values = {read_key(reader): read_value(reader) for _ in range(count)}
        reader.depth_left += 1
        return values


class _StructCodec(Codec[T]):
    __slots__ = ("_class", "_fields", "_min_size", "_resolve")

    def __init__(
        self, class_: Callable[..., T], resolve: Callable[[], Sequence[tuple[str, Codec[Any]]]]
    ) -> None:
        self._class = class_
        self._resolve = resolve
        self._fields: list[tuple[Callable[[Any], Any], Codec[Any]]] | None = None
        self._min_size = 0

    @property
    def min_size(self) -> int:
        self._members()
        return self._min_size

    def _members(self) -> list[tuple[Callable[[Any], Any], Codec[Any]]]:
        if self._fields is None:
            members = self._resolve()
            self._min_size = sum(codec.min_size for _, codec in members)
            self._fields = [(attrgetter(name), codec) for name, codec in members]
        return self._fields

    def layout(self, shown: list[Any]) -> str:
        if self in shown:
            return f"#{shown.index(self)}"
        shown.append(self)
        members = ",".join(codec.layout(shown) for _, codec in self._members())
        return f"{{{members}}}"

    def write(self, out: bytearray, value: T) -> None:
        try:
            for get, codec in self._members():
                codec.write(out, get(value))
        except AttributeError as error:
            raise MarshalError(f"{value!r} is not a {self._class.__name__}: {error}") from error

    def read(self, reader: Reader) -> T:
        return self._class(*[codec.read(reader) for _, codec in self._members()])


class Enum(enum.IntEnum):
    """An enum of an IDL; generated classes extend it.

    A number of a later version is kept: it becomes a member without a name of its own, which
    is equal to the number.
    """

    @property
    def is_known(self) -> bool:
        """Whether the IDL of this program has a member with this number."""
        return any(self == member for member in type(self))

    @classmethod
    def _missing_(cls, value: object) -> Any:
        if not isinstance(value, int) or not -(1 << 31) <= value < 1 << 31:
            return None
        # Not remembered: a peer decides how many there are.
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = int(value)
        return member


E = TypeVar("E", bound=Enum)


class _EnumCodec(Codec[E]):
    __slots__ = ("_class",)

    def __init__(self, class_: type[E]) -> None:
        self._class = class_

    @property
    def min_size(self) -> int:
        return INT.min_size

    def layout(self, shown: list[Any]) -> str:
        return INT.layout(shown)

    def write(self, out: bytearray, value: E) -> None:
        INT.write(out, value)

    def read(self, reader: Reader) -> E:
        return self._class(INT.read(reader))


U = TypeVar("U", bound=UserException)


class ExceptionCodec(_StructCodec[U]):
    """Reads and writes the members of an exception."""

    __slots__ = ("name",)

    def __init__(
        self,
        class_: type[U],
        name: str,
        resolve: Callable[[], Sequence[tuple[str, Codec[Any]]]],
    ) -> None:
        super().__init__(class_, resolve)
        self.name = name
        """`module.Name`"""


_EXCEPTIONS: dict[type[UserException], ExceptionCodec[Any]] = {}


def codec_of(exception: UserException) -> ExceptionCodec[Any] | None:
    """The codec of an exception, or of the class that it extends."""
    codecs = (_EXCEPTIONS.get(class_) for class_ in type(exception).__mro__)
    return next((codec for codec in codecs if codec is not None), None)


def _write_count(out: bytearray, value: Any) -> None:
    try:
        count = len(value)
    except TypeError as error:
        raise MarshalError(f"{value!r} has no elements") from error
    if count > _MAX_U32:
        raise MarshalError(f"{count} elements are too many for one value")
    out += _U32.pack(count)


BYTE: Codec[int] = _Number("byte", ">B")
SHORT: Codec[int] = _Number("short", ">h")
INT: Codec[int] = _Number("int", ">i")
LONG: Codec[int] = _Number("long", ">q")
FLOAT: Codec[float] = _Number("float", ">f")
DOUBLE: Codec[float] = _Number("double", ">d")
BOOL: Codec[bool] = _Bool()
STRING: Codec[str] = _String()
BYTES: Codec[bytes] = _Bytes()
VOID: Codec[None] = _Void()


def sequence(element: Callable[[], Codec[V]]) -> Codec[list[V]]:
    """The codec of `sequence<element>`, other than `sequence<byte>`."""
    return _Sequence(element)


def enumeration(class_: type[E]) -> Codec[E]:
    """The codec of an enum."""
    return _EnumCodec(class_)


def exception(
    class_: type[U], name: str, members: Callable[[], Sequence[tuple[str, Codec[Any]]]]
) -> ExceptionCodec[U]:
    """The codec of an exception, whose class takes its members in declared order."""
    codec = _EXCEPTIONS[class_] = ExceptionCodec(class_, name, members)
    return codec


def dictionary(key: Callable[[], Codec[K]], value: Callable[[], Codec[V]]) -> Codec[dict[K, V]]:
    """The codec of `dictionary<key, value>`."""
    return _Dictionary(key, value)


def struct(
    class_: Callable[..., T], members: Callable[[], Sequence[tuple[str, Codec[Any]]]]
) -> Codec[T]:
    """The codec of a struct, whose class takes its members in declared order."""
    return _StructCodec(class_, members)
