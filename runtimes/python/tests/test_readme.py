"""The programs of the documents run as they are written."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
from collections.abc import Callable

from conftest import ROOT, TARGET, Program, generate


def program(path: pathlib.Path, endpoint: str) -> str:
    """The first program of a document, which calls this endpoint."""
    found = re.search(r"^```python\n(.*?)^```", path.read_text(), re.S | re.M)
    assert found is not None and "tcp://localhost:12002" in found[1]
    return found[1].replace("tcp://localhost:12002", endpoint)


def test_the_first_programs_call_a_server_in_rust(
    tmp_path: pathlib.Path, programs: Callable[..., Program]
) -> None:
    generate(tmp_path / "gen", "asyncio", ROOT / "tests/idl/test.idl")
    server = programs(str(TARGET / "simple-server"), "--endpoint", "tcp://127.0.0.1:0")
    endpoint = server.line("listening on ")
    for document in ("README.md", "runtimes/python/README.md"):
        result = subprocess.run(
            [sys.executable, "-c", program(ROOT / document, endpoint)],
            cwd=tmp_path, env={"PYTHONPATH": f"{ROOT / 'runtimes/python/src'}:{tmp_path}"},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (result.stdout, result.stderr) == ("Yah! hello\n", ""), document
