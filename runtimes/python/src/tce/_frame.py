"""Frames, which delimit messages in a byte stream (`spec/wire.md`, section 1)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from ._errors import FrameError
from ._options import Limits

HEADER = struct.Struct(">IIBBI")
"""Magic, size, compress, encrypt, version."""
HEADER_SIZE = HEADER.size
MAGIC = 0xEFD2BB99
VERSION = 0x0000_0100
"""As Java and JavaScript write it; receivers ignore it."""
SIZE_OVERHEAD = 10
"""The bytes that `size` counts beside the payload."""
COMPRESS_THRESHOLD = 100
"""Payloads of more bytes are compressed where the endpoint says so."""

_MAGIC_BYTES = MAGIC.to_bytes(4, "big")


def compress(frame: bytes) -> bytes:
    """The frame with a compressed payload, if that is worth it."""
    if len(frame) - HEADER_SIZE <= COMPRESS_THRESHOLD:
        return frame
    stream = zlib.compress(memoryview(frame)[HEADER_SIZE:], 1)
    if len(stream) >= len(frame) - HEADER_SIZE:
        return frame
    return HEADER.pack(MAGIC, len(stream) + SIZE_OVERHEAD, 1, 0, VERSION) + stream


def _check(header: tuple[int, int, int, int, int], limits: Limits) -> int:
    """The size of the payload that a header announces."""
    magic, size, compressed, encrypted, _ = header
    if magic != MAGIC:
        raise FrameError(
            f"wrong magic {magic:#010x}: the peer does not speak TCE, "
            "or the endpoint's type is wrong"
        )
    if size > limits.max_frame:
        raise FrameError(
            f"a frame announces {size} bytes, more than the limit of {limits.max_frame}"
        )
    if size <= SIZE_OVERHEAD:
        raise FrameError(f"a frame announces the size {size}; the minimum with a payload is 11")
    if compressed > 1:
        raise FrameError(f"a frame has the unknown compression {compressed}")
    if encrypted:
        raise FrameError(f"a frame has the unknown encryption {encrypted}")
    return size - SIZE_OVERHEAD


def _inflate(stream: bytes | memoryview, limit: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        # Never 0 bytes more, which would mean no limit.
        payload = inflater.decompress(stream, limit + 1)
    except zlib.error:
        raise FrameError("a frame's zlib stream does not inflate") from None
    if len(payload) > limit:
        raise FrameError(f"a frame inflates to more than the limit of {limit} bytes")
    if not inflater.eof:
        raise FrameError("a frame's zlib stream does not inflate")
    return payload


class Deframer:
    """Divides a byte stream into payloads. What follows a mistake is not read."""

    __slots__ = ("_carry", "_limits", "frames")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._carry = bytearray()
        self.frames = 0
        """How many have been complete."""

    @property
    def is_partial(self) -> bool:
        """Whether a frame has begun that has not ended."""
        return bool(self._carry)

    def feed(self, data: bytes) -> Iterator[tuple[bytes, int, int]]:
        """The payloads that `data` completes: bytes, and where a payload begins and ends.

        Raises `FrameError` after the payloads before a mistake. All of them have to be
        taken before the next call.
        """
        position = 0
        if self._carry:
            position = self._top_up(data)
            if position < 0:
                return
            frame = bytes(self._carry)
            self._carry = bytearray()
            yield self._payload(frame, 0, len(frame) - HEADER_SIZE)
        length = len(data)
        while True:
            if length - position < HEADER_SIZE:
                break
            size = _check(HEADER.unpack_from(data, position), self._limits)
            end = position + HEADER_SIZE + size
            if end > length:
                break
            payload = self._payload(data, position, size)
            position = end
            yield payload
        if position < length:
            self._carry += memoryview(data)[position:]
            self._check_magic()

    def _payload(self, data: bytes, position: int, size: int) -> tuple[bytes, int, int]:
        self.frames += 1
        start = position + HEADER_SIZE
        # The field `compress` of the header.
        if data[position + 8]:
            stream = memoryview(data)[start : start + size]
            payload = _inflate(stream, self._limits.max_inflated)
            return payload, 0, len(payload)
        return data, start, start + size

    def _top_up(self, data: bytes) -> int:
        """Adds to the frame that has begun; the bytes used, or -1 if it has not ended."""
        carry = self._carry
        used = max(0, min(HEADER_SIZE - len(carry), len(data)))
        carry += data[:used]
        self._check_magic()
        if len(carry) < HEADER_SIZE:
            return -1
        end = HEADER_SIZE + _check(HEADER.unpack_from(carry), self._limits)
        missing = end - len(carry)
        carry += memoryview(data)[used : used + missing]
        return used + missing if len(carry) == end else -1

    def _check_magic(self) -> None:
        """Ends the connection of a peer that speaks another protocol before its 14th byte."""
        if len(self._carry) >= 4 and not self._carry.startswith(_MAGIC_BYTES):
            _check((int.from_bytes(self._carry[:4], "big"), 0, 0, 0, 0), self._limits)
