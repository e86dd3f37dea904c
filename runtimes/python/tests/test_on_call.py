"""What a program learns of its calls for metrics."""

from __future__ import annotations

import asyncio

import pytest
import tce
from conftest import run, until
from gen.test import ITerminalPrx, ServerPrx
from servants import ServerImpl


def test_each_call_is_reported_once_at_either_side() -> None:
    async def test() -> None:
        called: list[tce.CallRecord] = []
        served: list[tce.CallRecord] = []
        async with tce.Communicator(tce.Options(on_call=served.append)) as server:
            adapter = await server.listen("tcp://127.0.0.1:0", ServerImpl())
            async with tce.Communicator(tce.Options(on_call=called.append)) as client:
                prx = await ServerPrx.connect(client, str(adapter.endpoint))
                assert await prx.echo("x") == "x"
                assert await prx.echo_async("x") == "x"
                await prx.heartbeat_oneway("x")
                with pytest.raises(tce.RpcError):
                    await prx.echo("fault")
                with pytest.raises(tce.RpcError):
                    await ITerminalPrx(prx.connection).onMessage("not served")
                with pytest.raises(tce.RpcError):
                    await prx.timeout(1, timeout=0.05)
                abandoned = prx.timeout_async(1)
                await asyncio.sleep(0.05)
                abandoned.cancel()
                with pytest.raises(tce.MarshalError):
                    await prx.timeout(1 << 40)
                await until(lambda: len(called) == 7 and len(served) == 7)
        seen = [(it.operation.split("::")[-1], it.is_oneway, it.code) for it in called]
        missing, late = tce.ErrorCode.INTERFACE_NOTFOUND, tce.ErrorCode.TIMEOUT
        assert seen == [
            ("echo", False, 0), ("echo", False, 0), ("heartbeat", True, 0),
            ("echo", False, 4711), ("onMessage", False, missing), ("timeout", False, late),
            ("timeout", False, None),
        ]  # fmt: skip
        assert all(it.peer == str(adapter.endpoint) and not it.is_served for it in called)
        assert 0.05 <= called[5].seconds < 1
        codes = {("test::Server::heartbeat", 0), ("3.0", missing), ("test::Server::timeout", 0)}
        assert codes < {(it.operation, it.code) for it in served}
        assert all(it.is_served for it in served)
        assert max(it.seconds for it in served) >= 1

    run(test())


def test_calls_that_cannot_be_sent_are_reported_and_a_failing_listener_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        codes: list[int | None] = []

        def listen(record: tce.CallRecord) -> None:
            codes.append(record.code)
            raise KeyError("a bug of the program")

        async with tce.Communicator(tce.Options(on_call=listen)) as client:
            async with tce.Communicator() as server:
                adapter = await server.listen("tcp://127.0.0.1:0", ServerImpl())
                prx = await ServerPrx.connect(client, str(adapter.endpoint))
            await until(lambda: not prx.connection.is_connected)
            for call in (prx.echo, prx.heartbeat_oneway):
                with pytest.raises(tce.RpcError):
                    await call("x")
            await until(lambda: len(codes) == 2)
            assert codes == [tce.ErrorCode.CONNECT_FAILED] * 2
        assert "on_call failed" in caplog.text

    run(test())
