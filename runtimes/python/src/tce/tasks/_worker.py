"""Runs the tasks of groups on servants."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
import logging
import time
import typing
from collections.abc import Callable
from typing import Any

from .._errors import DecodeError, Fault, MarshalError, RpcError
from .._options import Limits
from .._servant import Interface, Operation, Servant
from ._client import CALL_TIME, JSON, MARSHALLED, Status, Tasks
from ._control import AbortTask, NoRetry, TaskContext, TaskControl
from ._json import from_json, is_dict, is_list, to_json
from ._queue import Lease, Outcome, Task

_LEASE_WAIT = 1.0
"""How long one look for tasks lasts, in seconds."""
_FAILURE_PAUSE = 0.5
"""The pause after the queue has failed, in seconds."""
_FINISH_ATTEMPTS = 60
"""How often an outcome is stored again before it is given up, and the lease ends by itself."""
_HAND_BACK_TIME = 2.0
"""How long handing back may take once the time for a shutdown is over, in seconds."""
_TIME_LIMIT = 25 * 60.0
_RETRIES = 3

_log = logging.getLogger(__name__)


class _Failure(Exception):
    """The attempt can never succeed."""


class _Target:
    """An operation of a servant."""

    def __init__(
        self, class_: type[Servant], operation: Operation[Any], method: Callable[..., Any]
    ) -> None:
        self.name = operation.name.replace("::", ".")
        self.operation = operation
        self.method = method
        declared = getattr(class_, method.__name__)
        hints = typing.get_type_hints(declared)
        names = [name for name in inspect.signature(declared).parameters if name != "self"]
        self.parameters = [(name, hints[name]) for name in names[:-1]]

    async def run(self, task: Task, context: TaskContext) -> Any:
        """Decodes the arguments, and calls the method; a blocking one in a thread."""
        arguments = self._arguments(task)
        if inspect.iscoroutinefunction(self.method):
            return await self.method(*arguments, context)
        return await asyncio.to_thread(self.method, *arguments, context)

    def _arguments(self, task: Task) -> list[Any]:
        own = self.operation.layout()
        signature = task.options.get("signature", own)
        if signature != own:
            raise _Failure(
                f"{self.name}: the sender has the layout `{signature}`, expected `{own}`: generate "
                "its code again from the IDL of this worker"
            )
        if task.contentType == MARSHALLED:
            try:
                end = len(task.body)
                return self.operation.decode_parameters(task.body, 0, end, Limits())
            except DecodeError as error:
                raise _Failure(f"{self.name}: {error}") from None
        if task.contentType == JSON:
            return self._from_json(task.body)
        if task.contentType.startswith(f"{JSON}; type="):
            return self._from_result(task)
        raise _Failure(f"the body is `{task.contentType}`: expected {JSON} or {MARSHALLED}")

    def _from_json(self, body: bytes) -> list[Any]:
        try:
            values = json.loads(body)
        except ValueError as error:
            raise _Failure(f"the body is not a JSON array: {error}") from None
        if not is_list(values):
            raise _Failure("the body is not a JSON array")
        return self._convert(values)

    def _from_result(self, task: Task) -> list[Any]:
        """The result of the step before: the members of a struct if there are as many parameters,
        else one argument."""
        try:
            result = json.loads(task.body)
        except ValueError as error:
            raise _Failure(f"the result of the step before is no JSON: {error}") from None
        if is_dict(result) and 'type="struct ' in task.contentType:
            takes_struct = len(self.parameters) != len(result)
            if len(self.parameters) == 1:
                takes_struct = dataclasses.is_dataclass(self.parameters[0][1])
            if not takes_struct:
                return self._convert(list(result.values()))
        return self._convert([result])

    def _convert(self, values: list[Any]) -> list[Any]:
        if len(values) != len(self.parameters):
            raise _Failure(f"{self.name} has {len(self.parameters)} parameters, got {len(values)}")
        arguments: list[Any] = []
        for (name, hint), value in zip(self.parameters, values):
            try:
                arguments.append(from_json(hint, value))
            except ValueError as error:
                raise _Failure(f"{self.name}: {name}: {error}") from None
        try:
            # The codecs know the ranges of the types.
            self.operation.encode_parameters(tuple(arguments))
        except MarshalError as error:
            raise _Failure(f"{self.name}: {error}") from None
        return arguments


class _Group:
    def __init__(self, name: str, servants: tuple[Servant, ...], concurrency: int) -> None:
        self.name = name
        self.concurrency = concurrency
        self.targets: dict[str, _Target] = {}
        """By the full name; an inherited operation has those of all interfaces that have it."""
        for servant in servants:
            inheriting: list[tuple[type[Servant], str]] = []
            for class_ in type(servant).__mro__:
                interface = class_.__dict__.get("_interface")
                if isinstance(interface, Interface) and issubclass(class_, Servant):
                    inheriting.append((class_, interface.name))
                    for method, operation in interface.operations.items():
                        target = _Target(class_, operation, getattr(servant, method))
                        spelled = operation.name.rsplit("::", 1)[1]
                        for derived, name in inheriting:
                            if issubclass(derived, class_):
                                self.targets[f"{name}.{spelled}"] = target

    def find(self, name: str) -> _Target:
        """An operation by its full name, or the end of one."""
        names = [name] if name in self.targets else self.targets
        found = [self.targets[full] for full in names if f".{full}".endswith(f".{name}")]
        found = list(dict.fromkeys(found))
        if not found:
            raise _Failure(f"the group `{self.name}`: there is no operation `{name}`")
        if len(found) > 1:
            full_names = " or ".join(f"`{it.name}`" for it in found)
            raise _Failure(f"the group `{self.name}`: `{name}` is ambiguous: write {full_names}")
        return found[0]


class Worker:
    """Runs tasks while its `async with` block runs."""

    def __init__(self, tasks: Tasks, *, shutdown_timeout: float = 30.0) -> None:
        """`shutdown_timeout`: how long the end of the block waits for tasks that run, in seconds;
        then it hands them back, and they run again elsewhere."""
        self._queue = tasks.queue
        self._shutdown_timeout = shutdown_timeout
        self._groups: list[_Group] = []
        self._loops: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._handing_back = asyncio.Event()

    def group(self, name: str, *servants: Servant, concurrency: int = 1) -> Worker:
        """Adds a group with its servants; `concurrency` of its tasks run at once."""
        self._groups.append(_Group(name, servants, concurrency))
        return self

    async def __aenter__(self) -> Worker:
        self._loops = [asyncio.create_task(self._run(group)) for group in self._groups]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        ended = await asyncio.wait(self._loops, timeout=self._shutdown_timeout)
        if ended[1]:
            self._handing_back.set()
            ended = await asyncio.wait(ended[1], timeout=_HAND_BACK_TIME)
        for loop in ended[1]:
            loop.cancel()

    async def _run(self, group: _Group) -> None:
        running: set[asyncio.Task[None]] = set()
        while not self._stopping.is_set():
            free = group.concurrency - len(running)
            if free == 0:
                stopping = asyncio.create_task(self._stopping.wait())
                await asyncio.wait({*running, stopping}, return_when=asyncio.FIRST_COMPLETED)
                stopping.cancel()
                running = {task for task in running if not task.done()}
                continue
            try:
                wait_ms = round(_LEASE_WAIT * 1000)
                leases = await self._queue.lease(
                    "", group.name, free, wait_ms, timeout=_LEASE_WAIT + CALL_TIME
                )
            except RpcError as error:
                _log.warning("can't take tasks of %s: %s", group.name, error)
                await asyncio.sleep(_FAILURE_PAUSE)
                continue
            for lease in leases:
                running.add(asyncio.create_task(self._execute(group, lease)))
            running = {task for task in running if not task.done()}
        if running:
            await asyncio.wait(running)

    async def _execute(self, group: _Group, lease: Lease) -> None:
        options = lease.task.options
        limit = min(int(options.get("time_limit", _TIME_LIMIT * 1000)) / 1000, _TIME_LIMIT)
        retries = int(options.get("retry", _RETRIES))
        control = TaskControl(self._queue, lease, retries, time.time() + limit)
        attempt = asyncio.create_task(self._attempt(group, lease, control, limit))
        keeping = asyncio.create_task(control.keep_lease())
        handing_back = asyncio.create_task(self._handing_back.wait())
        try:
            await asyncio.wait({attempt, handing_back}, return_when=asyncio.FIRST_COMPLETED)
            outcome = Outcome(status=Status.SENT)
            if attempt.done():
                outcome = attempt.result()
        finally:
            for task in (attempt, keeping, handing_back):
                task.cancel()
        outcome.retries = control.retries
        outcome.pauseMs = -1 if control.retry_in is None else round(control.retry_in * 1000)
        await self._store(lease, outcome)

    async def _attempt(
        self, group: _Group, lease: Lease, control: TaskControl, limit: float
    ) -> Outcome:
        """The outcome of one attempt."""
        task = lease.task
        prefix = "extra."
        extra = {
            key.removeprefix(prefix): value
            for key, value in task.options.items()
            if key.startswith(prefix)
        }
        try:
            running = group.find(task.operation).run(task, TaskContext(control, extra))
            value = await asyncio.wait_for(running, limit)
        except (_Failure, NoRetry) as error:
            return Outcome(status=Status.FAILURE, error=str(error))
        except AbortTask as error:
            return Outcome(status=Status.ABORTED, error=str(error))
        except Fault as fault:
            return Outcome(status=Status.WAITING_RETRY, error=fault.text)
        except asyncio.TimeoutError:
            text = f"exceeded its time limit of {limit:g} s"
            return Outcome(status=Status.WAITING_RETRY, error=text)
        except Exception as error:
            _log.exception("a task of %s failed", group.name)
            return Outcome(status=Status.WAITING_RETRY, error=f"{type(error).__name__}: {error}")
        if value is None:
            return Outcome(status=Status.SUCCESS, contentType=JSON)
        name = type(value).__name__
        kind = f"struct {name}" if hasattr(value, "__dataclass_fields__") else name
        result = json.dumps(to_json(value)).encode()
        return Outcome(status=Status.SUCCESS, contentType=f'{JSON}; type="{kind}"', result=result)

    async def _store(self, lease: Lease, outcome: Outcome) -> None:
        for _ in range(_FINISH_ATTEMPTS):
            try:
                await self._queue.finish(lease, outcome, timeout=CALL_TIME)
                return
            except RpcError as error:
                _log.warning("can't store an outcome: %s", error)
                await asyncio.sleep(_FAILURE_PAUSE)
