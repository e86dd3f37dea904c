"""Values of tasks as JSON, as `tce call` writes them."""

from __future__ import annotations

import base64
import dataclasses
import math
import types
import typing
from typing import Any, TypeGuard

from .._values import Enum


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether JSON has it as an array."""
    return isinstance(value, list)


def is_dict(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether JSON has it as an object."""
    return isinstance(value, dict)


def to_json(value: Any) -> Any:
    """A value as JSON has it. Raises `TypeError` for a value of no IDL type."""
    if isinstance(value, Enum):
        return value.name if value.is_known else int(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: to_json(getattr(value, name)) for name in names}
    if is_dict(value):
        return {_key(key): to_json(entry) for key, entry in value.items()}
    if is_list(value):
        return [to_json(element) for element in value]
    raise TypeError(f"{value!r} is no value of an IDL type")


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(to_json(key))


def from_json(hint: Any, value: Any) -> Any:
    """The value of a type, which generated code names by a type hint.

    Raises `ValueError` if the JSON is none. Ranges are left to the codec.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is list and is_list(value):
        return [from_json(arguments[0], element) for element in value]
    if origin is dict and is_dict(value):
        key_hint, value_hint = arguments
        return {_from_key(key_hint, key): from_json(value_hint, it) for key, it in value.items()}
    if isinstance(hint, type) and issubclass(hint, Enum):
        if isinstance(value, str) and value in hint.__members__:
            return hint[value]
        if type(value) is int:
            return hint(value)
    if hint is bytes and isinstance(value, str):
        return base64.b64decode(value, validate=True)
    if hint is bytes and is_list(value):
        return bytes(value)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and is_dict(value):
        hints = typing.get_type_hints(hint)
        unknown = value.keys() - hints.keys()
        if unknown:
            raise ValueError(f"{hint.__name__} has no member {sorted(unknown)[0]}")
        return hint(**{name: from_json(hints[name], entry) for name, entry in value.items()})
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is float and value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    if hint is int and isinstance(value, str) and value.removeprefix("-").isdecimal():
        return int(value)
    if isinstance(hint, type) and type(value) is hint and hint in (bool, int, str):
        return value
    if hint in (None, types.NoneType) and value is None:
        return None
    raise ValueError(f"expected {_name(hint)}, got {value!r}")


def _name(hint: Any) -> str:
    return str(getattr(hint, "__name__", hint))


def _from_key(hint: Any, key: str) -> Any:
    if hint is bool and key in ("true", "false"):
        return key == "true"
    if hint in (int, float):
        return from_json(float, key) if key[-1:] in ("N", "y") else hint(key)
    return from_json(hint, key)
