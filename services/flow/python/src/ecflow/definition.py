"""ecFlow's builder: suites, families and tasks with their attributes, as definition text."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tce_flow._text import checked_name, expression, quoted

N = TypeVar("N", bound="Node")


class State(enum.Enum):
    """The state of a node."""

    unknown = 0
    complete = 1
    queued = 2
    aborted = 3
    submitted = 4
    active = 5

    def __str__(self) -> str:
        return self.name


class DState(enum.Enum):
    """The state of a node, or that it is suspended."""

    unknown = 0
    complete = 1
    queued = 2
    aborted = 3
    submitted = 4
    active = 5
    suspended = 6

    def __str__(self) -> str:
        return self.name


class Days(enum.Enum):
    """Days of the week."""

    sunday = 0
    monday = 1
    tuesday = 2
    wednesday = 3
    thursday = 4
    friday = 5
    saturday = 6


class Attribute:
    """One line of a definition."""

    def __init__(self, text: str) -> None:
        if "\n" in text or "\r" in text:
            raise ValueError(f"an attribute is one line: {text!r}")
        self._text = text

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(self._text)


class Variable(Attribute):
    """A variable."""

    def __init__(self, name: str, value: object) -> None:
        self._name = checked_name(name)
        self._value = str(value)
        super().__init__(f"edit {name} {quoted(value)}")

    def name(self) -> str:
        """Its name."""
        return self._name

    def value(self) -> str:
        """Its value."""
        return self._value


class Edit:
    """Variables, as `Edit(A=1, B="x")` or `Edit({"A": 1})`."""

    def __init__(self, *mappings: dict[str, Any], **variables: Any) -> None:
        every = dict[str, Any]()
        for mapping in (*mappings, variables):
            every.update(mapping)
        self.variables = [Variable(name, value) for name, value in every.items()]


class _Expression(Attribute):
    _keyword = ""

    def __init__(self, text: str | Iterable[str], is_and: bool | None = None) -> None:
        if not isinstance(text, str):
            # Names of tasks that have to be complete.
            text = " and ".join(f"{name} == complete" for name in text)
        option = {None: "", True: "-a ", False: "-o "}[is_and]
        super().__init__(f"{self._keyword} {option}{expression(text)}")


class Trigger(_Expression):
    """What has to be true before a node runs. `is_and` adds a part by and, or by or."""

    _keyword = "trigger"


class Complete(_Expression):
    """What makes a node complete without running."""

    _keyword = "complete"


class Event(Attribute):
    """A switch: by number, name or both."""

    def __init__(
        self, number: int | str, name: str | bool | None = None, initial: bool = False
    ) -> None:
        if isinstance(name, bool):
            initial, name = name, None
        words = [checked_name(str(number)), *([checked_name(name)] if name else [])]
        super().__init__(f"event {' '.join(words)}{' set' if initial else ''}")


class Meter(Attribute):
    """An integer within bounds."""

    def __init__(self, name: str, minimum: int, maximum: int, threshold: int | None = None) -> None:
        last = "" if threshold is None else f" {threshold}"
        super().__init__(f"meter {checked_name(name)} {minimum} {maximum}{last}")


class Label(Attribute):
    """A text."""

    def __init__(self, name: str, value: object) -> None:
        super().__init__(f"label {checked_name(name)} {quoted(value)}")


class Limit(Attribute):
    """Tokens, of which running tasks take some."""

    def __init__(self, name: str, maximum: int) -> None:
        self._name = checked_name(name)
        super().__init__(f"limit {name} {maximum}")

    def name(self) -> str:
        """Its name."""
        return self._name


class InLimit(Attribute):
    """The tokens of a limit that each task at and below a node takes."""

    def __init__(
        self,
        name: str,
        path: str = "",
        tokens: int = 1,
        limit_this_node_only: bool = False,
        limit_submission: bool = False,
    ) -> None:
        option = "-n " if limit_this_node_only else "-s " if limit_submission else ""
        owner = f"{path}:" if path else ""
        last = "" if tokens == 1 else f" {tokens}"
        super().__init__(f"inlimit {option}{owner}{checked_name(name)}{last}")


class Defstatus(Attribute):
    """The state after begin and requeue."""

    def __init__(self, state: str | State | DState) -> None:
        super().__init__(f"defstatus {state}")


class RepeatInteger(Attribute):
    """A variable that goes from one integer to another."""

    def __init__(self, name: str, start: int, end: int, step: int = 1) -> None:
        last = "" if step == 1 else f" {step}"
        super().__init__(f"repeat integer {checked_name(name)} {start} {end}{last}")


class RepeatDate(Attribute):
    """A variable that goes from one date to another, such as 20260101."""

    def __init__(self, name: str, start: int, end: int, step: int = 1) -> None:
        super().__init__(f"repeat date {checked_name(name)} {start} {end} {step}")


class _RepeatWords(Attribute):
    _kind = ""

    def __init__(self, name: str, words: Iterable[object]) -> None:
        values = " ".join(f'"{word}"' for word in words)
        super().__init__(f"repeat {self._kind} {checked_name(name)} {values}")


class RepeatDateList(_RepeatWords):
    """A variable that takes dates one by one."""

    _kind = "datelist"


class RepeatEnumerated(_RepeatWords):
    """A variable that takes words one by one; numbers count as such in expressions."""

    _kind = "enumerated"


class RepeatString(_RepeatWords):
    """A variable that takes words one by one."""

    _kind = "string"


def _series(start: object, end: object, step: object) -> str:
    words = [str(word) for word in (start, end, step) if word is not None]
    return " ".join(words)


class Time(Attribute):
    """Times of the day: `Time("10:00")`, `Time("+00:20")`, `Time("10:00", "20:00", "01:00")`."""

    def __init__(self, start: object, end: object = None, step: object = None) -> None:
        super().__init__(f"time {_series(start, end, step)}")


class Today(Attribute):
    """Times of today; one that has passed is free at once."""

    def __init__(self, start: object, end: object = None, step: object = None) -> None:
        super().__init__(f"today {_series(start, end, step)}")


class Cron(Attribute):
    """Times of days, without end: `Cron("10:00 20:00 01:00", days_of_week=[0, 1])`."""

    def __init__(
        self,
        time: str = "",
        days_of_week: Iterable[int] = (),
        days_of_month: Iterable[int] = (),
        months: Iterable[int] = (),
    ) -> None:
        lists = {"-w": days_of_week, "-d": days_of_month, "-m": months}
        options = [
            f"{option} {','.join(str(one) for one in numbers)}"
            for option, numbers in ((option, list(every)) for option, every in lists.items())
            if numbers
        ]
        super().__init__(" ".join(["cron", *options, time]))


class Date(Attribute):
    """Days on which a node may run: `Date("1.*.2026")` or `Date(1, 0, 2026)`; 0 is each."""

    def __init__(self, day: int | str, month: int = 0, year: int = 0) -> None:
        if isinstance(day, int):
            day = ".".join(str(part) if part else "*" for part in (day, month, year))
        super().__init__(f"date {day}")


class Day(Attribute):
    """A day of the week on which a node may run."""

    def __init__(self, day: str | Days) -> None:
        super().__init__(f"day {day.name if isinstance(day, Days) else day}")


class Late(Attribute):
    """When a task counts as late: `Late("-s +00:15 -a 20:00 -c +02:00")`."""

    def __init__(
        self,
        text: str = "",
        submitted: str | None = None,
        active: str | None = None,
        complete: str | None = None,
    ) -> None:
        parts = [text] if text else []
        for option, value in (("-s", submitted), ("-a", active), ("-c", complete)):
            if value is not None:
                parts.append(f"{option} {value}")
        super().__init__(f"late {' '.join(parts)}")


class Autocancel(Attribute):
    """When a complete node is deleted: days, or a time such as `+01:00`."""

    def __init__(self, when: int | str) -> None:
        super().__init__(f"autocancel {when}")


class Clock(Attribute):
    """The clock of a suite: `Clock("hybrid 1.1.2026 +00:30")`."""

    def __init__(self, text: str) -> None:
        super().__init__(f"clock {text}")


class Zombie(Attribute):
    """What becomes of zombies: `Zombie("ecf:fob::")`."""

    def __init__(self, text: str) -> None:
        super().__init__(f"zombie {text}")


class Node:
    """What suites, families and tasks share."""

    _keyword = ""

    def __init__(self, name: str, *items: Any, **variables: Any) -> None:
        self._name = checked_name(name)
        self._parent: Node | Defs | None = None
        self._attributes: list[Attribute] = []
        self._children: list[Node] = []
        self.add(*items, **variables)

    def __enter__(self: N) -> N:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def name(self) -> str:
        """Its name."""
        return self._name

    def get_abs_node_path(self) -> str:
        """The path from the suite down."""
        parent = self._parent.get_abs_node_path() if isinstance(self._parent, Node) else ""
        return f"{parent}/{self._name}"

    @property
    def nodes(self) -> Iterator[Node]:
        """Its children."""
        return iter(self._children)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._children)

    def add(self: N, *items: Any, **variables: Any) -> N:
        """Adds attributes, nodes, lists of them, and variables."""
        for item in items:
            if item is None:
                continue
            if isinstance(item, Attribute):
                self._set(item)
            elif isinstance(item, Edit):
                self.add(*item.variables)
            elif isinstance(item, dict):
                self.add(Edit(item))
            elif isinstance(item, Node):
                self._add_node(item)
            elif isinstance(item, Iterable) and not isinstance(item, str):
                self.add(*item)
            else:
                raise TypeError(f"{item!r} is neither an attribute nor a node")
        return self.add(Edit(variables)) if variables else self

    __iadd__ = add

    def _set(self, attribute: Attribute) -> None:
        """Adds an attribute; a variable takes the place of one of the same name."""
        if isinstance(attribute, Variable):
            for at, known in enumerate(self._attributes):
                if isinstance(known, Variable) and known.name() == attribute.name():
                    self._attributes[at] = attribute
                    return
        self._attributes.append(attribute)

    def _add_node(self, node: Node) -> None:
        if self._keyword == "task":
            raise TypeError(f"{self.get_abs_node_path()} is a task: it has no nodes below")
        if any(known._name == node._name for known in self._children):
            raise RuntimeError(
                f"Add {type(node).__name__} failed: A {type(node).__name__} of name "
                f"'{node._name}' already exist on node {self.get_abs_node_path()}"
            )
        node._parent = self
        self._children.append(node)

    def add_variable(self: N, name: str | dict[str, Any], value: object = None) -> N:
        """Adds a variable, or several of a dictionary."""
        return self.add(Edit(name)) if isinstance(name, dict) else self.add(Variable(name, value))

    def add_trigger(self: N, text: str) -> N:
        """Sets the trigger."""
        return self.add(Trigger(text))

    def add_part_trigger(self: N, text: str, is_and: bool | None = None) -> N:
        """Adds a part of the trigger."""
        return self.add(Trigger(text, is_and))

    def add_complete(self: N, text: str) -> N:
        """Sets the complete expression."""
        return self.add(Complete(text))

    def add_part_complete(self: N, text: str, is_and: bool | None = None) -> N:
        """Adds a part of the complete expression."""
        return self.add(Complete(text, is_and))

    def add_event(self: N, event: Event | int | str, name: str | None = None) -> N:
        """Adds an event."""
        return self.add(event if isinstance(event, Event) else Event(event, name))

    def add_meter(self: N, meter: Meter | str, *bounds: int) -> N:
        """Adds a meter."""
        return self.add(meter if isinstance(meter, Meter) else Meter(meter, *bounds))

    def add_label(self: N, label: Label | str, value: object = "") -> N:
        """Adds a label."""
        return self.add(label if isinstance(label, Label) else Label(label, value))

    def add_limit(self: N, limit: Limit | str, maximum: int = 0) -> N:
        """Adds a limit."""
        return self.add(limit if isinstance(limit, Limit) else Limit(limit, maximum))

    def add_inlimit(self: N, inlimit: InLimit | str, path: str = "", tokens: int = 1) -> N:
        """Adds an inlimit."""
        return self.add(inlimit if isinstance(inlimit, InLimit) else InLimit(inlimit, path, tokens))

    def add_repeat(self: N, repeat: Attribute) -> N:
        """Sets the repeat."""
        return self.add(repeat)

    def add_time(self: N, time: Time | str, *series: object) -> N:
        """Adds a time."""
        return self.add(time if isinstance(time, Time) else Time(time, *series))

    def add_today(self: N, today: Today | str, *series: object) -> N:
        """Adds a time of today."""
        return self.add(today if isinstance(today, Today) else Today(today, *series))

    def add_cron(self: N, cron: Cron) -> N:
        """Adds a cron."""
        return self.add(cron)

    def add_date(self: N, date: Date | int | str, month: int = 0, year: int = 0) -> N:
        """Adds a date."""
        return self.add(date if isinstance(date, Date) else Date(date, month, year))

    def add_day(self: N, day: Day | Days | str) -> N:
        """Adds a day of the week."""
        return self.add(day if isinstance(day, Day) else Day(day))

    def add_late(self: N, late: Late) -> N:
        """Sets when the node counts as late."""
        return self.add(late)

    def add_defstatus(self: N, state: State | DState | str) -> N:
        """Sets the state after begin and requeue."""
        return self.add(Defstatus(state))

    def add_autocancel(self: N, when: Autocancel | int | str) -> N:
        """Sets when the node is deleted."""
        return self.add(when if isinstance(when, Autocancel) else Autocancel(when))

    def add_zombie(self: N, zombie: Zombie | str) -> N:
        """Adds what becomes of zombies."""
        return self.add(zombie if isinstance(zombie, Zombie) else Zombie(zombie))

    def add_family(self, family: Family | str) -> Family:
        """Adds a family."""
        node = Family(family) if isinstance(family, str) else family
        self._add_node(node)
        return node

    def add_task(self, task: Task | str) -> Task:
        """Adds a task."""
        node = Task(task) if isinstance(task, str) else task
        self._add_node(node)
        return node

    def _lines(self, level: int) -> Iterator[str]:
        indent = "  " * level
        yield f"{indent}{self._keyword} {self._name}"
        for attribute in self._attributes:
            yield f"{indent}  {attribute}"
        for child in self._children:
            yield from child._lines(level + 1)
        if self._keyword != "task":
            yield f"{indent}end{self._keyword}"

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in self._lines(0))


class Task(Node):
    """A task."""

    _keyword = "task"


class Family(Node):
    """Holds families and tasks."""

    _keyword = "family"


class Suite(Node):
    """The top of a tree."""

    _keyword = "suite"

    def add_clock(self, clock: Clock | str) -> Suite:
        """Sets the clock."""
        return self.add(clock if isinstance(clock, Clock) else Clock(clock))


class Defs:
    """A definition: suites, and what they name elsewhere. Of a file's path, it is that file."""

    def __init__(self, *items: Any) -> None:
        self._externs: list[str] = []
        self._suites: list[Suite] = []
        self._text: str | None = None
        if len(items) == 1 and isinstance(items[0], str):
            with open(items[0], encoding="utf-8") as file:
                self._text = file.read()
        else:
            self.add(*items)

    @classmethod
    def _of_text(cls, text: str) -> Defs:
        defs = cls()
        defs._text = text
        return defs

    def __enter__(self) -> Defs:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[Suite]:
        return iter(self._suites)

    @property
    def suites(self) -> Iterator[Suite]:
        """Its suites."""
        return iter(self._suites)

    def add(self, *items: Any) -> Defs:
        """Adds suites, or lists of them."""
        for item in items:
            if isinstance(item, Suite):
                self.add_suite(item)
            elif isinstance(item, Iterable) and not isinstance(item, str):
                self.add(*item)
            elif item is not None:
                raise TypeError(f"{item!r} is no suite")
        return self

    __iadd__ = add

    def add_suite(self, suite: Suite | str) -> Suite:
        """Adds a suite."""
        node = Suite(suite) if isinstance(suite, str) else suite
        if any(known.name() == node.name() for known in self._suites):
            raise RuntimeError(
                f"Add Suite failed: A Suite of name '{node.name()}' already exist"
            )
        node._parent = self
        self._suites.append(node)
        return node

    def add_extern(self, path: str) -> None:
        """Names what expressions may name, although it is not part of the definition."""
        self._externs.append(path)

    def save_as_defs(self, path: str | os.PathLike[str]) -> None:
        """Writes the text to a file."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(str(self))

    def __str__(self) -> str:
        if self._text is not None:
            return self._text
        externs = "".join(f"extern {path}\n" for path in self._externs)
        return externs + "".join(str(suite) for suite in self._suites)
