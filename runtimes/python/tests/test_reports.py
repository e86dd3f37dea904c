"""What users of other systems have reported, tried here."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import pickle
import threading
import weakref
from collections.abc import Awaitable, Callable

import pytest
import tce
from conftest import run
from gen.test import ServerPrx
from servants import ServerImpl


def with_server(test: Callable[[tce.Communicator, ServerPrx], Awaitable[None]]) -> None:
    async def started() -> None:
        async with tce.Communicator() as communicator:
            adapter = await communicator.listen("tcp://127.0.0.1:0", ServerImpl())
            await test(
                communicator, await ServerPrx.connect(communicator, str(adapter.endpoint))
            )

    run(started())


def test_calls_that_have_ended_are_freed_without_the_garbage_collector() -> None:
    """grpc/grpc#43421, #43462: only the garbage collector frees calls, in any thread."""

    async def test(communicator: tce.Communicator, prx: ServerPrx) -> None:
        gc.disable()
        try:
            ended = [prx.echo_async(str(number)) for number in range(10)]
            references = [weakref.ref(call) for call in ended]
            await asyncio.gather(*ended)
            abandoned = prx.timeout_async(1)
            references.append(weakref.ref(abandoned))
            await asyncio.sleep(0.05)
            abandoned.cancel()
            ended.clear()
            del abandoned
            await asyncio.sleep(0.05)
            assert [reference() for reference in references] == [None] * 11
        finally:
            gc.enable()

    with_server(test)


def test_event_loops_in_several_threads_do_not_disturb_each_other() -> None:
    """grpc/grpc#25364: a loop in a second thread logs BlockingIOError."""
    texts = [str(number) for number in range(300)]
    passed: list[bool] = []

    async def test(communicator: tce.Communicator, prx: ServerPrx) -> None:
        passed.append(await asyncio.gather(*(prx.echo(text) for text in texts)) == texts)

    threads = [threading.Thread(target=with_server, args=(test,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert passed == [True] * 4


def test_connections_that_are_made_and_closed_leave_nothing_behind() -> None:
    """grpc/grpc#38980: each channel that is closed leaves memory behind."""

    async def test(communicator: tce.Communicator, prx: ServerPrx) -> None:
        endpoint = prx.connection.peer
        before = len(os.listdir("/proc/self/fd"))
        references = []
        for _ in range(200):
            other = await ServerPrx.connect(communicator, endpoint)
            assert await other.echo("x") == "x"
            await other.connection.close()
            references.append(weakref.ref(other.connection))
        del other
        await asyncio.sleep(0.1)
        gc.collect()
        # The last ones are dropped when the next one is made.
        assert sum(reference() is not None for reference in references) < 3
        assert len(os.listdir("/proc/self/fd")) < before + 3

    with_server(test)


@pytest.mark.parametrize("timeout", [math.inf, math.nan, -1.0, 1e300])
def test_a_timeout_that_is_no_time_is_an_error_that_says_so(timeout: float) -> None:
    """grpc/grpc-web#556: a deadline of Infinity or NaN does something unexpected."""

    async def test(communicator: tce.Communicator, prx: ServerPrx) -> None:
        for call in (prx.echo, prx.heartbeat_oneway):
            with pytest.raises(ValueError, match="a timeout is 0 to 2147483647 seconds"):
                await call("x", timeout=timeout)
        with pytest.raises(ValueError, match="a timeout is"):
            prx.echo_async("x", timeout=timeout)
        assert await prx.echo("x", timeout=2_147_483_647) == "x"

    with_server(test)


def test_errors_pass_from_process_to_process() -> None:
    """grpc/grpc#33643: an error of a call can't be pickled and read again."""
    error = tce.RpcError(
        tce.ErrorCode.TIMEOUT, "late", side=tce.Side.REMOTE, operation="a::B::c", peer="tcp://d:1"
    )
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), vars(copy)) == (str(error), vars(error))
    fault = pickle.loads(pickle.dumps(tce.Fault("no", 4711)))
    assert (fault.text, fault.code) == ("no", 4711)
