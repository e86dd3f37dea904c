"""Tasks: a queue that `tce task serve` serves, a client and a worker in Python."""

from __future__ import annotations

import asyncio
import importlib
import json
import math as math_
import pathlib
import shutil
import signal
import sys
import time
import types
import uuid
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from conftest import ROOT, TARGET, Broker, Program, free_port, generate, run, tce
from tce import MarshalError, RpcError
from tce.tasks import (
    AbortTask,
    Backoff,
    NoRetry,
    Status,
    TaskAbortedError,
    TaskFailedError,
    TaskHandle,
    TaskNotFoundError,
    Tasks,
    TaskTimeoutError,
    Worker,
    task_of,
)
from tce.tasks._client import MARSHALLED
from tce.tasks._queue import Task

IDL = ROOT / "services/tasks/idl"
VALUES = ROOT / "tce-codegen/tests/golden/tasks/tasks.idl"


@pytest.fixture(scope="module")
def math(tmp_path_factory: pytest.TempPathFactory) -> Iterator[types.ModuleType]:
    folder = tmp_path_factory.mktemp("tasks")
    generate(folder / "gen_tasks", "asyncio", IDL / "math.idl", VALUES, tasks=True)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("gen_tasks.math")
    sys.path.remove(str(folder))


Queue = dict[str, str]
"""The arguments of `Tasks.open`."""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    folder = str(tmp_path_factory.mktemp("redis"))
    server = Program(
        "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder
    )
    server.line_with("Ready to accept connections")
    yield f"redis://127.0.0.1:{port}"
    server.stop()


@pytest.fixture(params=["endpoint", "rabbitmq"])
def queue(request: pytest.FixtureRequest) -> Queue:
    if request.param == "endpoint":
        return {"uri": request.getfixturevalue("endpoint")}
    return rabbitmq(request.getfixturevalue("broker"), request.getfixturevalue("redis"))


def rabbitmq(broker: Broker, redis: str) -> Queue:
    uri = f"amqp://127.0.0.1:{broker.port}/%2f"
    return {"uri": uri, "store": redis, "command": str(TARGET / "tce")}


def run_with(queue: Queue, scenario: Callable[[Tasks], Coroutine[Any, Any, None]]) -> None:
    async def opened() -> None:
        async with await Tasks.open(**queue) as tasks:  # type: ignore[arg-type]
            await scenario(tasks)

    run(opened())


@pytest.fixture(scope="module")
def values(math: types.ModuleType) -> types.ModuleType:
    """Values of all kinds."""
    return importlib.import_module("gen_tasks.tasks")


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


def test_a_step_has_the_result_of_the_one_before(math: Any, queue: Queue) -> None:
    class StepsImpl(math.Steps):  # type: ignore[misc, name-defined]
        async def checked(self, sum: int, ok: bool, ctx: Any) -> int:
            return sum if ok else -sum

        async def sumOf(self, both: Any, ctx: Any) -> int:
            total: int = both.sum
            return total

    async def scenario(tasks: Tasks) -> None:
        async with Worker(tasks).group("steps", servant(math), StepsImpl()):
            for operation in ("checked", "sumOf"):
                steps = [{"group": "steps", "operation": it} for it in ("addOk", operation)]
                task = Task(
                    id=str(uuid.uuid4()),
                    group="steps",
                    operation="addOk",
                    contentType="application/json",
                    body=b"[12, 33]",
                    options={"steps": json.dumps(steps)},
                )
                await tasks.queue.send(task)
                result = await tasks.client.get_result(task.id, 30)
                assert result.value == 45, result.record

    run_with(queue, scenario)


def test_a_result_comes_back_and_a_failure_is_repeated(math: Any, queue: Queue) -> None:
    async def scenario(tasks: Tasks) -> None:
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

    run_with(queue, scenario)


def test_a_running_task_is_told_of_an_abort(math: Any, queue: Queue) -> None:
    async def scenario(tasks: Tasks) -> None:
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

    run_with(queue, scenario)


def test_a_task_that_does_not_end_in_time_is_handed_back(math: Any, queue: Queue) -> None:
    async def scenario(tasks: Tasks) -> None:
        client = tasks.client.set_task_ctl(extra={"user": "Ann"})
        async with Worker(tasks, shutdown_timeout=0.1).group("back", servant(math)):
            task_id = await client.send("back", "sleep", 20_000)
            await client.get_result2(task_id, 30)
        with pytest.raises(TaskTimeoutError) as caught:
            await client.get_result(task_id, 0.0)
        assert caught.value.status == Status.SENT
        assert await client.abort(task_id) == "done"

    run_with(queue, scenario)


