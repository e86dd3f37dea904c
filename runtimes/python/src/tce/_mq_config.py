"""`config.yml`: the message queues of a process.

All mistakes are reported at once, each with its line, in the words of the other
runtimes of this project.
"""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from . import _address
from ._address import Address, quoted
from ._endpoint import check_host

T = TypeVar("T")

log = logging.getLogger("tce")

MAX_FILE_SIZE = 1 << 20
MAX_DEPTH = 64
MAX_NODES = 100_000
DELIVERY_LIMIT = 10
PREFETCH = 64

_COMMON = "common_defs"
_KEYS = (
    "name", "host", "port", "address", "type", "user", "password", "vhost", "batch",
    "prefetch", "delivery_limit", "tls",
)  # fmt: skip
_MODES = "write AF_READ, AF_WRITE or AF_READ|AF_WRITE"


class ConfigError(ValueError):
    """All mistakes in a `config.yml`, one a line."""


@dataclass(frozen=True, slots=True)
class MqEndpoint:
    """A queue or topic that the process opens."""

    name: str
    host: str
    port: int
    address: Address
    user: str = "guest"
    password: str = field(default="guest", repr=False)
    vhost: str = "/"
    batch: bool = False
    """Whether waiting messages are sent as one."""
    prefetch: int = PREFETCH
    delivery_limit: int = DELIVERY_LIMIT
    """How often a message is delivered; 0 for no limit."""
    tls: bool = False
    reads: bool = False
    writes: bool = False

    @property
    def broker(self) -> tuple[str, int, str, str, bool]:
        """Endpoints with the same share a connection to the broker."""
        return self.host, self.port, self.vhost, self.user, self.tls


