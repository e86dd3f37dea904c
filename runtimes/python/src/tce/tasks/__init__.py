"""Durable tasks: operations of an IDL interface that run later, with retries and results.

Programs in Python send tasks to a queue, read their results and work for it. The queue is at
RabbitMQ, with the results in Redis, or behind the endpoint of a process in Rust that owns it.

    tasks = await Tasks.open("amqp://localhost", store="redis://localhost")
    task_id = await tasks.client.set_task_ctl(RetryCount=5).send("group1", "add", 12, 33)
    result = await tasks.client.get_result(task_id, timeout=3.0)
    print(result.get(0))

    async with Worker(tasks).group("group1", MathImpl(), concurrency=3):
        await stopped.wait()
"""

from ._client import (
    Backoff,
    Status,
    TaskClient,
    TaskNotFoundError,
    TaskResult,
    Tasks,
    TaskTimeoutError,
)
from ._control import AbortTask, NoRetry, TaskControl, task_of
from ._typed import (
    TaskAbortedError,
    TaskCall,
    TaskError,
    TaskExpiredError,
    TaskFailedError,
    TaskHandle,
)
from ._worker import Worker

__all__ = [
    "AbortTask",
    "Backoff",
    "NoRetry",
    "Status",
    "TaskAbortedError",
    "TaskCall",
    "TaskClient",
    "TaskControl",
    "TaskError",
    "TaskExpiredError",
    "TaskFailedError",
    "TaskHandle",
    "TaskNotFoundError",
    "TaskResult",
    "TaskTimeoutError",
    "Tasks",
    "Worker",
    "task_of",
]