def test_a_typed_task_returns_the_result_of_its_operation(math: Any, queue: Queue) -> None:
    async def scenario(tasks: Tasks) -> None:
        group1 = math.MathTasks(tasks)
        assert await group1.add(1, 2).run_after(60.0).send() is not None
        client = group1.in_group("typed")
        async with Worker(tasks).group("typed", servant(math), concurrency=3):
            handle = await client.add(12, 33).retry(5).run_after(0.1).send()
            assert await handle.result(timeout=30.0) == 45
            assert await handle.status() == Status.SUCCESS
            again = await client.add(1, 1).id(handle.id).send()
            assert await again.result(timeout=30.0) == 45
            both = await (await client.addOk(12, 33).send()).result(timeout=30.0)
            assert both == math.Both(45, True)
            task_id = await tasks.client.send("typed", "addOk", 1, 2)
            of = TaskHandle.of(tasks, task_id, math.Both)
            assert await of.result(timeout=30.0) == math.Both(3, True)
            with pytest.raises(ValueError, match="expected bool, got 45"):
                await TaskHandle.of(tasks, handle.id, bool).result(timeout=30.0)
            flaky = client.flaky("k", 2).retry(5).backoff(Backoff.fixed(0.02))
            assert await (await flaky.send()).result(timeout=30.0) == 3
            with pytest.raises(TaskFailedError, match="never"):
                await (await client.sq(3).send()).result(timeout=30.0)
            sleeping = await client.sleep(20_000).extra({"user": "Ann"}).send()
            while (await sleeping.state()).record.percent != 40:
                await asyncio.sleep(0.02)
            assert await sleeping.abort() == "requested"
            with pytest.raises(TaskAbortedError, match="stopped itself"):
                await sleeping.result(timeout=30.0)
        queued = await client.add(1, 2).unique("one").priority("high").send()
        other = await client.add(3, 4).unique("one").send()
        assert (queued.is_existing, other.is_existing, other.id) == (False, True, queued.id)
        with pytest.raises(TaskTimeoutError):
            await queued.result(timeout=0.05)

    run_with(queue, scenario)


def limits(values: Any, size: int) -> Any:
    return values.Everything(
        b=255, flag=True, s=-(1 << 15), i=-(1 << 31), l=-(1 << 63), f=-math_.inf, d=math_.nan,
        type='ä\0"\U0001f980', colour=values.Colour(12), bytes=b"\xff" * size,
        names={-(1 << 31): ""}, children=[values.Everything()],
        ratios={0.1: (1 << 63) - 1, math_.inf: 0},
    )  # fmt: skip


def echo_servant(values: Any) -> Any:
    class Echo(values.Derived):  # type: ignore[misc, name-defined]
        def add(self, one: int, two: int, ctx: Any) -> int:
            return one + two

        def new(self, ctx: Any) -> None:
            return None

        def echo(self, value: Any, tree: Any, ctx: Any) -> Any:
            return value

        def in_group(self, group: str, data: bytes, ratios: Any, ctx: Any) -> str:
            return f"{group} {len(data)} {len(ratios)}"

        def mix(self, one: Any, two: Any, names: Any, ctx: Any) -> Any:
            return one

    return Echo()


def same(one: Any, other: Any) -> bool:
    """Whether they are equal, also if both are no numbers."""
    return repr(one) == repr(other)


def test_values_at_their_limits_come_back(values: Any, queue: Queue) -> None:
    async def scenario(tasks: Tasks) -> None:
        client = values.DerivedTasks(tasks).in_group("limits")
        async with Worker(tasks).group("limits", echo_servant(values)):
            largest = limits(values, (1 << 20) - 1000)
            handle = await client.echo(largest, []).send()
            assert same(await handle.result(timeout=30.0), largest)
            with pytest.raises(RpcError, match="the limit is 1048576"):
                await client.echo(limits(values, 1 << 20), []).send()
            with pytest.raises(MarshalError):
                client.add(1 << 31, 0)
            small = limits(values, 3)
            task_id = await tasks.client.send("limits", "echo", small, [])
            handle = TaskHandle.of(tasks, task_id, values.Everything)
            assert same(await handle.result(timeout=30.0), small)
            red = await client.mix(values.Colour.RED, values.Colour.green, {}).send()
            assert await red.result(timeout=30.0) is values.Colour.RED
            assert await (await client.new().send()).result(timeout=30.0) is None
            text = await client.in_group_("x", b"abc", {math_.nan: 1}).send()
            assert await text.result(timeout=30.0) == "x 3 1"
            # Of an interface that has changed since.
            options = {"signature": "long(int)"}
            task = Task("", "limits", "tasks.Base.add", MARSHALLED, b"\0\0\0\1", options)
            result = await tasks.client.get_result(await tasks.client.send_task(task), 30)
            assert (result.status, result.retries) == (Status.FAILURE, 0)
            assert "`long(int)`, expected `long(int,int)`" in result.error

    run_with(queue, scenario)


