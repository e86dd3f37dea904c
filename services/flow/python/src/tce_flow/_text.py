"""Parts of definition text."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.]*")


def checked_name(name: str) -> str:
    """A name of a node or an attribute. Raises `ValueError` if it is none."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: letters, digits, `_` and, not first, `.`")
    return name


def quoted(value: object) -> str:
    """A value in the kind of quotes that holds it. Raises `ValueError` if neither does."""
    text = str(value)
    if "\n" not in text and "\r" not in text:
        for quote in "'\"":
            # A quote ends the value before a blank or `;`, and at the end of the line.
            if not re.search(f"{quote}($|[ \t;])", text):
                return f"{quote}{text}{quote}"
    raise ValueError(f"a definition can't hold the value {text!r}")


def expression(text: str) -> str:
    """An expression on one line. Raises `ValueError` if it would not end with its statement."""
    if any(letter in text for letter in ";#\\"):
        raise ValueError(f"{text!r} is no expression")
    return " ".join(text.split())
