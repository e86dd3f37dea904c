"""Sends tasks by name, and reads their results."""

from __future__ import annotations

import copy
import enum
import json
import os
import time
import uuid
from dataclasses import replace
from datetime import datetime
from typing import Any

from .._communicator import Communicator
from .._errors import RpcError
from ._json import is_dict, to_json
from ._process import QueueProcess
from ._queue import QueuePrx, Record, Task

JSON = "application/json"
"""The content type of a body that is an array of the arguments."""
MARSHALLED = "application/x-tce"
"""The content type of a body that is the marshalled parameters."""
MAX_WAIT = 20.0
"""The longest wait of one call, in seconds; longer waits are repeated calls."""
CALL_TIME = 5.0
"""The time limit of a call beyond what it waits for, in seconds."""
_NOT_FOUND = 65_010_404
_DAY_MS = 24 * 3600 * 1000


class Status(enum.IntEnum):
    """Where a task is in its life."""

    SENT = 0
    """Sent, and no attempt has begun."""
    FIRST_RUNNING = 1
    """The first attempt runs."""
    WAITING_RETRY = 2
    """An attempt has failed, and another one is queued."""
    RUNNING = 3
    """A later attempt runs."""
    SUCCESS = 4
    """The servant has returned."""
    FAILURE = 5
    """No retries are left, a retry can't help, or the task is dead."""
    EXPIRED = 6
    """An attempt would have begun after `ExpireTime`."""
    ABORTED = 7
    """Aborted before an attempt began, or by the task itself."""


class TaskTimeoutError(TimeoutError):
    """The task has not come so far within the time."""

    def __init__(self, status: Status) -> None:
        super().__init__(f"the task has not ended in time: its status is {status.name}")
        self.status = status
        """Where the task is."""


class TaskNotFoundError(LookupError):
    """No record was seen within the time: the task was never sent, or its record has expired."""


class Backoff:
    """The pause before a retry."""

    def __init__(self, option: str) -> None:
        self.option = option
        """As the queue reads it."""

    @classmethod
    def none(cls) -> Backoff:
        """No pause."""
        return cls("none")

    @classmethod
    def fixed(cls, seconds: float) -> Backoff:
        """The same pause before each retry."""
        return cls(f"fixed {_millis(seconds)}")

    @classmethod
    def exponential(cls, first: float, longest: float) -> Backoff:
        """A random pause up to a bound that starts with `first` seconds, doubles with each retry,
        and stays at `longest`."""
        return cls(f"exponential {_millis(first)} {_millis(longest)}")


def _millis(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def new_id() -> str:
    """A UUID of version 7."""
    stamp = int(time.time() * 1000).to_bytes(6, "big")
    value = bytearray(stamp + os.urandom(10))
    value[6] = value[6] & 0x0F | 0x70
    value[8] = value[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(value)))


class Tasks:
    """A queue of tasks, which another process serves."""

    def __init__(self, queue: QueuePrx, process: QueueProcess | None = None) -> None:
        self.queue = queue
        """The proxy of the queue."""
        self._process = process

    @classmethod
    async def open(
        cls,
        uri: str,
        communicator: Communicator | None = None,
        *,
        store: str | None = None,
        command: str = "tce",
    ) -> Tasks:
        """Connects to a queue: to the endpoint of a process that serves it, `tcp://host:port`, or to
        RabbitMQ, `amqp://user:password@host:5672/vhost`, with the results in Redis at `store`,
        `redis://host:6379`.

        For RabbitMQ the program `command` is started, by default `tce` of PATH, and ends with this
        one. Raises `RpcError` if the queue does not answer.
        """
        communicator = communicator or Communicator()
        if not uri.startswith("amqp://"):
            return cls(await QueuePrx.connect(communicator, uri))
        process = QueueProcess(command, uri, store)
        await process.start()
        queue = await QueuePrx.connect(communicator, process.endpoint)
        return cls(queue.with_extra({"key": process.key}), process)

    async def close(self) -> None:
        """Ends what `open` has started for RabbitMQ, after the workers."""
        if self._process is not None:
            await self._process.stop()

    async def __aenter__(self) -> Tasks:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def client(self) -> TaskClient:
        """A client with default settings."""
        return TaskClient(self)


