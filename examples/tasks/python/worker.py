"""A worker: runs the tasks of a group until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys

import tce
from gen.math import Both, Math
from tce.tasks import AbortTask, Tasks, Worker, task_of


class MathImpl(Math):
    async def add(self, a: int, b: int, ctx: tce.Context) -> int:
        return a + b

    async def addOk(self, a: int, b: int, ctx: tce.Context) -> Both:
        return Both(sum=a + b, ok=abs(a + b) < 1 << 31)

    async def fail(self, text: str, ctx: tce.Context) -> None:
        raise tce.Fault(text)

    async def work(self, ms: int, ctx: tce.Context) -> None:
        task = task_of(ctx)
        for percent in range(0, 100, 10):
            if task is not None:
                if await task.is_aborted():
                    raise AbortTask(f"stopped at {percent} %")
                task.progress(percent, "working")
            await asyncio.sleep(ms / 10_000)


async def main() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    store = sys.argv[2] if len(sys.argv) > 2 else None
    async with await Tasks.open(sys.argv[1], store=store) as tasks:
        async with Worker(tasks).group("group1", MathImpl(), concurrency=3):
            print("working for group1", flush=True)
            await stopped.wait()


asyncio.run(main())
