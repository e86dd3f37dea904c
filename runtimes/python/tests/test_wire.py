"""The bytes: recorded frames of other implementations, limits, escapes."""

from __future__ import annotations

import json
import math
import struct
import zlib
from dataclasses import asdict
from typing import Any

import pytest
import tce
from conftest import ROOT
from gen import test as idl
from gen import zoo
from tce import Limits, MarshalError, _frame, _message
from tce import codegen as rt
from tce._errors import FrameError
from tce._frame import Deframer
from tce._message import EMPTY, escape_ascii, read_extra, unescape_ascii

LIMITS = Limits()
OPERATIONS = {
    operation.name: operation
    for servant in (idl.BaseServer, idl.Server, idl.ITerminal, zoo.Keeper)
    for operation in servant._interface.operations.values()
}


def recorded(name: str) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = json.loads(
        (ROOT / f"tests/vectors/{name}-client.json").read_text()
    )["frames"]
    return frames


ALL = [
    pytest.param(frame, id=f"{name}-{frame['sequence']}")
    for name in ("python", "java", "javascript")
    for frame in recorded(name)
]


def bytes_of(frame: dict[str, Any]) -> bytes:
    return bytes.fromhex("".join(frame.get("websocket_messages", [frame.get("frame", "")])))


def plain(value: Any) -> Any:
    """A value as the files of recorded frames write it."""
    if isinstance(value, (zoo.Pet, zoo.Family)):
        return plain(asdict(value))
    if isinstance(value, (bytes, list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value


@pytest.mark.parametrize("frame", ALL)
def test_recorded_frames_decode_and_encode_the_same(frame: dict[str, Any]) -> None:
    ((data, start, end),) = Deframer(LIMITS).feed(bytes_of(frame))
    fields = _message.HEADER.unpack_from(data, start)
    names = "msgtype sequence calltype ifidx opidx errcode paramsize call_id".split()
    assert dict(zip(names, fields)) == {name: frame[name] for name in names}
    extra, position = read_extra(data, start + _message.HEADER_SIZE, end, LIMITS)
    assert extra.as_dict() == frame["extra"]
    assert data[position:end].hex() == frame["params"]
    operation = OPERATIONS[frame["operation"]]
    arguments = operation.decode_parameters(data, position, end, LIMITS)
    assert plain(arguments) == [
        pytest.approx(value) if isinstance(value, float) else value for value in frame["values"]
    ]
    assert operation.encode_parameters(tuple(arguments)).hex() == frame["params"]
    pairs = (extra.count, _message.encode_extra(extra.as_dict()))
    params = operation.encode_parameters(tuple(arguments))
    again = bytearray(_message.frame(*fields[1:6], fields[7], pairs, params))
    # paramsize, which we write as 0 and receivers ignore.
    again[_frame.HEADER_SIZE + 14] = frame["paramsize"]
    assert again[_frame.HEADER_SIZE :] == data[start:end]


@pytest.mark.parametrize("size", [1, 2, 13, 14, 15, 1000])
def test_frames_may_be_divided_and_joined_in_any_way(size: int) -> None:
    frames = [bytes_of(frame) for name in ("python", "java") for frame in recorded(name)]
    stream = b"".join(frames)
    whole = [data[a:b] for data, a, b in Deframer(LIMITS).feed(stream)]
    assert len(whole) == len(frames)
    deframer = Deframer(LIMITS)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    parts = [data[a:b] for piece in pieces for data, a, b in deframer.feed(piece)]
    assert parts == whole
    assert not deframer.is_partial


def header(size: int, compress: int = 0, encrypt: int = 0, magic: int = _frame.MAGIC) -> bytes:
    return struct.pack(">IIBBI", magic, size, compress, encrypt, 0)


BOMB = zlib.compress(bytes(17 << 20))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"GET / HTTP/1.1\r\n", "wrong magic 0x47455420"),
        (b"GET ", "wrong magic"),
        (header(10), "announces the size 10"),
        (header((4 << 20) + 1), "more than the limit of 4194304"),
        (header(11, compress=2), "unknown compression 2"),
        (header(11, encrypt=1), "unknown encryption 1"),
        (header(14, compress=1) + b"junk", "does not inflate"),
        (header(len(BOMB[:-9]) + 10, 1) + BOMB[:-9], "inflate"),
        (header(len(BOMB) + 10, 1) + BOMB, "inflates to more than the limit of 16777216"),
    ],
)
def test_what_breaks_the_framing_is_named(data: bytes, text: str) -> None:
    for size in (len(data), 1):
        deframer = Deframer(LIMITS)
        with pytest.raises(FrameError, match=text):
            for at in range(0, len(data), size):
                list(deframer.feed(data[at : at + size]))


def test_zeros_behind_a_zlib_stream_are_ignored() -> None:
    stream = zlib.compress(b"a" * 500) + bytes(300)
    frame = header(len(stream) + 10, 1) + stream
    ((data, start, end),) = Deframer(LIMITS).feed(frame)
    assert data[start:end] == b"a" * 500