class TaskClient:
    """Sends tasks, and reads their results."""

    def __init__(self, tasks: Tasks) -> None:
        self._queue = tasks.queue
        self._options: dict[str, str] = {}
        self._run_after: float | None = None

    def set_task_ctl(
        self,
        *,
        RetryCount: int | None = None,
        RunAfter: float | None = None,
        RunAt: datetime | None = None,
        ExpireTime: datetime | None = None,
        TimeLimit: float | None = None,
        ResultExpires: float | None = None,
        Priority: str | None = None,
        Unique: str | None = None,
        backoff: Backoff | None = None,
        extra: dict[str, str] | None = None,
    ) -> TaskClient:
        """A copy of the client with settings; this one keeps its own.

        `RunAfter`, `TimeLimit` and `ResultExpires` are seconds; a negative `ResultExpires` keeps
        the result for ever. `Priority` is `high`, `normal` or `low`. `Unique` is a key that at most
        one task holds, from its send to its end: sending another one meanwhile returns the id of the
        holder.
        """
        client = copy.copy(self)
        options = client._options = dict(self._options)
        if RetryCount is not None:
            options["retry"] = str(RetryCount)
        if RunAfter is not None:
            client._run_after = RunAfter
        if RunAt is not None:
            options["run_at"] = str(_millis(RunAt.timestamp()))
        if ExpireTime is not None:
            options["expires_at"] = str(_millis(ExpireTime.timestamp()))
        if TimeLimit is not None:
            options["time_limit"] = str(_millis(TimeLimit))
        if ResultExpires is not None:
            kept = -1 if ResultExpires < 0 else _millis(ResultExpires)
            options["result_expires"] = str(kept)
        if Priority is not None:
            options["priority"] = Priority
        if Unique is not None:
            options["unique"] = Unique
        if backoff is not None:
            options["backoff"] = backoff.option
        for key, value in (extra or {}).items():
            options[f"extra.{key}"] = value
        return client

    async def send(
        self, group: str, operation: str, *arguments: Any, task_id: str | None = None
    ) -> str:
        """Sends a task; it is stored when this returns its id.

        Sending an id again has no effect, so a send whose outcome is unknown can be repeated with
        its `task_id`, a UUID. Raises `RpcError` if the queue refuses the task or fails.
        """
        body = json.dumps([to_json(value) for value in arguments]).encode()
        task = Task(task_id or "", group, operation, JSON, body)
        return await self.send_task(task)

    async def send_task(self, task: Task) -> str:
        """For typed clients: sends a task with the settings of the client, and its own options. An
        id is made if there is none."""
        options = {**self._options, **task.options}
        if self._run_after is not None:
            options["run_at"] = str(_millis(time.time() + self._run_after))
        task = replace(task, id=task.id or new_id(), options=options)
        return await self._queue.send(task, timeout=CALL_TIME)

    async def get_result(self, task_id: str, timeout: float) -> TaskResult:
        """The result once the task has ended. That it failed is no error.

        Raises `TaskTimeoutError`, `TaskNotFoundError`, or `RpcError` if the queue fails.
        """
        return await self._wait(task_id, timeout, True)

    async def state(self, task_id: str) -> TaskResult:
        """The present state. Raises `TaskNotFoundError`, or `RpcError` if the queue fails."""
        try:
            return TaskResult(await self._queue.result(task_id, 0, False, timeout=CALL_TIME))
        except RpcError as error:
            if error.code == _NOT_FOUND:
                raise TaskNotFoundError(f"there is no task {task_id}") from None
            raise

    async def get_result2(self, task_id: str, timeout: float) -> TaskResult:
        """The state once the first attempt has begun, or the result. Raises as `get_result`."""
        return await self._wait(task_id, timeout, False)

    async def _wait(self, task_id: str, timeout: float, finished: bool) -> TaskResult:
        deadline = time.monotonic() + timeout
        while True:
            wait = min(max(0.0, deadline - time.monotonic()), MAX_WAIT)
            result = None
            try:
                record = await self._queue.result(
                    task_id, _millis(wait), finished, timeout=wait + CALL_TIME
                )
                result = TaskResult(record)
            except RpcError as error:
                if error.code != _NOT_FOUND:
                    raise
            if result is not None and (
                result.is_finish if finished else result.status != Status.SENT
            ):
                return result
            if time.monotonic() >= deadline:
                if result is None:
                    raise TaskNotFoundError(f"there is no task {task_id}")
                raise TaskTimeoutError(result.status)

    async def abort(self, task_id: str) -> str:
        """Aborts a task: `done` if it never runs, `requested` if a running attempt is told and no
        further one begins for a day, `finished` and the number of the status if it had ended.

        Raises `TaskNotFoundError`, or `RpcError` if the queue fails.
        """
        try:
            return await self._queue.abort(task_id, _DAY_MS, timeout=CALL_TIME)
        except RpcError as error:
            if error.code == _NOT_FOUND:
                raise TaskNotFoundError(f"there is no task {task_id}") from None
            raise


class TaskResult:
    """The state of a task, and its result if it has succeeded."""

    def __init__(self, record: Record) -> None:
        self.record = record
        """As the queue has it."""

    @property
    def status(self) -> Status:
        """Where the task is."""
        return Status(self.record.status)

    @property
    def is_success(self) -> bool:
        """Whether the servant has returned."""
        return self.status == Status.SUCCESS

    @property
    def is_failure(self) -> bool:
        """Whether the task has failed, expired or was aborted."""
        return self.is_finish and not self.is_success

    @property
    def is_finish(self) -> bool:
        """Whether the task has ended."""
        return self.status >= Status.SUCCESS

    @property
    def retries(self) -> int:
        """Retries done."""
        return self.record.retries

    @property
    def error(self) -> str:
        """The text of the last error; empty without one."""
        return self.record.error

    @property
    def value(self) -> Any:
        """The whole result as JSON has it; `None` for `void` and without one."""
        return json.loads(self.record.result) if self.record.result else None

    def gets(self) -> list[Any]:
        """The values: the members of a struct in declared order, else the one value."""
        value = self.value
        if is_dict(value) and 'type="struct ' in self.record.contentType:
            return list(value.values())
        return [] if value is None else [value]

    def get(self, index: int) -> Any:
        """The value at an index. Raises `IndexError` if there is none."""
        return self.gets()[index]