def test_the_queue_at_rabbitmq_is_for_this_program_alone(broker: Broker, redis: str) -> None:
    async def scenario(tasks: Tasks) -> None:
        assert tasks._process is not None
        other = await Tasks.open(tasks._process.endpoint)
        with pytest.raises(RpcError, match="the key is missing or wrong"):
            await other.client.send("alone", "add", 1, 2)
        task_id = await tasks.client.set_task_ctl(RunAfter=60.0).send("alone", "add", 1, 2)
        # It is started again when it ends.
        assert tasks._process._process is not None
        tasks._process._process.kill()
        while True:
            try:
                assert await tasks.client.abort(task_id) == "done"
                break
            except RpcError:
                await asyncio.sleep(0.1)

    run_with(rabbitmq(broker, redis), scenario)


def test_a_broker_that_is_not_there_is_an_error() -> None:
    async def scenario() -> None:
        with pytest.raises(RpcError, match="RabbitMQ can't be reached"):
            await Tasks.open("amqp://127.0.0.1:1", command=str(TARGET / "tce"))
        with pytest.raises(RpcError, match="can't start `no-such-tce`"):
            await Tasks.open("amqp://127.0.0.1:1", command="no-such-tce")

    run(scenario())


WORKER = """
import asyncio, sys
sys.path[:0] = [sys.argv[1]]
from gen_tasks.math import Math
from tce.tasks import Tasks, Worker

class MathImpl(Math):
    def add(self, a, b, ctx): ...
    def addOk(self, a, b, ctx): ...
    def flaky(self, key, failures, ctx): ...
    def sq(self, x, ctx): return x * x
    def die(self, key, ctx): ...
    async def sleep(self, ms, ctx):
        print("sleeping", flush=True)
        await asyncio.sleep(ms / 1000)

async def main():
    async with await Tasks.open(sys.argv[2], store=sys.argv[3], command=sys.argv[4]) as tasks:
        async with Worker(tasks).group("killed", MathImpl()):
            print("working", flush=True)
            await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_task_of_a_worker_that_is_killed_runs_elsewhere_at_once(
    math: Any, broker: Broker, redis: str
) -> None:
    queue = rabbitmq(broker, redis)
    folder = str(pathlib.Path(math.__file__).parent.parent)

    def worker() -> Program:
        where = queue["uri"], queue["store"], queue["command"]
        program = Program(sys.executable, "-c", WORKER, folder, *where)
        program.line("working")
        return program

    async def scenario(tasks: Tasks) -> None:
        first = worker()
        handle = await math.MathTasks(tasks).in_group("killed").sleep(1000).send()
        await asyncio.to_thread(first.line, "sleeping")
        second = worker()
        killed_at = time.monotonic()
        first.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(second.line, "sleeping")
        assert time.monotonic() - killed_at < 5
        await handle.result(timeout=30.0)
        assert (await handle.state()).record.deaths == 1
        second.stop()

    run_with(queue, scenario)


def test_the_example_runs(tmp_path: pathlib.Path, endpoint: str) -> None:
    example = ROOT / "examples/tasks"
    for name in ("worker.py", "sender.py"):
        shutil.copy(example / "python" / name, tmp_path)
    generate(tmp_path / "gen", "asyncio", example / "idl/math.idl", tasks=True)
    worker = Program(sys.executable, "worker.py", endpoint, cwd=tmp_path)
    worker.line("working for group1")
    sender = Program(sys.executable, "sender.py", endpoint, cwd=tmp_path)
    sender.process.wait(60)
    assert sender.stop().splitlines() == [
        "add(12, 33): 45",
        "addOk(12, 33): 45 True",
        "add(1, 2) after 1 s: 3",
        "add(3, 4) by name: 7",
        "fail: no disk, after 2 retries",
        "work: stopped at 20 %",
    ]
    worker.stop()
    assert worker.process.returncode == 0


def test_the_interface_of_the_queue_is_up_to_date(tmp_path: pathlib.Path) -> None:
    tce("compile", "-l", "python", "-i", str(IDL / "tasks.idl"), "-o", str(tmp_path))
    generated = (tmp_path / "tasks.py").read_text()
    recorded = ROOT / "runtimes/python/src/tce/tasks/_queue.py"
    assert recorded.read_text() == generated
