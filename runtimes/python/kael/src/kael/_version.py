"""The order of versions, as agents have it."""

from __future__ import annotations


Key = tuple[tuple[int, ...], bool, tuple[tuple[int, int, str], ...]]


def version_text(version: object) -> str:
    """A version as text; a float is its shortest text, so that `1.10` has to be quoted."""
    return "" if version is None else str(version)


def version_key(text: str) -> Key:
    """Sorts versions: dotted parts as numbers, a `-suffix` below none as in SemVer."""
    text = text.split("+", 1)[0]
    numbers, has_suffix, suffix = text.partition("-")
    parts = [int(part) if part.isdecimal() else 0 for part in numbers.split(".")]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    identifiers = suffix.split(".") if has_suffix else []
    # Numbers are below words.
    order = tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in identifiers
    )
    return tuple(parts), not has_suffix, order
