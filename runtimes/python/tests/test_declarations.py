"""Enums and exceptions of an IDL, as generated classes use the runtime."""

from __future__ import annotations

import base64
import copy
import pickle

import pytest
import tce
from tce import codegen as rt
from tce._message import EXCEPTION, EXCEPTION_DATA, Extra, encode_extra, read_extra
from tce._options import Limits
from tce._servant import Operation, encode_exception
from tce._values import Reader


class Color(rt.Enum):
    RED = 0
    GREEN = 5


class NotFound(rt.UserException):
    def __init__(self, code_: int, key: str) -> None:
        super().__init__("shop.NotFound", code_, key, detail=key)
        self.code_ = code_
        self.key = key


class Gone(rt.UserException):
    def __init__(self) -> None:
        super().__init__("shop.Gone")


ColorCodec: rt.Codec[Color] = rt.enumeration(Color)
NotFoundCodec = rt.exception(
    NotFound, "shop.NotFound", lambda: [("code_", rt.INT), ("key", rt.STRING)]
)
GoneCodec = rt.exception(Gone, "shop.Gone", lambda: [])
FIND: Operation[None] = rt.Operation(
    "shop::Shop::find", 0, 0, lambda: [], lambda: rt.VOID, throws=lambda: [NotFoundCodec]
)


def extra(pairs: dict[str, str]) -> Extra:
    data = len(pairs).to_bytes(4, "big") + encode_extra(pairs)
    return read_extra(data, 0, len(data), Limits())[0]


def test_a_number_of_a_later_version_is_kept() -> None:
    out = bytearray()
    for number in (5, 99, -(2**31)):
        ColorCodec.write(out, Color(number))
    reader = Reader(bytes(out), 0, len(out), 8)
    read = [ColorCodec.read(reader) for _ in range(3)]
    assert read == [Color.GREEN, 99, -(2**31)]
    assert [color.is_known for color in read] == [True, False, False]
    assert read[0] is Color.GREEN
    assert read[1].name == "UNKNOWN_99"
    assert {read[1]: 1}[Color(99)] == 1
    assert list(Color) == [Color.RED, Color.GREEN]
    for again in (copy.deepcopy(read[1]), pickle.loads(pickle.dumps(read[1]))):
        assert again == read[1] and type(again) is Color


@pytest.mark.parametrize("value", [2**31, "RED", None])
def test_what_is_no_int_is_no_member(value: object) -> None:
    with pytest.raises(ValueError):
        Color(value)


def test_an_exception_is_an_error_with_its_members() -> None:
    error = NotFound(7, "socks")
    assert isinstance(error, tce.RpcError)
    assert error.text == "shop.NotFound: socks"
    assert (error.code, error.code_) == (8, 7)
    assert Gone().text == "shop.Gone"
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, NotFound) and (again.code_, again.key) == (7, "socks")


def test_an_exception_comes_back_from_the_extra() -> None:
    pairs = encode_exception(NotFound(7, "socks"))
    error = FIND.decode_exception(extra(pairs), 8)
    assert isinstance(error, NotFound)
    assert (error.code_, error.key) == (7, "socks")
    # Not declared by the operation.
    assert FIND.decode_exception(extra(encode_exception(Gone())), 8) is None


def test_a_class_of_the_program_is_sent_as_the_generated_one() -> None:
    class Special(NotFound):
        pass

    assert encode_exception(Special(1, "x"))[EXCEPTION] == "shop.NotFound"


@pytest.mark.parametrize(
    "data",
    ["?", "AAAA A==", "AAAAAA", base64.b64encode(b"\0" * 7).decode(), "/////////////w==", ""],
)
def test_data_that_is_no_exception_is_none(data: str) -> None:
    pairs = {EXCEPTION: "shop.NotFound", EXCEPTION_DATA: data}
    assert FIND.decode_exception(extra(pairs), 8) is None
