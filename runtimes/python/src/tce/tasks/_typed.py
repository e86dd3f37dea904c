"""Tasks whose arguments and result have the types of the IDL: what generated clients return."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from .._servant import Operation
from ._client import MARSHALLED, Backoff, Status, TaskClient, TaskResult, Tasks, new_id
from ._json import from_json
from ._queue import Task

T = TypeVar("T")
S = TypeVar("S", bound="TaskSender")


class TaskError(Exception):
    """The task has ended without a result."""


class TaskFailedError(TaskError):
    """The task has failed, with the text of its last error."""


class TaskExpiredError(TaskError):
    """The task expired before an attempt began."""


class TaskAbortedError(TaskError):
    """The task was aborted, or has ended itself with this text."""


_ERRORS = {
    Status.FAILURE: TaskFailedError,
    Status.EXPIRED: TaskExpiredError,
    Status.ABORTED: TaskAbortedError,
}


class TaskSender:
    """Makes the tasks of an interface; generated classes extend it."""

    _interface: ClassVar[str]
    _group: str

    def __init__(self, tasks: Tasks) -> None:
        self.__tasks = tasks

    def in_group(self: S, group: str) -> S:
        """The same for another group."""
        sender = copy.copy(self)
        sender._group = group
        return sender

    def _task(
        self, operation: Operation[T], name: str, arguments: tuple[Any, ...], hint: Callable[[], Any]
    ) -> TaskCall[T]:
        task = Task(
            group=self._group,
            operation=f"{self._interface}.{name}",
            contentType=MARSHALLED,
            body=bytes(operation.encode_parameters(arguments)),
            options={"signature": operation.layout()},
        )
        return TaskCall(self.__tasks.client, task, hint)


class TaskCall(Generic[T]):
    """A task that is not yet sent. `T` is the result of its operation. Each method returns a copy
    with a setting."""

    def __init__(self, client: TaskClient, task: Task, hint: Callable[[], Any]) -> None:
        self._client = client
        self._body = task
        self._hint = hint

    def _with(self, client: TaskClient) -> TaskCall[T]:
        return TaskCall(client, self._body, self._hint)

    def retry(self, retries: int) -> TaskCall[T]:
        """Attempts after the first one; 3 by default."""
        return self._with(self._client.set_task_ctl(RetryCount=retries))

    def backoff(self, backoff: Backoff) -> TaskCall[T]:
        """The pause before a retry; by default exponential from 1 s to 10 min."""
        return self._with(self._client.set_task_ctl(backoff=backoff))

    def run_after(self, seconds: float) -> TaskCall[T]:
        """The first attempt begins after this time."""
        return self._with(self._client.set_task_ctl(RunAfter=seconds))

    def run_at(self, time: datetime) -> TaskCall[T]:
        """The first attempt begins at this time."""
        return self._with(self._client.set_task_ctl(RunAt=time))

    def expires_at(self, time: datetime) -> TaskCall[T]:
        """No attempt begins after this time."""
        return self._with(self._client.set_task_ctl(ExpireTime=time))

    def time_limit(self, seconds: float) -> TaskCall[T]:
        """The time limit of an attempt; 25 min by default."""
        return self._with(self._client.set_task_ctl(TimeLimit=seconds))

    def result_expires(self, seconds: float) -> TaskCall[T]:
        """How long the result is kept after the end of the task, 1 day by default; negative: for
        ever."""
        return self._with(self._client.set_task_ctl(ResultExpires=seconds))

    def priority(self, priority: str) -> TaskCall[T]:
        """Which tasks of the group are taken first: `high`, `normal` or `low`."""
        return self._with(self._client.set_task_ctl(Priority=priority))

    def unique(self, key: str) -> TaskCall[T]:
        """A key that at most one task holds, from its send to its end: sending another one
        meanwhile returns the handle of the holder."""
        return self._with(self._client.set_task_ctl(Unique=key))

    def extra(self, extra: dict[str, str]) -> TaskCall[T]:
        """Adds entries of the extra that the servant sees."""
        return self._with(self._client.set_task_ctl(extra=extra))

    def id(self, task_id: str) -> TaskCall[T]:
        """Sets the id, a UUID. Sending an id again has no effect, so a send whose outcome is unknown
        can be repeated."""
        call = self._with(self._client)
        call._body = copy.copy(self._body)
        call._body.id = task_id
        return call

    async def send(self) -> TaskHandle[T]:
        """Sends the task; it is stored when this returns. Raises `RpcError` if the queue refuses
        it, as too large (1 MiB) for example, or fails."""
        task = copy.copy(self._body)
        task.id = task.id or new_id()
        task_id = await self._client.send_task(task)
        handle: TaskHandle[T] = TaskHandle(self._client, task_id, self._hint)
        handle.is_existing = task_id != task.id
        return handle


class TaskHandle(Generic[T]):
    """A task that was sent. `T` is the result of its operation."""

    def __init__(self, client: TaskClient, task_id: str, hint: Callable[[], Any]) -> None:
        self._client = client
        self.id = task_id
        """The id of the task."""
        self._hint = hint
        self.is_existing = True
        """Whether the task was there before: another one had its unique key, or the handle was made
        of an id."""

    @classmethod
    def of(cls, tasks: Tasks, task_id: str, result: type[T]) -> TaskHandle[T]:
        """The handle of a task that was sent before, maybe by another program; `result` is checked
        when the result is read."""
        return cls(tasks.client, task_id, lambda: result)

    async def result(self, timeout: float) -> T:
        """The result once the task has ended.

        Raises `TaskFailedError`, `TaskExpiredError` or `TaskAbortedError`; `TaskTimeoutError`
        (`timeout` is seconds), `TaskNotFoundError`, `ValueError` if the result has another type, or
        `RpcError` if the queue fails.
        """
        found = await self._client.get_result(self.id, timeout)
        if not found.is_success:
            raise _ERRORS[found.status](found.error or found.status.name)
        text = found.record.result
        value: T = from_json(self._hint(), json.loads(text) if text else None)
        return value

    async def state(self) -> TaskResult:
        """The present state. Raises `TaskNotFoundError`, or `RpcError` if the queue fails."""
        return await self._client.state(self.id)

    async def status(self) -> Status:
        """The present status. Raises as `state`."""
        return (await self.state()).status

    async def abort(self) -> str:
        """Aborts the task: see `TaskClient.abort`."""
        return await self._client.abort(self.id)
