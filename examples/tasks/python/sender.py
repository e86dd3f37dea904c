"""A sender: sends tasks, and prints their results."""

from __future__ import annotations

import asyncio
import sys

from gen.math import MathTasks
from tce.tasks import Backoff, TaskError, Tasks


async def main() -> None:
    store = sys.argv[2] if len(sys.argv) > 2 else None
    async with await Tasks.open(sys.argv[1], store=store) as tasks:
        await send(tasks)


async def send(tasks: Tasks) -> None:
    math = MathTasks(tasks)

    handle = await math.add(12, 33).send()
    print("add(12, 33):", await handle.result(timeout=10.0))

    both = await (await math.addOk(12, 33).send()).result(timeout=10.0)
    print("addOk(12, 33):", both.sum, both.ok)

    handle = await math.add(1, 2).run_after(1.0).send()
    print("add(1, 2) after 1 s:", await handle.result(timeout=10.0))

    # By name, as a program without generated code sends it.
    task_id = await tasks.client.send("group1", "add", 3, 4)
    result = await tasks.client.get_result(task_id, timeout=10.0)
    print("add(3, 4) by name:", result.get(0))

    failing = await math.fail("no disk").retry(2).backoff(Backoff.fixed(0.2)).send()
    try:
        await failing.result(timeout=10.0)
    except TaskError as error:
        retries = (await failing.state()).retries
        print(f"fail: {error}, after {retries} retries")

    work = await math.work(10_000).send()
    while (await work.state()).record.percent < 10:
        await asyncio.sleep(0.05)
    await work.abort()
    try:
        await work.result(timeout=10.0)
    except TaskError as error:
        print(f"work: {error}")


asyncio.run(main())
