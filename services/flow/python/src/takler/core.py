"""Takler's builder: flows of containers and tasks, as definition text and as Takler's JSON."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from typing import Any, Protocol, TypeVar

from tce_flow._text import checked_name, expression, quoted

from .exceptions import UnsupportedValueError

__all__ = [
    "Event",
    "Flow",
    "InLimit",
    "Limit",
    "Meter",
    "Node",
    "NodeContainer",
    "NodeStatus",
    "Parameter",
    "Repeat",
    "RepeatDate",
    "ShellScriptTask",
    "Task",
    "TimeAttribute",
]

Value = str | int | float | bool
N = TypeVar("N", bound="Node")


class NodeStatus(enum.Enum):
    """The state of a node."""

    unknown = 1
    complete = 2
    queued = 3
    submitted = 4
    active = 5
    aborted = 6


class Parameter:
    """A variable of a node."""

    def __init__(self, name: str, value: Value | None = None) -> None:
        self.name = checked_name(name)
        self.value = value

    def to_dict(self) -> dict[str, Any]:
        """The parameter in Takler's JSON."""
        return {"name": self.name, "value": self.value}


class Event:
    """A switch that the job of a task sets."""

    def __init__(self, name: str, initial_value: bool = False) -> None:
        self.name = checked_name(name)
        self.initial_value = initial_value
        self.value = initial_value

    def to_dict(self) -> dict[str, Any]:
        """The event in Takler's JSON."""
        return {"name": self.name, "initial_value": self.initial_value, "value": self.value}


class Meter:
    """An integer within bounds that the job of a task sets."""

    def __init__(self, name: str, min_value: int, max_value: int) -> None:
        self.name = checked_name(name)
        self.min_value = min_value
        self.max_value = max_value
        self.value = min_value

    def to_dict(self) -> dict[str, Any]:
        """The meter in Takler's JSON."""
        return {
            "name": self.name,
            "min_value": self.min_value,
            "max_value": self.max_value,
            "value": self.value,
        }


class Limit:
    """Tokens, of which running tasks take some."""

    def __init__(self, name: str, limit: int) -> None:
        self.name = checked_name(name)
        self.limit = limit
        self.value = 0

    def to_dict(self) -> dict[str, Any]:
        """The limit in Takler's JSON."""
        return {"name": self.name, "limit": self.limit, "node_paths": [], "value": self.value}


class InLimit:
    """The tokens of a limit that each task at and below a node takes."""

    def __init__(self, limit_name: str, node_path: str | None = None, tokens: int = 1) -> None:
        self.limit_name = checked_name(limit_name)
        self.node_path = node_path
        self.tokens = tokens

    def to_dict(self) -> dict[str, Any]:
        """The in-limit in Takler's JSON."""
        return {
            "limit_name": self.limit_name,
            "tokens": self.tokens,
            "node_path": self.node_path,
        }


class RepeatDate:
    """A parameter that goes from one date to another."""

    def __init__(
        self,
        name: str,
        start_date: str | int | date,
        end_date: str | int | date,
        step: int = 1,
    ) -> None:
        self.name = checked_name(name)
        self.start_date = _date(start_date)
        self.end_date = _date(end_date)
        self.step_day = timedelta(days=step)

    @property
    def start(self) -> int:
        """The first date, as 20260101."""
        return int(self.start_date.strftime("%Y%m%d"))

    @property
    def end(self) -> int:
        """The last date, as 20260101."""
        return int(self.end_date.strftime("%Y%m%d"))

    @property
    def step(self) -> int:
        """Days from one value to the next."""
        return self.step_day.days

    @property
    def value(self) -> int:
        """The present value: the first one, since a flow runs at the server alone."""
        return self.start

    def to_dict(self) -> dict[str, Any]:
        """The repeat in Takler's JSON."""
        return {
            "name": self.name,
            "start_date": str(self.start),
            "end_date": str(self.end),
            "step": self.step,
            "value": self.value,
            "class_type": "RepeatDate",
        }


class Repeat:
    """The repeat of a node."""

    def __init__(self, r: RepeatDate) -> None:
        self.r = r

    def to_dict(self) -> dict[str, Any]:
        """The repeat in Takler's JSON."""
        return {"r": self.r.to_dict()}


class TimeAttribute:
    """A time of the day at which a node may run."""

    def __init__(self, time: time_of_day | str) -> None:
        if isinstance(time, str):
            time = datetime.strptime(time, "%H:%M").time()
        self.time = time

    def to_dict(self) -> dict[str, Any]:
        """The time in Takler's JSON."""
        return {"time": self.time.strftime("%H:%M"), "free": False}


