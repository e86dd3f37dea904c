"""MessagePack of the types that functions may take and return.

Agents run on machines with nothing but Python, so this needs no package.
"""

from __future__ import annotations

import struct
from typing import Any, TypeGuard

MAX_DEPTH = 64
"""The deepest nesting of lists and dicts."""


class ValueTypeError(TypeError):
    """A value of a type that has no form in MessagePack."""


class FormatError(ValueError):
    """Bytes that are not MessagePack of the types that functions take."""


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether the value is a list, of anything."""
    return isinstance(value, list)


def is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    """Whether the value is a dict, of anything."""
    return isinstance(value, dict)


def _is_tuple(value: object) -> TypeGuard[tuple[Any, ...]]:
    return isinstance(value, tuple)


def pack(value: object) -> bytes:
    """Packs None, bool, int, float, str, bytes, list, tuple and dict.

    Raises `ValueTypeError` for any other type, with its name and its place, and `ValueError` for a
    number that has more than 64 bits and for values that nest deeper than 64 levels.
    """
    out = bytearray()
    _pack(out, value, "", MAX_DEPTH)
    return bytes(out)


def _pack(out: bytearray, value: object, place: str, depth: int) -> None:
    if value is None:
        out.append(0xC0)
    elif value is False or value is True:
        out.append(0xC3 if value else 0xC2)
    elif isinstance(value, int):
        _pack_int(out, value, place)
    elif isinstance(value, float):
        out += struct.pack(">Bd", 0xCB, value)
    elif isinstance(value, str):
        data = value.encode()
        _pack_size(out, len(data), (0xA0, 31), (0xD9, 0xDA, 0xDB))
        out += data
    elif isinstance(value, (bytes, bytearray)):
        data = bytes(value)
        _pack_size(out, len(data), None, (0xC4, 0xC5, 0xC6))
        out += data
    elif is_list(value) or _is_tuple(value):
        _check_depth(place, depth)
        _pack_size(out, len(value), (0x90, 15), (None, 0xDC, 0xDD))
        for index, item in enumerate(value):
            _pack(out, item, f"{place}[{index}]", depth - 1)
    elif is_dict(value):
        _check_depth(place, depth)
        _pack_size(out, len(value), (0x80, 15), (None, 0xDE, 0xDF))
        for key, item in value.items():
            _pack(out, key, f"{place} key {key!r:.40}", depth - 1)
            _pack(out, item, f"{place}[{key!r:.40}]", depth - 1)
    else:
        kind = type(value)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        name = f"{module}{kind.__name__}"
        where = f" at {place.strip()}" if place else ""
        raise ValueTypeError(
            f"a value of type `{name}`{where} can't be sent: the types are None, bool, int, float, "
            "str, bytes, list and dict"
        )


def _check_depth(place: str, depth: int) -> None:
    if depth == 0:
        raise ValueError(f"the value nests deeper than {MAX_DEPTH} levels at {place[:80]}")


def _pack_int(out: bytearray, value: int, place: str) -> None:
    if 0 <= value < 0x80:
        out.append(value)
    elif -0x20 <= value < 0:
        out.append(value & 0xFF)
    elif 0 <= value < 1 << 64:
        out += struct.pack(">BQ", 0xCF, value)
    elif -(1 << 63) <= value < 0:
        out += struct.pack(">Bq", 0xD3, value)
    else:
        where = f" at {place.strip()}" if place else ""
        raise ValueError(f"an int{where} has more than 64 bits")


def _pack_size(
    out: bytearray, size: int, short: tuple[int, int] | None, codes: tuple[int | None, int, int]
) -> None:
    if short is not None and size <= short[1]:
        out.append(short[0] | size)
    elif size < 1 << 8 and codes[0] is not None:
        out += struct.pack(">BB", codes[0], size)
    elif size < 1 << 16:
        out += struct.pack(">BH", codes[1], size)
    else:
        out += struct.pack(">BI", codes[2], size)


def unpack(data: bytes) -> Any:
    """Raises `FormatError`. Sizes are checked before memory is allocated."""
    reader = _Reader(data)
    value = reader.value(MAX_DEPTH)
    if reader.at != len(data):
        raise FormatError("bytes follow the value")
    return value


_NUMBERS = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h",
    0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_SIZES = {
    0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I", 0xDC: ">H", 0xDD: ">I",
    0xDE: ">H", 0xDF: ">I",
}  # fmt: skip


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise FormatError("the value is cut off")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def value(self, depth: int) -> Any:
        if depth < 0:
            raise FormatError(f"the value nests deeper than {MAX_DEPTH} levels")
        code = self.take(1)[0]
        if code < 0x80:
            return code
        if code >= 0xE0:
            return code - 0x100
        if code in _NUMBERS:
            return self.number(_NUMBERS[code])
        if code in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[code]
        if code in _SIZES:
            size = self.number(_SIZES[code])
        elif code < 0x90 or code < 0xA0:
            size = code & 0x0F
        elif code < 0xC0:
            size = code & 0x1F
        else:
            raise FormatError(f"the type 0x{code:02x} is none that functions take")
        if 0xA0 <= code < 0xC0 or 0xD9 <= code <= 0xDB:
            try:
                return self.take(size).decode()
            except UnicodeDecodeError:
                raise FormatError("a str is not UTF-8") from None
        if 0xC4 <= code <= 0xC6:
            return self.take(size)
        if 0x90 <= code < 0xA0 or code in (0xDC, 0xDD):
            self.check(size)
            return [self.value(depth - 1) for _ in range(size)]
        self.check(2 * size)
        entries: dict[Any, Any] = {}
        for _ in range(size):
            key = self.value(depth - 1)
            if isinstance(key, (list, dict)):
                raise FormatError("a list or a dict is no key")
            entries[key] = self.value(depth - 1)
        return entries

    def check(self, items: int) -> None:
        if items > len(self.data) - self.at:
            raise FormatError("the value is cut off")