@dataclass(frozen=True, slots=True)
class MqConfig:
    """The endpoints of one process."""

    endpoints: tuple[MqEndpoint, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    """Calls sent to the first get their RETURN by the second."""

    @classmethod
    def load(cls, path: str, process: str) -> MqConfig:
        """Reads a file for a process, whose section has its name.

        Raises `ConfigError`.
        """
        try:
            with pathlib.Path(path).open("rb") as file:
                data = file.read(MAX_FILE_SIZE + 1)
        except OSError as error:
            raise ConfigError(f"{path}: the file can't be read: {error}") from error
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            message = f"{path}:{line}: this is not UTF-8; save the file as UTF-8"
            raise ConfigError(message) from None
        return cls.parse(text, path, process)

    @classmethod
    def parse(cls, text: str, file_name: str, process: str) -> MqConfig:
        """As `load`, for a text."""
        report = _Report(file_name)
        if len(text.encode()) > MAX_FILE_SIZE:
            report.error(None, f"the file has more than {MAX_FILE_SIZE} bytes")
            report.finish()
        root = _read_yaml(text, report)
        config = _Reader(report).read(root, process) if root is not None else cls()
        report.finish()
        return config


class _Report:
    """Mistakes, which are raised together."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._errors: set[tuple[int, str]] = set()

    def error(self, line: int | None, message: str) -> None:
        if len(self._errors) < 100:
            self._errors.add((line or 0, message))

    def warn(self, line: int | None, message: str) -> None:
        log.warning("%s", self._located(line or 0, message))

    def _located(self, line: int, message: str) -> str:
        return f"{self._file}:{line}: {message}" if line else f"{self._file}: {message}"

    def finish(self) -> None:
        if self._errors:
            lines = [self._located(*error) for error in sorted(self._errors)]
            raise ConfigError("\n".join(lines))


# YAML, with the line of each value.


@dataclass(slots=True)
class _Node:
    line: int
    value: str | list[_Node] | _Map | None


@dataclass(slots=True)
class _Map:
    entries: dict[str, tuple[int, _Node]]

    def get(self, key: str) -> _Node | None:
        """The value of a key; `None` if it is absent or null."""
        found = self.entries.get(key)
        return found[1] if found and found[1].value is not None else None


def _read_yaml(text: str, report: _Report) -> _Node | None:
    try:
        import yaml
    except ImportError:
        raise ConfigError("config.yml needs the package PyYAML: install tce[mq]") from None
    reader = _YamlReader(report)
    try:
        documents = yaml.compose_all(text, Loader=yaml.SafeLoader)
        root = reader.node(next(iter(documents), None), 0)
        for second in documents:
            line = second.start_mark.line
            message = "a second YAML document begins; the file may have only one"
            report.error(max(line, 1), message)
            return None
        return root
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        lines = text.splitlines()
        hint = _hint(lines[line - 1] if line <= len(lines) else "")
        report.error(line, f"this is not valid YAML: {error.problem or error.context}{hint}")
    except yaml.YAMLError as error:
        report.error(None, f"this is not valid YAML: {quoted(str(error))}")
    except RecursionError:
        report.error(None, f"lists and maps nest deeper than {MAX_DEPTH} levels")
    return None


def _hint(line: str) -> str:
    """Advice against the two most frequent mistakes."""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "; indent with spaces, not with tabs"
    return "; put an address with spaces in quotes" if "address:" in line else ""


class _YamlReader:
    def __init__(self, report: _Report) -> None:
        self._report = report
        self._left = MAX_NODES

    def node(self, node: Any, depth: int) -> _Node:
        import yaml

        if node is None:
            return _Node(1, None)
        line = node.start_mark.line + 1
        self._left -= 1
        if self._left < 0:
            mark = node.start_mark
            problem = f"the file has more than {MAX_NODES} values, aliases expanded"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        if depth > MAX_DEPTH:
            problem = f"lists and maps nest deeper than {MAX_DEPTH} levels"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        if isinstance(node, yaml.ScalarNode):
            is_null = node.style is None and node.value in ("", "~", "null", "Null", "NULL")
            return _Node(line, None if is_null else node.value)
        if isinstance(node, yaml.SequenceNode):
            return _Node(line, [self.node(item, depth + 1) for item in node.value])
        return _Node(line, self._map(node, depth))

    def _map(self, node: Any, depth: int) -> _Map:
        entries: dict[str, tuple[int, _Node]] = {}
        merged: list[_Node] = []
        for key, value in node.value:
            line = key.start_mark.line + 1
            read_key, read = self.node(key, depth + 1), self.node(value, depth + 1)
            name = read_key.value
            if key.tag == "tag:yaml.org,2002:merge":
                merged.append(read)
            elif not isinstance(name, str):
                self._report.error(line, "a key is a text, not a list, a map or nothing")
            elif name in entries:
                first = entries[name][0]
                message = f"{quoted(name)} is given twice; the first is on line {first}"
                self._report.error(line, message)
            else:
                entries[name] = line, read
        for other in merged:
            self._merge(other, entries)
        return _Map(entries)

    def _merge(self, node: _Node, entries: dict[str, tuple[int, _Node]]) -> None:
        if isinstance(node.value, _Map):
            for key, entry in node.value.entries.items():
                entries.setdefault(key, entry)
        elif isinstance(node.value, list):
            for item in node.value:
                self._merge(item, entries)
        else:
            self._report.error(node.line, "`<<` takes a map or a list of maps")


# The meaning.


@dataclass
class _Row:
    name: str
    line: int
    fields: _Map


@dataclass
class _Opened:
    name: str
    line: int
    rows: list[_Map] = field(default_factory=list[_Map])
    reads: bool = False
    writes: bool = False


class _Reader:
    def __init__(self, report: _Report) -> None:
        self._report = report
        self._definitions: dict[str, _Row] = {}
        self._opened: dict[str, _Opened] = {}

    def read(self, root: _Node, process: str) -> MqConfig:
        wanted = f"write `{_COMMON}:` and a section for each process"
        if root.value is None:
            self._report.error(None, f"the file is empty; {wanted}")
            return MqConfig()
        if not isinstance(root.value, _Map):
            self._report.error(root.line, f"the file is not a map of sections; {wanted}")
            return MqConfig()
        self._define(root.value)
        pairs: list[tuple[str, str]] = []
        section = self._section(root.value, process)
        if section is not None:
            self._check_keys(section, ("endpoints", "endpoint_pairs"))
            for row in self._rows(section, (*_KEYS, "af_mode")):
                self._list(row)
            pairs = self._pairs(section)
        endpoints = [self._endpoint(opened) for opened in self._opened.values()]
        return MqConfig(tuple(it for it in endpoints if it is not None), tuple(pairs))

    def _define(self, root: _Map) -> None:
        common = root.get(_COMMON)
        section = None if common is None else self._map(common, _COMMON)
        if section is None:
            return
        self._check_keys(section, ("endpoints",))
        for row in self._rows(section, _KEYS):
            # Definitions that only other processes use are checked as well.
            _Fields(row.name, row.line, [row.fields], self._report).values()
            first = self._definitions.get(row.name)
            if first is not None:
                message = f"endpoint {quoted(row.name)} is defined twice"
                self._report.error(row.line, f"{message}; the first is on line {first.line}")
            else:
                self._definitions[row.name] = row

    def _section(self, root: _Map, process: str) -> _Map | None:
        if process != _COMMON and process in root.entries:
            node = root.get(process)
            if node is None:
                text = f"the section of process {quoted(process)} is empty: it opens no endpoint"
                self._report.warn(None, text)
                return None
            return self._map(node, process)
        processes = [
            name
            for name, (_, node) in root.entries.items()
            if name != _COMMON and isinstance(node.value, _Map)
        ]
        listed = ", ".join(quoted(name) for name in processes[:10])
        others = f"; it has {listed}" if listed else " or any other process"
        suggestion = _suggestion(process, processes)
        message = f"the file has no section for process {quoted(process)}{others}{suggestion}"
        self._report.error(None, message)
        return None

    def _rows(self, section: _Map, keys: Iterable[str]) -> list[_Row]:
        rows: list[_Row] = []
        node = section.get("endpoints")
        for line, fields in self._maps(node, "endpoints", "name: mq_server"):
            self._check_keys(fields, keys)
            named = self._named(fields, "name", line)
            if named is not None:
                rows.append(_Row(*named, fields))
        return rows

    def _named(self, fields: _Map, key: str, line: int) -> tuple[str, int] | None:
        node = fields.get(key)
        if node is None:
            self._report.error(line, f"`{key}` is missing; write `{key}: mq_server`")
            return None
        name = _text(node, key, self._report)
        if name is None:
            return None
        if not name:
            self._report.error(node.line, f"`{key}` is empty; write `{key}: mq_server`")
            return None
        return name, node.line

    def _list(self, row: _Row) -> None:
        defines = any(row.fields.get(key) for key in ("host", "port", "address"))
        if not defines and not self._is_defined(row.name, row.line):
            return
        reads, writes = self._modes(row)
        opened = self._opened.setdefault(row.name, _Opened(row.name, row.line))
        if opened.rows and opened.reads >= reads and opened.writes >= writes:
            message = f"{quoted(row.name)} is listed twice with the same `af_mode`"
            self._report.warn(row.line, f"{message}; the first is on line {opened.line}")
        opened.rows.append(row.fields)
        opened.reads |= reads
        opened.writes |= writes

    def _modes(self, row: _Row) -> tuple[bool, bool]:
        # An item without a valid mode is an error already; with both it causes no other.
        node = row.fields.get("af_mode")
        if node is None:
            message = f"endpoint {quoted(row.name)} has no `af_mode`; {_MODES}"
            self._report.error(row.line, message)
            return True, True
        text = _text(node, "af_mode", self._report)
        if text is None:
            return True, True
        words = text.replace("|", " ").replace(",", " ").upper().split()
        if not words or any(word not in ("AF_READ", "AF_WRITE") for word in words):
            self._report.error(node.line, f"`af_mode` can't be {quoted(text)}; {_MODES}")
            return True, True
        return "AF_READ" in words, "AF_WRITE" in words

    def _pairs(self, section: _Map) -> list[tuple[str, str]]:
        pairs: list[tuple[str, str]] = []
        calls: dict[str, int] = {}
        node = section.get("endpoint_pairs")
        for line, fields in self._maps(node, "endpoint_pairs", "call: mq_server"):
            self._check_keys(fields, ("call", "return"))
            call, back = self._named(fields, "call", line), self._named(fields, "return", line)
            if call is None or back is None:
                continue
            self._open(*call, "call")
            self._open(*back, "return")
            name = quoted(call[0])
            if call[0] == back[0]:
                message = f"{name} can't be both `call` and `return` of a pair"
                self._report.error(back[1], f"{message}; name another endpoint")
            if call[0] in calls:
                message = f"{name} is the `call` of two pairs"
                self._report.error(call[1], f"{message}; the first is on line {calls[call[0]]}")
            calls[call[0]] = call[1]
            pairs.append((call[0], back[0]))
        return pairs

    def _open(self, name: str, line: int, key: str) -> None:
        if not self._is_defined(name, line):
            return
        opened = self._opened.setdefault(name, _Opened(name, line))
        if not opened.rows:
            opened.writes |= key == "call"
            opened.reads |= key == "return"
        elif not (opened.writes if key == "call" else opened.reads):
            needs = "AF_WRITE" if key == "call" else "AF_READ"
            message = (
                f"{quoted(name)} is the `{key}` of a pair and needs {needs}, which line "
                f"{opened.line} does not give it; write `af_mode: AF_READ|AF_WRITE` there"
            )
            self._report.error(line, message)

    def _is_defined(self, name: str, line: int) -> bool:
        # An item with its own host defines the endpoint for later mentions.
        if name in self._definitions or name in self._opened:
            return True
        right = _suggestion(name, self._definitions) or "; define it in `common_defs.endpoints`"
        self._report.error(line, f"endpoint {quoted(name)} is not defined{right}")
        return False

    def _endpoint(self, opened: _Opened) -> MqEndpoint | None:
        definition = self._definitions.get(opened.name)
        layers = [*opened.rows, definition.fields] if definition else opened.rows
        line = definition.line if definition else opened.line
        endpoint = _Fields(opened.name, line, layers, self._report).endpoint()
        if endpoint is None:
            return None
        return replace(endpoint, reads=opened.reads, writes=opened.writes)

    def _map(self, node: _Node, key: str) -> _Map | None:
        if isinstance(node.value, _Map):
            return node.value
        self._report.error(node.line, f"{quoted(key)} takes a map: lines of `key: value`")
        return None

    def _maps(self, node: _Node | None, key: str, example: str) -> list[tuple[int, _Map]]:
        maps: list[tuple[int, _Map]] = []
        if node is None:
            return maps
        if not isinstance(node.value, list):
            message = f"`{key}` takes a list of maps, each of which begins with `- {example}`"
            self._report.error(node.line, message)
            return maps
        for item in node.value:
            if isinstance(item.value, _Map):
                maps.append((item.line, item.value))
            else:
                message = f"an item of `{key}` is a map; begin this one with `- {example}`"
                self._report.error(item.line, message)
        return maps

    def _check_keys(self, section: _Map, known: Iterable[str]) -> None:
        known = tuple(known)
        for key, (line, _) in section.entries.items():
            if key not in known:
                suggestion = _suggestion(key, known)
                self._report.warn(line, f"unknown key {quoted(key)} is ignored{suggestion}")


class _Fields:
    """The values of an endpoint: of the items that list it, then of its definition."""

    def __init__(self, name: str, line: int, layers: list[_Map], report: _Report) -> None:
        self._name = name
        self._line = line
        self._layers = layers
        self._report = report

    def endpoint(self) -> MqEndpoint | None:
        self._require("host", "localhost")
        self._require("port", "5672")
        options = "{create:always,node:{type:queue,durable:true}}"
        self._require("address", f"{self._name};{options}")
        return self.values()

    def values(self) -> MqEndpoint | None:
        self._check_type()
        allowed = "a host name or an address, for example localhost, and the port in `port`"
        host = self._parsed("host", allowed, _host)
        port = self._positive("port")
        address = self._address()
        user, password = self._text("user"), self._text("password")
        vhost = self._text("vhost")
        batch, tls = self._flag("batch"), self._flag("tls")
        prefetch = self._positive("prefetch")
        allowed = "a number from 1 to 65535, or 0 for no limit"
        limit = self._parsed("delivery_limit", allowed, lambda text: _number(text, 0))
        if host is None or port is None or address is None:
            return None
        return MqEndpoint(
            self._name, host, port, address,
            user="guest" if user is None else user,
            password="guest" if password is None else password,
            vhost="/" if vhost is None else vhost,
            batch=batch,
            prefetch=PREFETCH if prefetch is None else prefetch,
            delivery_limit=DELIVERY_LIMIT if limit is None else limit,
            tls=tls,
        )  # fmt: skip

    def _get(self, key: str) -> _Node | None:
        nodes = (layer.get(key) for layer in self._layers)
        return next((node for node in nodes if node is not None), None)

    def _require(self, key: str, example: str) -> None:
        if self._get(key) is None:
            message = f"endpoint {quoted(self._name)} has no `{key}`; write `{key}: {example}`"
            self._report.error(self._line, message)

    def _text(self, key: str) -> str | None:
        node = self._get(key)
        return None if node is None else _text(node, key, self._report)

    def _parsed(self, key: str, allowed: str, parse: Callable[[str], T | None]) -> T | None:
        node = self._get(key)
        text = None if node is None else _text(node, key, self._report)
        if node is None or text is None:
            return None
        value = parse(text)
        if value is None:
            message = f"`{key}` can't be {quoted(text)}; write {allowed}"
            self._report.error(node.line, message)
        return value

    def _positive(self, key: str) -> int | None:
        return self._parsed(key, "a number from 1 to 65535", lambda text: _number(text, 1))

    def _flag(self, key: str) -> bool:
        words = {"1": True, "true": True, "yes": True, "on": True}
        words |= {"0": False, "false": False, "no": False, "off": False}
        return bool(self._parsed(key, "1 or 0", lambda text: words.get(text.lower())))

    def _check_type(self) -> None:
        text = self._get("type")
        allowed = "qpid, mq or amqp"
        zeromq = ("zmq", "0mq", "zeromq", "omq")
        if text is not None and isinstance(text.value, str) and text.value.lower() in zeromq:
            allowed = "qpid, and use a broker such as RabbitMQ: ZeroMQ is not supported"
        known = ("qpid", "mq", "amqp")
        self._parsed("type", allowed, lambda text: text.lower() in known or None)

    def _address(self) -> Address | None:
        node = self._get("address")
        text = None if node is None else _text(node, "address", self._report)
        if node is None or text is None:
            return None
        try:
            address, ignored = _address.parse(text)
        except ValueError as error:
            self._report.error(node.line, str(error))
            return None
        for option in ignored:
            message = f"the address option {quoted(option)} is not supported and ignored"
            self._report.warn(node.line, message)
        return address


def _text(node: _Node, key: str, report: _Report) -> str | None:
    if isinstance(node.value, str):
        return node.value
    message = f"`{key}` takes a single value; put text in braces or brackets in quotes"
    report.error(node.line, message)
    return None


def _number(text: str, least: int) -> int | None:
    digits = text.removeprefix("+")
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= 10
    return int(digits) if is_number and least <= int(digits) <= 65535 else None


def _host(text: str) -> str | None:
    try:
        check_host(text)
    except ValueError:
        return None
    return text


def _suggestion(name: str, candidates: Iterable[str]) -> str:
    """`; did you mean …?` with the nearest name, if one is near."""
    if len(name) > 64:
        return ""
    allowed = min(max(len(name) // 3, 1), 3)
    near = [
        (distance, candidate)
        for candidate in list(candidates)[:1000]
        if len(candidate) <= 64
        and (distance := _distance(name.lower(), candidate.lower())) <= allowed
    ]
    return f"; did you mean {quoted(min(near)[1])}?" if near else ""


def _distance(one: str, other: str) -> int:
    """Changed, added, missing and swapped letters."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        two_before, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, two_before[j - 2] + 1)
            row.append(cost)
    return row[-1]