def _date(value: str | int | date) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    return datetime.strptime(str(value), "%Y%m%d").date()


class _Described(Protocol):
    def to_dict(self) -> dict[str, Any]: ...


def _put(result: dict[str, Any], key: str, items: Iterable[_Described]) -> None:
    """Adds items to a description, unless there are none."""
    described = [item.to_dict() for item in items]
    if described:
        result[key] = described


class Node:
    """What flows, containers and tasks share."""

    _module = "takler.core.node"

    def __init__(self, name: str) -> None:
        self.name = checked_name(name)
        self.parent: Node | None = None
        self.children: list[Node] = []
        self.node_status = NodeStatus.unknown
        self.default_node_status = NodeStatus.queued
        self.user_parameters: dict[str, Parameter] = {}
        self.trigger: str | None = None
        self.complete_trigger: str | None = None
        self.events: list[Event] = []
        self.meters: list[Meter] = []
        self.limits: list[Limit] = []
        self.in_limits: list[InLimit] = []
        self.repeat: Repeat | None = None
        self.times: list[TimeAttribute] = []

    def __enter__(self: N) -> N:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.name}"

    @property
    def node_path(self) -> str:
        """The path from the flow down, as `/flow/container/task`."""
        parent = self.parent.node_path if self.parent is not None else ""
        return f"{parent}/{self.name}"

    def add_parameter(
        self,
        param: dict[str, Value] | list[Parameter] | str | Parameter,
        value: Value | None = None,
    ) -> Parameter | None:
        """Adds one parameter by its name and value, or several."""
        if isinstance(param, str):
            if value is None:
                raise TypeError("a parameter needs a value")
            param = Parameter(param, value)
        elif value is not None:
            raise TypeError("a value needs the name of a parameter")
        if isinstance(param, Parameter):
            self.user_parameters[param.name] = param
            return param
        if isinstance(param, dict):
            param = [Parameter(name, value) for name, value in param.items()]
        for one in param:
            self.user_parameters[one.name] = one
        return None

    def add_trigger(self, trigger: str, parse: bool = False) -> None:
        """What has to be true before the node runs. The server parses it."""
        self.trigger = expression(trigger)

    def add_complete_trigger(self, trigger: str, parse: bool = False) -> None:
        """What makes the node complete without running."""
        self.complete_trigger = expression(trigger)

    def add_event(self, name: str, initial_value: bool = False, check: bool = True) -> Event:
        """Adds an event."""
        if check and any(event.name == name for event in self.events):
            raise RuntimeError(f"add event failed: event name is duplicate: {name}")
        self.events.append(Event(name, initial_value))
        return self.events[-1]

    def add_meter(self, name: str, min_value: int, max_value: int) -> Meter:
        """Adds a meter."""
        self.meters.append(Meter(name, min_value, max_value))
        return self.meters[-1]

    def add_limit(self, name: str, limit: int) -> Limit:
        """Adds a limit."""
        if any(known.name == name for known in self.limits):
            raise RuntimeError(
                f"add_limit failed: duplicate limit {name} for node {self.node_path}"
            )
        self.limits.append(Limit(name, limit))
        return self.limits[-1]

    def add_in_limit(
        self, limit_name: str, node_path: str | None = None, tokens: int = 1
    ) -> InLimit:
        """Each task at and below the node takes tokens of a limit."""
        self.in_limits.append(InLimit(limit_name, node_path, tokens))
        return self.in_limits[-1]

    def add_repeat(self, r: RepeatDate) -> RepeatDate:
        """The node runs for each value."""
        self.repeat = Repeat(r)
        return r

    def add_time(self, time: time_of_day | str) -> TimeAttribute:
        """The node runs at a time of the day."""
        self.times.append(TimeAttribute(time))
        return self.times[-1]

    def set_default_node_status(self, node_status: NodeStatus) -> None:
        """The state after begin and requeue: queued or complete."""
        if node_status not in (NodeStatus.queued, NodeStatus.complete):
            raise UnsupportedValueError(
                f"default node status {node_status} is not supported. "
                "Only queued, complete are allowed."
            )
        self.default_node_status = node_status

    def to_dict(self) -> dict[str, Any]:
        """The node in Takler's JSON."""
        result: dict[str, Any] = {
            "name": self.name,
            "state": {"status": self.node_status.value, "suspended": False},
            "class_type": {"module": self._module, "name": type(self).__name__},
        }
        if self.default_node_status != NodeStatus.queued:
            result["default_node_status"] = self.default_node_status.value
        _put(result, "children", self.children)
        _put(result, "user_parameters", self.user_parameters.values())
        if self.trigger is not None:
            result["trigger"] = self.trigger
        if self.complete_trigger is not None:
            result["complete_trigger"] = self.complete_trigger
        _put(result, "events", self.events)
        _put(result, "meters", self.meters)
        _put(result, "limits", self.limits)
        if self.in_limits:
            result["in_limit_manager"] = {
                "in_limit_list": [one.to_dict() for one in self.in_limits]
            }
        if self.repeat is not None:
            result["repeat"] = self.repeat.to_dict()
        _put(result, "times", self.times)
        return result

    def to_def(self) -> str:
        """The node as definition text."""
        return "".join(f"{line}\n" for line in self._lines(0))

    def _keyword(self) -> str:
        raise NotImplementedError

    def _lines(self, level: int) -> Iterator[str]:
        keyword = self._keyword()
        indent = "  " * level
        yield f"{indent}{keyword} {self.name}"
        for line in self._attributes():
            yield f"{indent}  {line}"
        for child in self.children:
            yield from child._lines(level + 1)
        if keyword != "task":
            yield f"{indent}end{keyword}"

    def _attributes(self) -> Iterator[str]:
        if self.default_node_status == NodeStatus.complete:
            yield "defstatus complete"
        if self.complete_trigger is not None:
            yield f"complete {self.complete_trigger}"
        if self.trigger is not None:
            yield f"trigger {self.trigger}"
        if self.repeat is not None:
            r = self.repeat.r
            yield f"repeat date {r.name} {r.start} {r.end} {r.step}"
        for parameter in self.user_parameters.values():
            yield f"edit {parameter.name} {quoted(parameter.value)}"
        for limit in self.limits:
            yield f"limit {limit.name} {limit.limit}"
        for one in self.in_limits:
            owner = f"{one.node_path}:" if one.node_path else ""
            tokens = f" {one.tokens}" if one.tokens != 1 else ""
            yield f"inlimit {owner}{one.limit_name}{tokens}"
        for meter in self.meters:
            yield f"meter {meter.name} {meter.min_value} {meter.max_value}"
        for event in self.events:
            yield f"event {event.name}{' set' if event.initial_value else ''}"
        for one_time in self.times:
            yield f"time {one_time.time.strftime('%H:%M')}"


