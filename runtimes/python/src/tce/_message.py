"""Messages: header, extra, parameters (`spec/wire.md`, sections 2 and 5)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping

from . import _frame
from ._errors import DecodeError, MarshalError
from ._options import Limits

HEADER = struct.Struct(">BIBHHIBH")
"""msgtype, sequence, calltype, ifidx, opidx, errcode, paramsize, call_id."""
HEADER_SIZE = HEADER.size
HEADER_AND_COUNT = struct.Struct(">BIBHHIBHI")
"""The header, and the count of extra."""
_WHOLE = struct.Struct(">IIBBIBIBHHIBHI")
"""The frame's header, the message's header, and the count of extra."""
_U32 = struct.Struct(">I")
COUNT_SIZE = _U32.size
"""Bytes of the number of pairs of an extra."""

RPC = 1
TWOWAY = 0x01
ONEWAY = 0x21
RETURN = 0x02
IS_CALL = 0x01
IS_RETURN = 0x02
IS_ONEWAY = 0x20
ROUTED = 0x8000
"""The bit of call_id by which a gateway marks what it forwards."""
BUILTIN_INTERFACE = 65535
PING = 0
DESCRIBE = 1
LOGIN = 2
REFRESH = 3
GO_AWAY = 4
HELLO = 5
BYE = 6
GOODBYE = 0xFFFF_FFFF
"""The sequence of the RETURN by which a peer says why it closes the connection."""

TOKEN = "__token__"
DEVICE_ID = "__device_id__"
EXPIRES_IN = "__expires_in__"
RESUME = "__resume__"
EPOCH = "__epoch__"
OFFSET = "__offset__"
RECOVERED = "__recovered__"
CLOSE = "__close__"
USER_ID = "__user_id__"
MQ_RETURN = "__mq_return__"
LINGER_TIME = "__linger_time__"
DEADLINE = "__deadline__"
REDELIVERED = "__redelivered__"
TO = "__to__"
NOT_TO = "__not_to__"
REPLIER = "__replier__"
ROSTER = "__roster__"
ERROR = "__error__"
EXCEPTION = "__exception__"
EXCEPTION_DATA = "__exception_data__"

MAX_ERROR_TEXT = 8 << 10
"""The bytes of an error's text in UTF-8 that are sent."""

Pairs = list[tuple[bytes, bytes]]


def encode_extra(pairs: Mapping[str, str]) -> bytes:
    """The pairs as they are sent, without their count."""
    out = bytearray()
    try:
        for pair in pairs.items():
            for text in pair:
                data = text.encode()
                out += _U32.pack(len(data))
                out += data
    except (AttributeError, UnicodeEncodeError) as error:
        raise MarshalError(f"extra takes strings: {error}") from error
    return bytes(out)


