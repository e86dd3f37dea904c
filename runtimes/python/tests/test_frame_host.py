"""The process of a service package, as far as it needs no agent: the tests of `tce-frame` have one."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tce.frame_host import _host, _msgpack

from conftest import ROOT, tce

IDL = ROOT / "services/frame/idl/frame.idl"

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False) | st.text() | st.binary()
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(VALUES)
def test_values_are_read_back(value: Any) -> None:
    assert _msgpack.unpack(_msgpack.pack(value)) == value


@given(st.binary(max_size=60))
def test_other_bytes_are_refused(data: bytes) -> None:
    try:
        _msgpack.unpack(data)
    except _msgpack.FormatError:
        pass


def test_a_type_without_a_form_is_named_with_its_place() -> None:
    with pytest.raises(_msgpack.ValueTypeError, match=r"type `set` at \['a'\]\[1\]"):
        _msgpack.pack({"a": [1, {2}]})
    with pytest.raises(ValueError, match="more than 64 bits"):
        _msgpack.pack(2**64)
    nested: list[Any] = []
    for _ in range(100):
        nested = [nested]
    with pytest.raises(ValueError, match="64 levels"):
        _msgpack.pack(nested)


def test_a_package_that_cant_be_loaded_says_why(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "calc-2"
    folder.mkdir()
    with pytest.raises(_host.PackageError, match="__init__.py` is missing"):
        _host.load(folder, "calc", ["add"])
    init = folder / "__init__.py"
    init.write_text("from .inner import add\n")
    (folder / "inner.py").write_text("def add(a, b): return a + b\n")
    with pytest.raises(_host.PackageError, match="has no function `minus`"):
        _host.load(folder, "calc", ["add", "minus"])
    assert _host.load(folder, "calc", ["add"])["calc__add"](1, 2) == 3
    init.write_text("raise SystemExit(3)\n")
    with pytest.raises(_host.PackageError, match="^SystemExit: 3"):
        _host.load(folder, "calc", ["add"])


def test_without_an_agent_it_ends() -> None:
    command = [sys.executable, "-m", "tce.frame_host", "--package", "/", "--base", "b"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "runtimes/python/src")}
    run = subprocess.run(
        [*command, "--functions", "f"], env=environment, capture_output=True, text=True, timeout=30
    )
    assert run.returncode == 2 and "TCE_FRAME_TOKEN is not set" in run.stderr


def test_the_interface_of_agents_is_up_to_date(tmp_path: pathlib.Path) -> None:
    tce("compile", "-l", "python", "-i", str(IDL), "-o", str(tmp_path))
    recorded = ROOT / "runtimes/python/src/tce/frame_host/_frame.py"
    assert recorded.read_text() == (tmp_path / "frame.py").read_text()
