"""The reference in `docs/python` has every public name with its docstring. `BLESS=1`
writes it anew."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import os
from collections.abc import Iterator

import tce
from conftest import ROOT

REFERENCE = ROOT / "docs/python/reference.md"

HEADER = """# Reference: the package `tce`

Written from the docstrings by `runtimes/python/tests/test_reference.py`. [TCE in Python](README.md) explains how the parts work together; generated code imports from `tce.codegen`, which is not for programs.
"""

PARTS = {
    "Calls with asyncio": lambda module: "blocking" not in module,
    "Calls that block": lambda module: "blocking" in module,
}


def summary(item: object) -> str:
    """The first paragraph of a docstring, on one line."""
    text = inspect.getdoc(item) or ""
    return " ".join(text.split("\n\n")[0].split())


def signature(function: object) -> str:
    """The parameters and the result, without `self`."""
    found = inspect.signature(function)  # type: ignore[arg-type]
    parameters = [it for it in found.parameters.values() if it.name not in ("self", "cls")]
    text = str(found.replace(parameters=parameters))
    return text.replace("'", "").replace("tce._", "")


def members(item: type) -> Iterator[tuple[str, str]]:
    """The public members of a class, those of its bases in the package included."""
    if issubclass(item, enum.Enum):
        yield from ((member.name, f"= {member.value!r}") for member in item)
        return
    fields = dataclasses.fields(item) if dataclasses.is_dataclass(item) else ()
    yield from ((field.name, f"`{field.type}`") for field in fields)
    own = [base for base in item.__mro__ if base.__module__.startswith("tce")]
    seen = {field.name for field in fields}
    for base in own:
        for name, member in vars(base).items():
            if name.startswith("_") or name in seen:
                continue
            seen.add(name)
            function = getattr(member, "__func__", member)
            if isinstance(member, property):
                yield name, summary(member)
            elif inspect.isfunction(function):
                is_async = inspect.iscoroutinefunction(function)
                yield f"{'await ' if is_async else ''}{name}{signature(function)}", summary(function)


def page() -> str:
    text = HEADER
    for part, belongs in PARTS.items():
        text += f"\n## {part}\n"
        for name in tce.__all__:
            item = getattr(tce, name)
            if not belongs(item.__module__):
                continue
            if not inspect.isclass(item):
                text += f"\n### {name}{signature(item)}\n\n{summary(item)}\n"
                continue
            text += f"\n### {name}\n\n{summary(item)}\n"
            # What has no documentation is not for programs.
            found = [(of, what) for of, what in members(item) if what]
            rows = ["| `{}` | {} |".format(*(it.replace("|", "\\|") for it in row)) for row in found]
            if rows:
                text += "\n".join(["\n| | |", "| --- | --- |", *rows, ""])
    return text


def test_the_reference_has_every_public_name() -> None:
    text = page()
    if "BLESS" in os.environ:
        REFERENCE.write_text(text)
    assert REFERENCE.read_text() == text, "BLESS=1 writes the reference anew"


def test_every_public_name_is_documented() -> None:
    missing = [name for name in tce.__all__ if not summary(getattr(tce, name))]
    assert missing == []