def encode_pairs(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """As `encode_extra`, for pairs that need not be text."""
    return b"".join(
        _U32.pack(len(key)) + key + _U32.pack(len(value)) + value for key, value in pairs
    )


def frame(
    sequence: int,
    calltype: int,
    ifidx: int,
    opidx: int,
    errcode: int,
    call_id: int,
    extra: tuple[int, bytes],
    params: bytes | bytearray,
) -> bytes:
    """A message in a frame, with the count and the pairs of its extra."""
    count, pairs = extra
    size = _WHOLE.size - _frame.HEADER_SIZE + _frame.SIZE_OVERHEAD + len(pairs) + len(params)
    header = _WHOLE.pack(
        _frame.MAGIC, size, 0, 0, _frame.VERSION,
        RPC, sequence, calltype, ifidx, opidx, errcode, 0, call_id, count,
    )  # fmt: skip
    return header + pairs + params if pairs else header + params


class Extra:
    """The extra of a message: as it was sent, and as text."""

    __slots__ = ("_pairs", "count", "raw")

    def __init__(self, count: int, raw: bytes) -> None:
        self.count = count
        self.raw = raw
        """The pairs without their count."""
        self._pairs: Pairs | None = None

    @property
    def pairs(self) -> Pairs:
        if self._pairs is None:
            pairs: Pairs = []
            position = 0
            for _ in range(self.count):
                key, position = _text(self.raw, position)
                value, position = _text(self.raw, position)
                pairs.append((key, value))
            self._pairs = pairs
        return self._pairs

    def get(self, key: str) -> str | None:
        """The value of a key; of one that was sent twice the last value."""
        if not self.count:
            return None
        wanted = key.encode()
        found = None
        for name, value in self.pairs:
            if name == wanted:
                found = value
        return None if found is None else found.decode(errors="replace")

    def as_dict(self) -> dict[str, str]:
        """All pairs, with U+FFFD in place of what is not UTF-8."""
        return {
            key.decode(errors="replace"): value.decode(errors="replace")
            for key, value in self.pairs
        }

    def with_pairs(self, added: Mapping[str, str]) -> tuple[int, bytes]:
        """Count and pairs of this with others, which replace those of the same key."""
        if not added:
            return self.count, self.raw
        keys = {key.encode() for key in added}
        kept = [pair for pair in self.pairs if pair[0] not in keys]
        return len(kept) + len(added), encode_pairs(kept) + encode_extra(added)


EMPTY = Extra(0, b"")


_MAX_DIGITS = 18


def number(text: str | None) -> int | None:
    """A decimal number of an extra, if it is one."""
    if text and text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS:
        return int(text)
    return None


def _text(data: bytes, position: int) -> tuple[bytes, int]:
    length: int = _U32.unpack_from(data, position)[0]
    start = position + 4
    return data[start : start + length], start + length


def read_extra(data: bytes, position: int, end: int, limits: Limits) -> tuple[Extra, int]:
    """The extra that begins at a position, and where it ends.

    Raises `DecodeError` where it does not decode or exceeds the limits.
    """
    if end - position < 4:
        raise DecodeError(f"4 bytes are needed, {end - position} are left")
    count: int = _U32.unpack_from(data, position)[0]
    first = position = position + 4
    if count == 0:
        return EMPTY, position
    if count > limits.max_extra_entries:
        raise DecodeError(
            f"the extra map has entries: {count}, more than the limit of {limits.max_extra_entries}"
        )
    for _ in range(2 * count):
        if end - position < 4:
            raise DecodeError(f"4 bytes are needed, {end - position} are left")
        length: int = _U32.unpack_from(data, position)[0]
        position += 4
        if length > end - position:
            raise DecodeError(f"{length} bytes are needed, {end - position} are left")
        position += length
        if position - first + COUNT_SIZE > limits.max_extra_bytes:
            raise DecodeError(
                f"the extra map has more bytes than the limit of {limits.max_extra_bytes}"
            )
    return Extra(count, data[first:position]), position


def shortened(text: str) -> str:
    """The beginning of an error's text, so that it fits into the extra of a RETURN."""
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= MAX_ERROR_TEXT:
        return text
    return data[:MAX_ERROR_TEXT].decode("utf-8", "ignore")


def escape_ascii(text: str) -> str:
    r"""A text in ASCII: each other character as `\uXXXX`, and a backslash before u as `\u005c`."""
    if text.isascii() and "\\u" not in text:
        return text
    escaped: list[str] = []
    for at, char in enumerate(text):
        if char.isascii() and not (char == "\\" and text[at + 1 : at + 2] == "u"):
            escaped.append(char)
            continue
        units = char.encode("utf-16-be", "surrogatepass")
        escaped += [f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)]
    return "".join(escaped)


_ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")


def unescape_ascii(text: str) -> str:
    """The text that `escape_ascii` has escaped; half of a surrogate pair becomes U+FFFD."""

    def unescaped(match: re.Match[str]) -> str:
        units = bytes.fromhex(match.group().replace("\\u", ""))
        return units.decode("utf-16-be", "replace")

    return _ESCAPES.sub(unescaped, text)
