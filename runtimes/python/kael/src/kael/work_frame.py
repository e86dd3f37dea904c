"""The client of a work frame, with the names of kael's own.

`WORK_FRAME` calls the functions of services, gives commands to the agents of a namespace and
collects their answers. It may be used from several threads, which it blocks.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import uuid
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import yaml
from tce import ErrorCode, MultiCall, Replies, RpcError
from tce.frame_host._msgpack import pack, unpack

from ._commands import COMMANDS, CRONTAB, SERVICE, Command
from ._errors import FrameError, NoAgent, RemoteError, UnknownService
from ._link import Link
from ._version import version_key, version_text

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["WORK_FRAME", "Answers", "FrameError", "NoAgent", "RemoteError", "UnknownService"]

DEFAULT_TIMEOUT = 30.0
"""Seconds for a call of a function, and for the answers to a command."""
ANSWER_TIME = 5.0
"""Seconds that the methods which give a command and wait for its answers take by default."""
MAX_COMMANDS = 1000
"""Commands whose answers are kept."""
URI_VARIABLES = ("TCE_FRAME_AMQP", "KAEL_AURI")
"""The environment variables with the URI of the broker; the first one that is set counts."""
PROGRAM_VARIABLE = "TCE_FRAME"
"""The environment variable with the path of the program `tce-frame`."""

Ids = str | Iterable[str] | None


class Answers(dict[str, Any]):
    """The answers of agents by their ids, with those that are missing and those that failed."""

    def __init__(self) -> None:
        super().__init__()
        self.missing: list[str] = []
        """Agents that have not answered."""
        self.failures: dict[str, str] = {}
        """Why agents have failed."""


class _Sent:
    """A command that was sent."""

    def __init__(self, name: str, command: Command, call: MultiCall[Any]) -> None:
        self.name = name
        self.command = command
        self.call = call


class _Function:
    """A function of a service: call it. `src` is its source text."""

    def __init__(
        self,
        name: str,
        call: Callable[[str, tuple[Any, ...], dict[str, Any]], Any],
        source: Callable[[str], str],
    ) -> None:
        self._name = name
        self._call = call
        self._source = source

    def __repr__(self) -> str:
        return f"<function {self._name} of a work frame>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(self._name, args, kwargs)

    @property
    def src(self) -> str:
        """The source text of the function."""
        return self._source(self._name)


class WORK_FRAME:
    """A client of the agents of a namespace; it connects when it is first used.

    `name` is the namespace, by default the `service_group` of the file `service_group_conf`.
    `auri` is the broker, `amqp://user:password@host:5672/vhost`, by default from the environment.
    `timeout` is in seconds. `channel` has no meaning here.
    """

    def __init__(
        self,
        name: str | None = None,
        auri: str | None = None,
        service_group_conf: str | None = None,
        app: object = None,
        channel: str | None = None,
        lock: object = None,
        *,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        for option, value in (("app", app), ("lock", lock)):
            if value:
                raise TypeError(f"`{option}` is not supported: leave it out")
        self._conf = service_group_conf
        self.name: str = name or _service_group(service_group_conf)
        self.timeout = timeout
        self._uri = auri
        self._link: Link | None = None
        self._lock = threading.Lock()
        self._sent: OrderedDict[str, _Sent] = OrderedDict()

    def __repr__(self) -> str:
        return f"<WORK_FRAME {self.name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection to the broker. The next use connects again."""
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.close()

    def _connected(self) -> Link:
        with self._lock:
            if self._link is None or not self._link.is_usable:
                try:
                    self._link = Link(self._broker(), self.name)
                except RpcError as error:
                    raise FrameError(error.text) from None
            return self._link

    def _broker(self) -> str:
        set_variables = (os.environ.get(name) for name in URI_VARIABLES)
        uri = self._uri or next(filter(None, set_variables), None)
        if not uri:
            names = " or ".join(URI_VARIABLES)
            raise OSError(f"no broker: give `auri`, or {names} in the environment")
        return uri

    # The agent.

    def frame_start(self, process_num: int = 2) -> None:
        """Runs an agent with the packages of the file, until it ends.

        `process_num` other than 2 is written as `processes` of `agent` in the file instead.
        Raises `FrameError` if the agent fails.
        """
        if self._conf is None:
            raise OSError("an agent needs `service_group_conf`, the file with its packages")
        if process_num != 2:
            warnings.warn("write `agent: {processes: …}` in the file", stacklevel=2)
        program = os.environ.get(PROGRAM_VARIABLE) or shutil.which("tce-frame")
        if not program:
            raise OSError(f"the program tce-frame is not in PATH, nor in {PROGRAM_VARIABLE}")
        # In the environment the URI is not visible to other users.
        env = {**os.environ, "TCE_FRAME_AMQP": self._broker()}
        command = [program, "agent", "--namespace", self.name, "--conf", self._conf]
        with subprocess.Popen(command, env=env) as agent:
            status = _wait_for(agent)
        if status:
            raise FrameError(f"the agent has ended with status {status}")

    # Functions of services.

    def __getattr__(self, name: str) -> _Function:
        base, separator, function = name.partition("__")
        if not (base and separator and function):
            raise AttributeError(f"{type(self).__name__} has no attribute `{name}`")
        return _Function(name, self._call, self._source)

    def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        packed = pack([list(args), kwargs])
        link = self._connected()
        functions = link.functions(name.partition("__")[0])
        try:
            result = link.run(functions.call(name, packed, timeout=self.timeout))
        except RpcError as error:
            raise self._failed_call(name, error) from None
        return unpack(result)

    def _failed_call(self, name: str, error: RpcError) -> Exception:
        if error.code == ErrorCode.REMOTE_EXCEPTION:
            return RemoteError(error.text)
        if error.code == ErrorCode.INTERFACE_NOTFOUND or error.text.startswith("there is no queue"):
            return UnknownService(f"no agent in namespace {self.name} has the service {name}")
        if error.code == ErrorCode.TIMEOUT:
            return TimeoutError(f"{name}: {error.text}")
        return FrameError(f"{name}: {error.text}")

    def _source(self, name: str) -> str:
        replies = self._collect(self._connected(), lambda agents: agents.source(name))
        if replies.values:
            return str(next(iter(replies.values.values())))
        if replies.failures:
            raise UnknownService(next(iter(replies.failures.values())).text)
        raise TimeoutError(f"no agent has answered within {self.timeout:g} s")

    def _collect(self, link: Link, send: Callable[[Any], MultiCall[Any]]) -> Replies[Any]:
        async def collected() -> Replies[Any]:
            return await send(link.agents.with_timeout(self.timeout)).collect()

        try:
            return link.run(collected())
        except RpcError as error:
            raise self._failed_command(error) from None

    # Commands.

    def command(self, name: str, *args: Any, id: Ids = None, not_id: Ids = None, **kwargs: Any) -> str:
        """Gives a command to all agents, to those of `id`, or to all but those of `not_id`.

        Returns what `get_response` takes, at once.
        """
        command = COMMANDS.get(name)
        if command is None:
            known = ", ".join(COMMANDS)
            raise ValueError(f"there is no command `{name}`; there are {known}")
        link = self._connected()

        async def send() -> MultiCall[Any]:
            agents = link.agents.with_timeout(self.timeout)
            if id is not None:
                agents = agents.only(_ids(id))
            if not_id is not None:
                agents = agents.except_(_ids(not_id))
            return command.send(agents, *args, **kwargs)

        try:
            call = link.run(send())
        except RpcError as error:
            raise self._failed_command(error) from None
        number = uuid.uuid4().hex
        with self._lock:
            self._sent[number] = _Sent(name, command, call)
            while len(self._sent) > MAX_COMMANDS:
                self._sent.popitem(last=False)
        return number

    def get_response(self, id: str, timeout: float = 0) -> Answers:
        """The answers to a command so far, by the ids of the agents.

        Returns once all known agents have answered, at the latest after `timeout` seconds, then
        with a warning that names those that have not. The value of one that has failed begins
        with `ERR command`. Raises `NoAgent` if there is no agent at all.
        """
        return self._answers(id, timeout, lambda name, text: f"ERR command {name}: {text}")

    def _answers(
        self, number: str, timeout: float, failed: Callable[[str, str], str]
    ) -> Answers:
        with self._lock:
            sent = self._sent.get(number)
        if sent is None:
            raise KeyError(f"`{number}` is no command of the last {MAX_COMMANDS}")
        link = self._connected()
        if timeout > 0:
            link.ended(sent.call, timeout)
        try:
            replies = link.run(_replies(sent.call))
        except RpcError as error:
            raise self._failed_command(error) from None
        answers = Answers()
        for agent, value in replies.values.items():
            answers[agent] = sent.command.value(value)
        for agent, failure in replies.failures.items():
            answers.failures[agent] = failure.text
            answers[agent] = failed(sent.name, failure.text)
        answers.missing = replies.missing
        if timeout > 0 and replies.missing:
            agents = ", ".join(replies.missing)
            text = f"{sent.name}: no answer within {timeout:g} s from {agents}"
            warnings.warn(text, stacklevel=3)
        return answers

    def _failed_command(self, error: RpcError) -> Exception:
        if error.text.startswith("no program reads the topic"):
            return NoAgent(f"no agent in namespace {self.name}")
        if error.code == ErrorCode.TIMEOUT:
            return TimeoutError(f"no agent of namespace {self.name} answers: {error.text}")
        return FrameError(error.text)

    def _ask(
        self, name: str, timeout: float | None, id: Ids, not_id: Ids, **kwargs: Any
    ) -> Answers:
        number = self.command(name, id=id, not_id=not_id, **kwargs)
        return self.get_response(number, ANSWER_TIME if timeout is None else timeout)

    def _change(
        self, name: str, timeout: float | None, id: Ids, not_id: Ids, **kwargs: Any
    ) -> Answers:
        number = self.command(name, id=id, not_id=not_id, **kwargs)
        seconds = self.timeout if timeout is None else timeout
        return self._answers(number, seconds, lambda _, text: _error_text(text))

    # What kael has for these commands.

    def package_status(
        self,
        pkg: str | None = None,
        pkg_type: str | None = None,
        timeout: float | None = None,
        id: Ids = None,
        not_id: Ids = None,
    ) -> Answers:
        """The packages of each agent: `{agent: {package: {version, path, args, hash, state}}}`."""
        return self._ask(
            "_get_pkg_version", timeout, id, not_id, pkg=pkg, pkg_type=pkg_type
        )

    def get_last_version(
        self,
        service: str | None = None,
        pkg_type: str = SERVICE,
        timeout: float | None = None,
    ) -> dict[str, dict[str, Any]]:
        """The highest version of each package: `{package: {version, path, id, args}}`."""
        last: dict[str, dict[str, Any]] = {}
        found = self.package_status(service, pkg_type, timeout)
        for agent in sorted(found.keys() - found.failures.keys()):
            for package, status in found[agent].items():
                known = last.get(package)
                is_rejected = str(status["state"]).startswith("rejected")
                if is_rejected or known is not None and not (
                    version_key(status["version"]) > version_key(known["version"])
                ):
                    continue
                last[package] = {
                    "version": status["version"],
                    "path": status["path"],
                    "id": agent,
                    "args": status["args"],
                }
        return last

    def get_all_crontab_status(
        self, crontab: str | None = None, timeout: float | None = None
    ) -> Answers:
        """The crontabs of each agent; `status` is True where the jobs run:
        `{agent: {name: {path, version, status, holder, epoch, crontabs}}}`."""
        return self._ask("_get_crontab_status", timeout, None, None, crontab=crontab)

    def update_service(
        self,
        pkg: str,
        version: object = None,
        id: Ids = None,
        not_id: Ids = None,
        timeout: float | None = None,
        force: bool = False,
        source: str | None = None,
    ) -> Answers:
        """Updates a service from the agent with the highest version, or with `version`, or from
        `source`: `{agent: text}`. A restart puts it into effect."""
        return self._update(pkg, SERVICE, version, id, not_id, timeout, force, source)

    def update_crontab(
        self,
        pkg: str,
        version: object = None,
        id: Ids = None,
        not_id: Ids = None,
        timeout: float | None = None,
        force: bool = False,
        source: str | None = None,
    ) -> Answers:
        """As `update_service`, for a crontab."""
        return self._update(pkg, CRONTAB, version, id, not_id, timeout, force, source)

    def _update(
        self,
        pkg: str,
        pkg_type: str,
        version: object,
        id: Ids,
        not_id: Ids,
        timeout: float | None,
        force: bool,
        source: str | None,
    ) -> Answers:
        return self._change(
            "_update_pkg", timeout, id, not_id, pkg=pkg, pkg_type=pkg_type,
            version=version_text(version), force=force, source=source,
        )  # fmt: skip

    def install_service(
        self,
        pkg: str,
        path: str,
        version: object = None,
        id: Ids = None,
        not_id: Ids = None,
        timeout: float | None = None,
        force: bool = False,
        source: str | None = None,
    ) -> Answers:
        """Installs a service in a folder of each agent that lacks it: `{agent: text}`."""
        return self._install(pkg, path, SERVICE, version, id, not_id, timeout, force, source)

    def install_crontab(
        self,
        pkg: str,
        path: str,
        version: object = None,
        id: Ids = None,
        not_id: Ids = None,
        timeout: float | None = None,
        force: bool = False,
        source: str | None = None,
    ) -> Answers:
        """As `install_service`, for a crontab."""
        return self._install(pkg, path, CRONTAB, version, id, not_id, timeout, force, source)

    def _install(
        self,
        pkg: str,
        path: str,
        pkg_type: str,
        version: object,
        id: Ids,
        not_id: Ids,
        timeout: float | None,
        force: bool,
        source: str | None,
    ) -> Answers:
        return self._change(
            "_install_pkg", timeout, id, not_id, pkg=pkg, path=path, pkg_type=pkg_type,
            version=version_text(version), force=force, source=source,
        )  # fmt: skip

    def restart_servers(
        self,
        pkg_type: str = SERVICE,
        id: Ids = None,
        not_id: Ids = None,
        timeout: float | None = None,
    ) -> Answers:
        """Restarts the packages of a kind: `{agent: 'restart service ok'}`."""
        commands = {SERVICE: "_restart_service", CRONTAB: "_restart_crontab"}
        if pkg_type not in commands:
            raise ValueError(f"`pkg_type` can't be `{pkg_type}`: write {SERVICE} or {CRONTAB}")
        return self._change(commands[pkg_type], timeout, id, not_id)


async def _replies(call: MultiCall[Any]) -> Replies[Any]:
    """The replies so far; raises the error of a call that has failed."""
    return await call.collect() if call.done() else call.replies


def _ids(ids: str | Iterable[str]) -> list[str]:
    return [ids] if isinstance(ids, str) else list(ids)


def _error_text(text: str) -> str:
    return text if text.startswith("ERR") else f"ERR: {text}"


def _service_group(conf: str | None) -> str:
    """The namespace that the file names.

    Raises `EnvironmentError` if there is none, as kael does.
    """
    group: object = None
    if conf is not None:
        with open(conf, encoding="utf-8") as file:
            settings: object = yaml.safe_load(file)
        if isinstance(settings, dict):
            group = cast("dict[object, object]", settings).get("service_group")
    if not group:
        raise OSError("no namespace: give `name`, or `service_group` in `service_group_conf`")
    return str(group)


def _wait_for(agent: subprocess.Popen[bytes]) -> int:
    """Waits until the agent has ended, and passes SIGTERM and Ctrl-C on to it."""
    if threading.current_thread() is not threading.main_thread():
        return agent.wait()

    def forward(number: int, _: object) -> None:
        agent.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return agent.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
