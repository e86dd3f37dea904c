"""Tasks: a queue that `tce task serve` serves, a client and a worker in Python."""

from __future__ import annotations

import asyncio
import importlib
import pathlib
import shutil
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import ROOT, TARGET, Program, generate, run, tce
from tce.tasks import (
    AbortTask,
    Backoff,
    NoRetry,
    Status,
    TaskNotFoundError,
    Tasks,
    TaskTimeoutError,
    Worker,
    task_of,
)

IDL = ROOT / "services/tasks/idl"


@pytest.fixture(scope="module")
def math(tmp_path_factory: pytest.TempPathFactory) -> Iterator[types.ModuleType]:
    folder = tmp_path_factory.mktemp("tasks")
    generate(folder / "gen_tasks", "asyncio", IDL / "math.idl")
    sys.path.insert(0, str(folder))
    yield importlib.import_module("gen_tasks.math")
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("queue") / "tasks.redb"
    command = (str(TARGET / "tce"), "task", "--tasks", str(file), "serve", "tcp://127.0.0.1:0")
    program = Program(*command)
    yield program.line("listening on ")
    program.stop()


def servant(math: Any) -> Any:
    class MathImpl(math.Math):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.runs = 0

        def add(self, a: int, b: int, ctx: Any) -> int:
            return a + b

        async def addOk(self, a: int, b: int, ctx: Any) -> Any:
            return math.Both(a + b, True)

        async def flaky(self, key: str, failures: int, ctx: Any) -> int:
            self.runs += 1
            if self.runs <= failures:
                raise RuntimeError("flaky failed")
            return self.runs

        async def sleep(self, ms: int, ctx: Any) -> None:
            task = task_of(ctx)
            assert task is not None and ctx.extra == {"user": "Ann"}
            task.progress(40, "sleeping")
            while not await task.is_aborted():
                await asyncio.sleep(0.05)
            raise AbortTask("stopped itself")

        async def sq(self, x: int, ctx: Any) -> int:
            raise NoRetry("never")

        async def die(self, key: str, ctx: Any) -> None:
            raise NotImplementedError

    return MathImpl()


def test_a_result_comes_back_and_a_failure_is_repeated(math: Any, endpoint: str) -> None:
    async def scenario() -> None:
        tasks = await Tasks.open(endpoint)
        client = tasks.client
        async with Worker(tasks).group("python", servant(math), concurrency=3):
            result = await client.get_result(await client.send("python", "add", 12, 33), 30)
            assert (result.is_success, result.get(0)) == (True, 45)
            result = await client.get_result(await client.send("python", "addOk", 12, 33), 30)
            assert result.gets() == [45, True]
            fast = client.set_task_ctl(RetryCount=5, backoff=Backoff.fixed(0.02))
            result = await client.get_result(await fast.send("python", "flaky", "k", 2), 30)
            assert (result.value, result.retries) == (3, 2)
            for operation, arguments, text in (
                ("sq", (3,), "never"),
                ("add", ("x", 1), "math.Math.add: a: expected int, got 'x'"),
                ("add", (1 << 40, 1), "math.Math.add: "),
                ("sub", (), "there is no operation `sub`"),
            ):
                task_id = await client.send("python", operation, *arguments)
                result = await client.get_result(task_id, 30)
                assert (result.status, result.retries) == (Status.FAILURE, 0)
                assert text in result.error

    run(scenario())


def test_a_running_task_is_told_of_an_abort(math: Any, endpoint: str) -> None:
    async def scenario() -> None:
        tasks = await Tasks.open(endpoint)
        client = tasks.client.set_task_ctl(extra={"user": "Ann"})
        async with Worker(tasks).group("abort", servant(math)):
            task_id = await client.send("abort", "sleep", 20_000)
            while (await client.get_result2(task_id, 30)).record.percent != 40:
                await asyncio.sleep(0.02)
            with pytest.raises(TaskTimeoutError):
                await client.get_result(task_id, 0.1)
            assert await client.abort(task_id) == "requested"
            result = await client.get_result(task_id, 30)
            assert (result.status, result.error) == (Status.ABORTED, "stopped itself")
            assert await client.abort(task_id) == "finished 7"
        with pytest.raises(TaskNotFoundError):
            await client.get_result("01890a5d-ac96-774b-bcce-b302099a8057", 0.0)

    run(scenario())


def test_a_task_that_does_not_end_in_time_is_handed_back(math: Any, endpoint: str) -> None:
    async def scenario() -> None:
        tasks = await Tasks.open(endpoint)
        client = tasks.client.set_task_ctl(extra={"user": "Ann"})
        async with Worker(tasks, shutdown_timeout=0.1).group("back", servant(math)):
            task_id = await client.send("back", "sleep", 20_000)
            await client.get_result2(task_id, 30)
        with pytest.raises(TaskTimeoutError) as caught:
            await client.get_result(task_id, 0.0)
        assert caught.value.status == Status.SENT
        assert await client.abort(task_id) == "done"

    run(scenario())


def test_the_example_runs(tmp_path: pathlib.Path, endpoint: str) -> None:
    example = ROOT / "examples/tasks"
    for name in ("worker.py", "sender.py"):
        shutil.copy(example / "python" / name, tmp_path)
    generate(tmp_path / "gen", "asyncio", example / "idl/math.idl")
    worker = Program(sys.executable, "worker.py", endpoint, cwd=tmp_path)
    worker.line("working for group1")
    sender = Program(sys.executable, "sender.py", endpoint, cwd=tmp_path)
    sender.process.wait(60)
    assert sender.stop().splitlines() == [
        "add(12, 33): 45",
        "addOk(12, 33): 45 True",
        "add(1, 2) after 1 s: 3",
        "fail: FAILURE after 2 retries: no disk",
        "work: ABORTED",
    ]
    worker.stop()
    assert worker.process.returncode == 0


def test_the_interface_of_the_queue_is_up_to_date(tmp_path: pathlib.Path) -> None:
    tce("compile", "-l", "python", "-i", str(IDL / "tasks.idl"), "-o", str(tmp_path))
    generated = (tmp_path / "tasks.py").read_text()
    recorded = ROOT / "runtimes/python/src/tce/tasks/_queue.py"
    assert recorded.read_text() == generated