class Task(Node):
    """A task."""

    _module = "takler.core.task_node"

    def _keyword(self) -> str:
        return "task"

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "task_id": None, "aborted_reason": None, "try_no": 0}


class ShellScriptTask(Task):
    """A task whose job is made of a script."""

    _module = "takler.tasks.shell.shell_script_task"

    def __init__(self, name: str, script_path: str | os.PathLike[str] | None = None) -> None:
        super().__init__(name)
        self.script_path = script_path

    def to_dict(self) -> dict[str, Any]:
        script = None if self.script_path is None else os.fspath(self.script_path)
        return {**super().to_dict(), "script_path": script}

    def _attributes(self) -> Iterator[str]:
        if self.script_path is not None and "TAKLER_SCRIPT" not in self.user_parameters:
            yield f"edit TAKLER_SCRIPT {quoted(os.fspath(self.script_path))}"
        yield from super()._attributes()


class NodeContainer(Node):
    """Holds containers and tasks."""

    _module = "takler.core.node_container"

    def _keyword(self) -> str:
        return "family"

    def _add(self, child: N) -> N:
        if any(known.name == child.name for known in self.children):
            raise ValueError(f"{self.node_path} has a node {child.name} already")
        child.parent = self
        self.children.append(child)
        return child

    def add_container(self, container: str | NodeContainer) -> NodeContainer:
        """Adds a container."""
        return self._add(NodeContainer(container) if isinstance(container, str) else container)

    def add_task(self, task: str | Task) -> Task:
        """Adds a task."""
        return self._add(Task(task) if isinstance(task, str) else task)


class Flow(NodeContainer):
    """A flow."""

    _module = "takler.core.flow"

    def _keyword(self) -> str:
        return "suite"

    def to_dict(self) -> dict[str, Any]:
        """The flow in Takler's JSON, which `load` takes."""
        calendar = dict.fromkeys(_CALENDAR)
        return {**super().to_dict(), "begun": False, "calendar": calendar}


_CALENDAR = (
    "initial_time",
    "flow_time",
    "duration",
    "increment",
    "initial_real_time",
    "last_real_time",
)
