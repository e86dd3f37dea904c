"""Takler's client."""

from __future__ import annotations

import os
import platform
import random
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from tce import ErrorCode, RpcError

from tce_flow._flow import Job, Outcome, Reply
from tce_flow._link import Link, Proxies, Unreachable

from .exceptions import (
    BY_CODE,
    ClientConnectionError,
    ServerResponseError,
    TaklerError,
    TransportError,
)

__all__ = ["TaklerServiceClient"]

T = TypeVar("T")

_ASK_AGAIN = (60, 61, 62)
_PAUSES = (1.0, 2.0, 4.0, 8.0, 10.0)
_PING_TIME = 2.5
_ATTEMPT_TIME = 10.0


class TaklerServiceClient:
    """A client of one server. Its calls block, and raise exceptions of `takler.exceptions`."""

    def __init__(self, host: str = "localhost", port: int | str = "33083") -> None:
        self.host = host
        self.port = str(port)
        self._link = Link(self.host, self.port, "takler")

    def set_host_port(self, host: str, port: int | str) -> None:
        """Calls another server from now on."""
        self._link.close()
        self.host, self.port = host, str(port)
        self._link = Link(self.host, self.port, "takler")

    @property
    def listen_address(self) -> str:
        """`host:port` of the server."""
        return f"{self.host}:{self.port}"

    def close_channel(self) -> None:
        """Ends the connection; the next call makes another."""
        self._link.close()

    shutdown = close_channel

    def ping(self) -> None:
        """Prints how long the server takes to answer."""
        began = datetime.now()
        self._call("ping", lambda to: to.query.ping(), timeout=_PING_TIME, attempts=1)
        print(f"ping server ({self.listen_address}) succeeded in {datetime.now() - began}.")

    def init(self, node_path: str, task_id: str) -> None:
        """The job of a task runs."""
        self._tell("init", node_path, lambda to, job: to.jobs.started(job, []), str(task_id))

    def complete(self, node_path: str) -> None:
        """The job of a task is done."""
        self._tell("complete", node_path, lambda to, job: to.jobs.completed(job, []))

    def abort(self, node_path: str, reason: str = "") -> None:
        """The job of a task has failed."""
        self._tell("abort", node_path, lambda to, job: to.jobs.aborted(job, reason))

    def event(self, node_path: str, event_name: str) -> None:
        """Sets an event of a task."""
        self._tell("event", node_path, lambda to, job: to.jobs.setEvent(job, event_name, True))

    def meter(self, node_path: str, meter_name: str, meter_value: int | str) -> None:
        """Sets a meter of a task."""
        value = int(meter_value)
        self._tell("meter", node_path, lambda to, job: to.jobs.setMeter(job, meter_name, value))

    def requeue(self, node_path: list[str]) -> None:
        """Puts nodes back to their default states; a flow that has not begun begins."""
        self._order("requeue", lambda to: to.control.requeue(node_path, "begin"))

    def suspend(self, node_path: list[str]) -> None:
        """Holds nodes."""
        self._order("suspend", lambda to: to.control.suspend(node_path))

    def resume(self, node_path: list[str]) -> None:
        """Lets suspended nodes go on."""
        self._order("resume", lambda to: to.control.resume(node_path))

    def run(self, node_path: list[str], force: bool = False) -> None:
        """Submits tasks, whatever they wait for."""
        self._order("run", lambda to: to.control.run(node_path, force))

    def force(self, variable_paths: list[str], state: str, recursive: bool = True) -> None:
        """Sets states of nodes."""
        self._order("force", lambda to: to.control.force(variable_paths, state, recursive, False))

    def free_dep(self, node_paths: list[str], dep_type: str = "all") -> None:
        """Frees nodes of what they wait for."""
        self._order("free-dep", lambda to: to.control.freeDependencies(node_paths, dep_type))

    def load(self, flow_file_path: str | os.PathLike[str]) -> None:
        """Loads a flow from a file with Takler's JSON, or with a definition."""
        with open(flow_file_path, encoding="utf-8") as file:
            text = file.read()
        kind = "json" if text.lstrip().startswith("{") else "def"

        async def load(to: Proxies) -> Reply:
            return await to.control.load(await to.uploaded(text), kind, False)

        self._accept(self._call("load", load))

    def begin(self, flow_name: str = "", force: bool = False) -> None:
        """Begins a flow, or all flows."""
        names = [flow_name] if flow_name else []
        self._order("begin", lambda to: to.control.begin(names, force))

    def show(
        self,
        show_parameter: bool = False,
        show_trigger: bool = True,
        show_limit: bool = True,
        show_event: bool = True,
        show_meter: bool = True,
    ) -> None:
        """Prints the tree of all flows."""
        items = {
            "trigger": show_trigger,
            "parameter": show_parameter,
            "limit": show_limit,
            "event": show_event,
            "meter": show_meter,
        }
        style = " ".join(["takler", *(item for item, is_shown in items.items() if is_shown)])
        print(self._call("show", lambda to: to.show("/", style)), end="")

    def _call(
        self,
        command: str,
        operation: Callable[[Proxies], Awaitable[T]],
        timeout: float = 30.0,
        attempts: int = 2,
    ) -> T:
        try:
            return self._link.call(operation, timeout=timeout, attempts=attempts)
        except Unreachable as error:
            text = f"server {self.listen_address} is unreachable: {error}"
            raise ClientConnectionError(text) from error
        except RpcError as error:
            if error.code == ErrorCode.REMOTE_EXCEPTION:
                raise ServerResponseError(error.text) from error
            text = f"{command} on server {self.listen_address} failed: {error}"
            raise TransportError(text) from error

    def _accept(self, reply: Reply) -> None:
        if reply.code != 0:
            raise BY_CODE.get(reply.code, TaklerError)(reply.text)
        print("received: success")

    def _order(
        self, command: str, operation: Callable[[Proxies], Awaitable[list[Outcome]]]
    ) -> None:
        outcomes = self._call(command, operation)
        refused = [outcome for outcome in outcomes if outcome.code != 0]
        if refused:
            text = "; ".join(f"{one.path}: {one.text}" if one.path else one.text for one in refused)
            raise BY_CODE.get(refused[0].code, TaklerError)(text)
        print("received: success")

    def _tell(
        self,
        command: str,
        node_path: str,
        operation: Callable[[Proxies, Job], Awaitable[Reply]],
        rid: str | None = None,
    ) -> None:
        """A child command: repeated while the server is away, halted or holds a zombie."""
        job = _job(node_path, rid)
        end = time.monotonic() + float(os.environ.get("TAKLER_TIMEOUT") or 86400)
        attempt = 0
        while True:
            failure: TaklerError
            try:
                reply = self._call(
                    command, lambda to: operation(to, job), timeout=_ATTEMPT_TIME, attempts=1
                )
            except TransportError as error:
                self._link.close()
                failure = error
            else:
                if reply.code not in _ASK_AGAIN:
                    self._accept(reply)
                    return
                failure = TaklerError(reply.text)
            # Jobs that lost their server at the same moment come back at different ones.
            pause = _PAUSES[min(attempt, len(_PAUSES) - 1)] * random.uniform(0.75, 1.0)
            attempt += 1
            if time.monotonic() + pause > end:
                raise failure
            time.sleep(pause)


def _variable(*names: str) -> str:
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def _job(node_path: str, rid: str | None) -> Job:
    tries = _variable("TAKLER_TRY_NO", "ECF_TRYNO")
    return Job(
        path=node_path,
        password=_variable("TAKLER_PASS", "ECF_PASS"),
        rid=_variable("TAKLER_RID", "ECF_RID") if rid is None else rid,
        tryNo=int(tries) if tries.isdecimal() else 0,
        host=platform.node(),
    )
