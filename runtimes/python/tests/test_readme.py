"""The programs of the documents run as they are written."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
from collections.abc import Callable

from conftest import ROOT, TARGET, Program, generate


SAMPLE = """
import asyncio, tce
from gen.test import Server, ServerServant, ServerPrx, ITerminal, ITerminalPrx

class ServerImpl(Server):
    async def echo(self, text: str, ctx: tce.Context) -> str: return text

class TerminalImpl(ITerminal):
    async def onMessage(self, message: str, ctx: tce.Context) -> None: pass

async def main() -> None:
    assert ServerServant is Server
    async with tce.Communicator() as communicator:
        server = await ServerPrx.connect(communicator, "tcp://localhost:12002")
        print(await server.echo("hello", timeout=1.0, extra={"name": "scott.bo"}))
        await server.heartbeat_oneway("hello world!")
        pending = server.echo_async("pingpang")          # sent now; await it later
        server.connection.add_servant(TerminalImpl())     # bidirectional
        print(await pending)
asyncio.run(main())
"""


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
    sample = SAMPLE.replace("tcp://localhost:12002", endpoint)
    for code, printed in (
        (program(ROOT / "README.md", endpoint), "Yah! hello\n"),
        (program(ROOT / "runtimes/python/README.md", endpoint), "Yah! hello\n"),
        (sample, "Yah! hello\nYah! pingpang\n"),
    ):
        result = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path, env={"PYTHONPATH": f"{ROOT / 'runtimes/python/src'}:{tmp_path}"},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (result.stdout, result.stderr) == (printed, ""), code