def test_payloads_above_100_bytes_are_compressed_if_that_is_shorter() -> None:
    for payload, is_shorter in ((b"a" * 100, False), (b"a" * 101, True), (bytes(range(256)), False)):
        frame = header(len(payload) + 10) + payload
        compressed = _frame.compress(frame)
        assert (len(compressed) < len(frame)) == is_shorter
        ((data, start, end),) = Deframer(LIMITS).feed(compressed)
        assert data[start:end] == payload


def test_values_at_the_limits_of_their_types_come_back() -> None:
    pet = zoo.Pet("𝄞 \0", 255, True, -(1 << 15), (1 << 31) - 1, -(1 << 63), 1.5, -0.0)
    pet.tags = ["", "x" * (1 << 20)]
    pet.blob = bytes(range(256))
    family = zoo.Family("", [pet], {"a": pet, "": zoo.Pet()}, pet)
    operation = OPERATIONS["zoo::Keeper::roundtrip"]
    params = bytes(operation.encode_parameters((family,)))
    (back,) = operation.decode_parameters(params, 0, len(params), LIMITS)
    assert back == family
    assert math.copysign(1, back.chief.dbl) == -1
    out = bytearray()
    rt.DOUBLE.write(out, math.nan)
    operation = OPERATIONS["zoo::Keeper::real"]
    assert math.isnan(operation.decode_parameters(bytes(out), 0, 8, LIMITS)[0])


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (rt.BYTE, 256),
        (rt.BYTE, -1),
        (rt.SHORT, 1 << 15),
        (rt.INT, -(1 << 31) - 1),
        (rt.LONG, 1 << 63),
        (rt.INT, 1.0),
        (rt.INT, "1"),
        (rt.FLOAT, 1e300),
        (rt.STRING, b"bytes"),
        (rt.STRING, "\ud800"),
        (rt.BYTES, "text"),
        (rt.VOID, 1),
        (zoo.IntListCodec, 5),
        (zoo.StrIntCodec, {"a": "b"}),
        (zoo.PetCodec, "no pet"),
        (zoo.PetCodec, zoo.Pet(b=300)),
    ],
)
def test_a_value_that_its_type_cannot_express_is_refused(codec: Any, value: Any) -> None:
    with pytest.raises(MarshalError):
        codec.write(bytearray(), value)


@pytest.mark.parametrize(
    ("codec", "data", "text"),
    [
        (rt.INT, "000000", "4 bytes are needed, 3 are left"),
        (rt.STRING, "ffffffff61", "4294967295 bytes are needed"),
        (rt.STRING, "00000001ff", "not UTF-8"),
        (zoo.IntTableCodec, "00000002" + "00" * 7, "2 elements are announced"),
        (zoo.StrIntCodec, "ffffffff", "4294967295 elements are announced"),
        (zoo.PetListCodec, "00000002" + "00" * 40, "do not fit in the 40 bytes left"),
    ],
)
def test_a_count_is_not_trusted(codec: Any, data: str, text: str) -> None:
    raw = bytes.fromhex(data)
    with pytest.raises(tce.DecodeError, match=text):
        codec.read(rt_reader(raw))


def rt_reader(data: bytes) -> Any:
    from tce._values import Reader

    return Reader(data, 0, len(data), LIMITS.max_depth)


def test_nesting_has_a_limit() -> None:
    codec: Any = rt.INT
    for _ in range(65):
        codec = rt.sequence(lambda inner=codec: inner)
    with pytest.raises(tce.DecodeError, match="nest deeper than the limit"):
        codec.read(rt_reader(bytes.fromhex("00000001") * 66))


@pytest.mark.parametrize("data", ["000004010000", "00000001ffffffff", "00000001" + "00000000"])
def test_extra_is_limited(data: str) -> None:
    raw = bytes.fromhex(data)
    with pytest.raises(tce.DecodeError):
        read_extra(raw, 0, len(raw), LIMITS)
    pairs = _message.encode_extra({"key": "x" * (64 << 10)})
    raw = struct.pack(">I", 1) + pairs
    with pytest.raises(tce.DecodeError, match="more bytes than the limit"):
        read_extra(raw, 0, len(raw), LIMITS)


def test_extra_need_not_be_utf8_and_the_last_of_two_values_counts() -> None:
    pairs = [(b"a", b"\xe9"), (b"a", b"2"), (b"\xff", b"")]
    raw = struct.pack(">I", 3) + _message.encode_pairs(pairs)
    extra, end = read_extra(raw, 0, len(raw), LIMITS)
    assert (extra.pairs, end) == (pairs, len(raw))
    assert extra.get("a") == "2"
    assert extra.as_dict() == {"a": "2", "\ufffd": ""}
    count, patched = extra.with_pairs({"a": "3"})
    assert (count, patched) == (2, _message.encode_pairs([(b"\xff", b""), (b"a", b"3")]))
    assert EMPTY.get("a") is None


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("café \\u \\n", r"caf\u00e9 \u005cu \n"),
        ("𝄞", r"\ud834\udd1e"),
        ("plain", "plain"),
    ],
)
def test_error_texts_are_ascii(text: str, escaped: str) -> None:
    assert escape_ascii(text) == escaped
    assert unescape_ascii(escaped) == text
    assert unescape_ascii(r"\ud834 \u12") == "\ufffd \\u12"
