"""The Rust programs of `examples/simple` as the other side."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable

import pytest
import tce
from conftest import TARGET, Program, run, until
from gen.test import ITerminalPrx, Server, ServerPrx
from servants import TerminalImpl


def test_a_rust_server(programs: Callable[..., Program]) -> None:
    async def test() -> None:
        command = [str(TARGET / "simple-server"), "--endpoint", "tcp://127.0.0.1:0"]
        server = programs(*command)
        endpoint = await asyncio.to_thread(server.line, "listening on ")
        async with tce.Communicator() as communicator:
            prx = await ServerPrx.connect(communicator, endpoint)
            assert await prx.echo("hellö", extra={"name": "scott.bo"}) == "Yah! hellö"
            assert (await prx.datetime()).endswith("Z")
            await prx.heartbeat_oneway("hello world!")
            terminal = TerminalImpl()
            prx.connection.add_servant(terminal)
            await prx.bidirection_oneway()
            await until(lambda: terminal.messages == ["server push message!"])
            with pytest.raises(tce.RpcError, match="`secs` must not be negative"):
                await prx.timeout(-1)
            await prx.connection.ping()
            assert any("interface Server" in idl for idl in await prx.connection.describe())
            results = await asyncio.gather(*(prx.echo(str(n)) for n in range(1000)))
            assert results == [f"Yah! {n}" for n in range(1000)]
            big = "x" * 4_000_000
            assert await prx.echo(big) == f"Yah! {big}"
        assert "heartbeat: hello world!" in server.stop()

    run(test())


class YahServer(Server):
    async def datetime(self, ctx: tce.Context) -> str:
        return "2026-11-30T00:00:00Z"

    async def echo(self, text: str, ctx: tce.Context) -> str:
        return "Yah! " + text

    async def timeout(self, secs: int, ctx: tce.Context) -> None:
        await asyncio.sleep(secs)

    async def heartbeat(self, hello: str, ctx: tce.Context) -> None:
        pass

    async def bidirection(self, ctx: tce.Context) -> None:
        await ITerminalPrx.to_caller(ctx).onMessage_oneway("server push message!")


def test_a_rust_client() -> None:
    async def test() -> None:
        communicator = tce.Communicator()
        adapter = await communicator.listen("tcp://127.0.0.1:0", YahServer())
        command = [str(TARGET / "simple-client"), "--endpoint", str(adapter.endpoint)]
        client = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=60
        )
        assert client.returncode == 0, client.stderr
        assert client.stdout.splitlines()[:2] == [
            "twoway: Yah! hello",
            "inherited: 2026-11-30T00:00:00Z",
        ]
        assert client.stdout.endswith("onMessage: server push message!\n")
        await communicator.shutdown(0)

    run(test())
