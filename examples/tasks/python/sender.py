"""A sender: sends tasks, and prints their results."""

from __future__ import annotations

import asyncio
import sys

from tce.tasks import Backoff, Tasks


async def main() -> None:
    client = (await Tasks.open(sys.argv[1])).client

    task_id = await client.send("group1", "add", 12, 33)
    result = await client.get_result(task_id, timeout=10.0)
    print("add(12, 33):", result.get(0))

    task_id = await client.send("group1", "addOk", 12, 33)
    total, ok = (await client.get_result(task_id, timeout=10.0)).gets()
    print("addOk(12, 33):", total, ok)

    task_id = await client.set_task_ctl(RunAfter=1.0).send("group1", "add", 1, 2)
    result = await client.get_result(task_id, timeout=10.0)
    print("add(1, 2) after 1 s:", result.get(0))

    retried = client.set_task_ctl(RetryCount=2, backoff=Backoff.fixed(0.2))
    task_id = await retried.send("group1", "fail", "no disk")
    result = await client.get_result(task_id, timeout=10.0)
    print(f"fail: {result.status.name} after {result.retries} retries: {result.error}")

    task_id = await client.send("group1", "work", 10_000)
    await client.get_result2(task_id, timeout=10.0)
    await client.abort(task_id)
    print("work:", (await client.get_result(task_id, timeout=10.0)).status.name)


asyncio.run(main())
