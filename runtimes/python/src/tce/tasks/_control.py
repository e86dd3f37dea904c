"""What a running task may ask and tell."""

from __future__ import annotations

import asyncio
import time

from .._connection import Context
from ._client import CALL_TIME
from ._queue import Lease, QueuePrx

EXTEND_INTERVAL = 10.0
"""How often the lease of a running task is extended, in seconds."""
_WRITE_INTERVAL = 0.25
"""The shortest time between two writes of the progress, and the age up to which the answer to
"is it aborted" is used again, in seconds."""


class NoRetry(Exception):
    """Raised by a servant: the task fails with this text, and is not retried."""


class AbortTask(Exception):
    """Raised by a servant: the task ends with the status `ABORTED` and this text."""


class TaskControl:
    """The running attempt of a task, for its servant."""

    def __init__(self, queue: QueuePrx, lease: Lease, retries: int, deadline: float) -> None:
        self._queue = queue
        self._lease = lease
        self._asked_at = time.monotonic()
        self._is_aborted = False
        self._progress: tuple[int, str] | None = None
        self._progressed = asyncio.Event()
        self.retries = retries
        """Retries in all."""
        self.retry_in: float | None = None
        """The pause before the next attempt in seconds, if this one fails; by the backoff if it is
        `None`."""
        self.deadline = deadline
        """Unix time in seconds when the time limit of the attempt ends."""

    @property
    def id(self) -> str:
        """The id of the task."""
        return self._lease.task.id

    @property
    def attempt(self) -> int:
        """Attempts that have failed before this one."""
        return self._lease.attempt

    @property
    def fence(self) -> int:
        """A number that grows with each attempt and each repetition of one: a database that refuses
        a smaller one than it has seen is safe from a worker that wakes up late."""
        return self._lease.delivery

    async def is_aborted(self) -> bool:
        """Whether the task should stop: an abort is requested, or another worker has it. The answer
        is at most 250 ms old. Raises `RpcError` if the queue can't be asked."""
        if not self._is_aborted and time.monotonic() - self._asked_at >= _WRITE_INTERVAL:
            await self._extend()
        return self._is_aborted

    def progress(self, percent: int, text: str = "") -> None:
        """Sets the progress. It is stored at most 4 times a second; the last one counts."""
        self._progress = (min(max(percent, 0), 100), text)
        self._progressed.set()

    async def keep_lease(self) -> None:
        """For the worker: extends the lease in time, and stores the progress; never returns."""
        while True:
            try:
                await asyncio.wait_for(self._progressed.wait(), EXTEND_INTERVAL)
            except asyncio.TimeoutError:
                pass
            self._progressed.clear()
            try:
                await self._extend()
            except Exception:  # The lease is extended again, or ends: then another worker has it.
                pass
            await asyncio.sleep(_WRITE_INTERVAL)

    async def _extend(self) -> None:
        percent, note = self._progress or (-1, "")
        self._progress = None
        goes_on = await self._queue.extend(self._lease, percent, note, timeout=CALL_TIME)
        self._is_aborted = self._is_aborted or not goes_on
        self._asked_at = time.monotonic()


class TaskContext(Context):
    """The context of a call that is a task: it came by no connection."""

    __slots__ = ("_options", "control")

    def __init__(self, control: TaskControl, extra: dict[str, str]) -> None:
        self.control = control
        """The attempt."""
        self._options = extra

    @property
    def extra(self) -> dict[str, str]:
        """What the sender of the task has set."""
        return self._options

    @property
    def user_id(self) -> str | None:
        """A task has no user."""
        return None

    @property
    def is_oneway(self) -> bool:
        """A task has a result."""
        return False

    @property
    def deadline(self) -> float | None:
        """When the time limit of the attempt ends."""
        return self.control.deadline


def task_of(ctx: Context) -> TaskControl | None:
    """The task that a call runs; `None` in a plain call."""
    return ctx.control if isinstance(ctx, TaskContext) else None
