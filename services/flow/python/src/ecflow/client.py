"""ecFlow's client."""

from __future__ import annotations

import os
import platform
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import TypeVar

from tce import ErrorCode, RpcError

from tce_flow._flow import Job, Outcome, Reply, Zombie
from tce_flow._link import Link, Proxies, Unreachable

from .definition import Defs, State

__all__ = ["Client"]

T = TypeVar("T")

Paths = str | Iterable[str]

_ASK_AGAIN = (60, 61, 62)
_PAUSES = (1.0, 2.0, 4.0, 8.0, 10.0)


class Client:
    """A client of one server. Its calls block, and fail with `RuntimeError`.

    `Client()` takes the server from ECF_HOST and ECF_PORT, else `localhost:3141`; others are
    `Client("host:port")`, `Client("host@port")` and `Client("host", port)`.
    """

    def __init__(self, host_port: str = "", port: int | str = "") -> None:
        self._attempts = 2
        self._pause = 1.0
        self._job = Job(host=platform.node())
        self._timeout = float(os.environ.get("ECF_TIMEOUT") or 86400)
        self._defs: Defs | None = None
        self._link = self._to(host_port, port)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    @staticmethod
    def _to(host_port: str, port: int | str) -> Link:
        host = os.environ.get("ECF_HOST") or os.environ.get("ECF_NODE") or "localhost"
        known = os.environ.get("ECF_PORT") or "3141"
        if host_port:
            name, separator, number = host_port.replace("@", ":").rpartition(":")
            is_url = name in ("ssl", "") or number.startswith("//")
            host, known = (host_port, known) if not separator or is_url else (name, number)
        return Link(host, str(port) if port else known, "ecflow")

    def set_host_port(self, host_port: str, port: int | str = "") -> None:
        """Calls another server from now on."""
        self._link.close()
        self._link = self._to(host_port, port)

    def get_host(self) -> str:
        """The host of the server."""
        return self._link.address.rpartition(":")[0]

    def get_port(self) -> str:
        """The port of the server."""
        return self._link.address.rpartition(":")[2]

    def set_connection_attempts(self, attempts: int) -> None:
        """How often a server that can't be reached is tried; 2 at first."""
        self._attempts = max(1, attempts)

    def set_retry_connection_period(self, seconds: float) -> None:
        """The pause between two attempts, in seconds; 1 at first."""
        self._pause = max(0.0, seconds)

    # Asking

    def ping(self) -> int:
        """Checks that the server answers."""
        self._call("--ping", lambda to: to.query.ping())
        return 0

    def version(self) -> str:
        """The version of ecFlow that this client stands in for."""
        return "5.9.2"

    def server_version(self) -> str:
        """The version of ecFlow that the server stands in for."""
        return self._call("--server_version", lambda to: to.query.version())

    def suites(self) -> list[str]:
        """The names of the suites."""
        return self._call("--suites", lambda to: to.query.suites())

    def get_server_defs(self) -> int:
        """Fetches the definition, which `get_defs` gives."""
        text = self._call("--get", lambda to: to.show("/", "definition"))
        self._defs = Defs._of_text(text)
        return 0

    sync_local = get_server_defs

    def get_defs(self) -> Defs | None:
        """The definition that was fetched last."""
        return self._defs

    def query(self, kind: str, path: str, attribute: str = "") -> str:
        """One value: `query("event", "/s/t", "e")`, `query("trigger", "/s/t", "a == complete")`."""
        target, argument = path, attribute
        if attribute and kind not in ("trigger", "repeat"):
            target, argument = f"{path}:{attribute}", ""
        shown = f"--query={kind} {path} {attribute}".rstrip()
        return self._text(shown, lambda to: to.query.query(kind, target, argument))

    def why(self, path: str = "/") -> str:
        """Why nodes do not run, one reason a line."""
        return self._text(f"--why={path}", lambda to: to.query.why(path))

    def check(self, paths: Paths = "_all_") -> str:
        """What is wrong with expressions and limits."""
        every = _paths(paths)
        return self._text(_shown("--check", every), lambda to: to.query.check(every))

    def stats(self) -> str:
        """What the server does, and how often."""
        return self._text("--stats", lambda to: to.query.statistics(""))

    def stats_reset(self) -> int:
        """Counts anew."""
        return self._done("--stats_reset", lambda to: to.query.statistics("reset"))

    def get_file(self, path: str, which: str = "script", lines: int = 10_000) -> str:
        """A file of a task."""
        shown = f"--file={path} {which} {lines}"
        return self._text(shown, lambda to: to.query.file(path, which, lines))

    def get_log(self, lines: int = 100) -> str:
        """The last lines of the log."""
        return self._text(f"--log=get {lines}", lambda to: to.query.lines(lines))

    def zombie_get(self) -> list[Zombie]:
        """The zombies, without their passwords."""
        return self._call("--zombie_get", lambda to: to.query.zombies())

    # Ordering

    def load(self, defs: Defs | str, force: bool = False) -> int:
        """Loads a definition, or a file with one."""
        text, name = _definition(defs)

        async def load(to: Proxies) -> Reply:
            return await to.control.load(await to.uploaded(text), "def", force)

        return self._done(f"--load={name}", load)

    def replace(
        self, path: str, defs: Defs | str, parents: bool = True, force: bool = False
    ) -> int:
        """Puts a node of a definition in place of that of the server."""
        text, name = _definition(defs)

        async def replace(to: Proxies) -> Reply:
            part = await to.uploaded(text)
            return await to.control.replace(path, part, parents, force)

        return self._done(f"--replace={path} {name}", replace)

    def begin_suite(self, suite: str, force: bool = False) -> int:
        """Begins a suite."""
        name = suite.removeprefix("/")
        return self._paths(f"--begin={name}", lambda to: to.control.begin([name], force))

    def begin_all_suites(self, force: bool = False) -> int:
        """Begins all suites."""
        return self._paths("--begin", lambda to: to.control.begin([], force))

    def suspend(self, paths: Paths) -> int:
        """Holds nodes."""
        every = _paths(paths)
        return self._paths(_shown("--suspend", every), lambda to: to.control.suspend(every))

    def resume(self, paths: Paths) -> int:
        """Lets suspended nodes go on."""
        every = _paths(paths)
        return self._paths(_shown("--resume", every), lambda to: to.control.resume(every))

    def requeue(self, paths: Paths, option: str = "") -> int:
        """Puts nodes back to their default states; the option is `abort` or `force`."""
        every = _paths(paths)
        shown = _shown("--requeue", [option, *every] if option else every)
        return self._paths(shown, lambda to: to.control.requeue(every, option))

    def run(self, paths: Paths, force: bool = False) -> int:
        """Submits tasks, whatever they wait for."""
        every = _paths(paths)
        return self._paths(_shown("--run", every), lambda to: to.control.run(every, force))

    def force_state(self, paths: Paths, state: State | str) -> int:
        """Sets states of nodes."""
        return self._force(paths, str(state), False, False)

    def force_state_recursive(self, paths: Paths, state: State | str) -> int:
        """Sets states of nodes and all below."""
        return self._force(paths, str(state), True, False)

    def force_event(self, paths: Paths, action: str) -> int:
        """Sets or clears events, given as `path:event`."""
        return self._force(paths, action, False, False)

    def _force(self, paths: Paths, state: str, recursive: bool, full: bool) -> int:
        every = _paths(paths)
        shown = _shown(f"--force={state}", every)
        return self._paths(shown, lambda to: to.control.force(every, state, recursive, full))

    def free_trigger_dep(self, paths: Paths) -> int:
        """Frees nodes of their triggers."""
        return self._free(paths, "trigger")

    def free_date_dep(self, paths: Paths) -> int:
        """Frees nodes of dates and days."""
        return self._free(paths, "date")

    def free_time_dep(self, paths: Paths) -> int:
        """Frees nodes of times."""
        return self._free(paths, "time")

    def free_all_dep(self, paths: Paths) -> int:
        """Frees nodes of all that they wait for."""
        return self._free(paths, "all")

    def _free(self, paths: Paths, which: str) -> int:
        every = _paths(paths)
        shown = _shown(f"--free-dep {which}", every)
        return self._paths(shown, lambda to: to.control.freeDependencies(every, which))

    def alter(
        self, paths: Paths, action: str, attribute: str, name: str = "", value: object = ""
    ) -> int:
        """Changes attributes: `alter("/s", "add", "variable", "A", "1")`."""
        every = _paths(paths)
        words = [action, attribute, *(word for word in (name, str(value)) if word)]
        return self._paths(
            _shown("--alter", [*words, *every]),
            lambda to: to.control.alter(every, action, attribute, name, str(value)),
        )

    def delete(self, paths: Paths, force: bool = False) -> int:
        """Deletes nodes."""
        every = _paths(paths)
        return self._paths(_shown("--delete", every), lambda to: to.control.remove(every, force))

    def delete_all(self, force: bool = False) -> int:
        """Deletes all suites."""
        return self._paths("--delete _all_", lambda to: to.control.remove(["/"], force))

    def order(self, path: str, how: str) -> int:
        """Changes the order of a node's siblings."""
        return self._done(f"--order={path} {how}", lambda to: to.control.order(path, how))

    def kill(self, paths: Paths) -> int:
        """Kills the jobs at and below nodes."""
        every = _paths(paths)
        return self._paths(_shown("--kill", every), lambda to: to.control.kill(every))

    def status(self, paths: Paths) -> int:
        """Asks for the status of the jobs at and below nodes."""
        every = _paths(paths)
        return self._paths(_shown("--status", every), lambda to: to.control.status(every))

    def job_generation(self, path: str = "/") -> int:
        """Nothing waits for it: the server submits in the step that frees a task."""
        self.query("state", path)
        return 0

    def log_msg(self, text: str) -> int:
        """Writes to the log of the server."""
        return self._done(f"--msg={text}", lambda to: to.control.log("msg", text))

    def halt_server(self) -> int:
        """Starts no jobs, and lets jobs wait that call."""
        return self._done("--halt=yes", lambda to: to.control.state("halt"))

    def shutdown_server(self) -> int:
        """Starts no jobs."""
        return self._done("--shutdown=yes", lambda to: to.control.state("shutdown"))

    def restart_server(self) -> int:
        """Starts jobs again."""
        return self._done("--restart", lambda to: to.control.state("restart"))

    def terminate_server(self) -> int:
        """Ends the server; jobs go on."""
        return self._done("--terminate=yes", lambda to: to.control.state("terminate"))

    def checkpt(self) -> int:
        """Writes a snapshot now."""
        return self._done("--check_pt", lambda to: to.control.checkpoint())

    def reload_wl_file(self) -> int:
        """Reads the white list again."""
        return self._done("--reloadwsfile", lambda to: to.control.reload("whitelist"))

    def zombie_fob(self, paths: Paths) -> int:
        """Answers zombies with success, without effect."""
        return self._zombies("fob", paths)

    def zombie_fail(self, paths: Paths) -> int:
        """Refuses the calls of zombies."""
        return self._zombies("fail", paths)

    def zombie_adopt(self, paths: Paths) -> int:
        """Makes zombies the jobs of their tasks."""
        return self._zombies("adopt", paths)

    def zombie_block(self, paths: Paths) -> int:
        """Holds the calls of zombies."""
        return self._zombies("block", paths)

    def zombie_remove(self, paths: Paths) -> int:
        """Forgets zombies until they call again."""
        return self._zombies("remove", paths)

    def zombie_kill(self, paths: Paths) -> int:
        """Kills zombies."""
        return self._zombies("kill", paths)

    def _zombies(self, action: str, paths: Paths) -> int:
        every = _paths(paths)
        shown = _shown(f"--zombie_{action}", every)
        return self._paths(shown, lambda to: to.control.act(every, action))

    # What a job tells

    def set_child_path(self, path: str) -> None:
        """The task of the job."""
        self._job.path = path

    def set_child_password(self, password: str) -> None:
        """What the job was started with."""
        self._job.password = password

    def set_child_pid(self, rid: str | int) -> None:
        """The id of the process, or of the job in a queueing system."""
        self._job.rid = str(rid)

    def set_child_try_no(self, number: int) -> None:
        """The number of the try."""
        self._job.tryNo = number

    def set_child_timeout(self, seconds: float) -> None:
        """How long a call is repeated while the server is away, halted or holds a zombie."""
        self._timeout = seconds

    def child_init(self) -> None:
        """The job runs."""
        self._tell("init", lambda to: to.jobs.started(self._job, []))

    def child_complete(self) -> None:
        """The job is done."""
        self._tell("complete", lambda to: to.jobs.completed(self._job, []))

    def child_abort(self, reason: str = "") -> None:
        """The job has failed."""
        self._tell("abort", lambda to: to.jobs.aborted(self._job, reason))

    def child_event(self, name: str, value: bool = True) -> None:
        """Sets or clears an event."""
        self._tell("event", lambda to: to.jobs.setEvent(self._job, name, value))

    def child_meter(self, name: str, value: int) -> None:
        """Sets a meter."""
        self._tell("meter", lambda to: to.jobs.setMeter(self._job, name, value))

    def child_label(self, name: str, value: str) -> None:
        """Sets a label."""
        self._tell("label", lambda to: to.jobs.setLabel(self._job, name, value))

    def child_wait(self, expression: str) -> None:
        """Returns when an expression is true."""
        self._tell("wait", lambda to: to.jobs.waitFor(self._job, expression))

    def _tell(self, name: str, operation: Callable[[Proxies], Awaitable[Reply]]) -> None:
        shown = f"chd:{name} {self._job.path}"
        end = time.monotonic() + self._timeout
        attempt = 0
        while True:
            try:
                reply = self._call(shown, operation, timeout=35.0, attempts=1)
            except RuntimeError:
                self._link.close()
                if time.monotonic() > end:
                    raise
            else:
                if reply.code not in _ASK_AGAIN:
                    _accept(shown, reply)
                    return
                if time.monotonic() > end:
                    raise _refused(shown, reply.text)
            # Jobs that lost their server at the same moment come back at different ones.
            time.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)] * random.uniform(0.75, 1.0))
            attempt += 1

    # Calling

    def _call(
        self,
        shown: str,
        operation: Callable[[Proxies], Awaitable[T]],
        timeout: float = 60.0,
        attempts: int | None = None,
    ) -> T:
        count = self._attempts if attempts is None else attempts
        try:
            return self._link.call(operation, timeout=timeout, attempts=count, pause=self._pause)
        except Unreachable as error:
            text = (
                f"{_timestamp()} Request( {shown} ), Failed to connect to {self._link.address}. "
                f"After {count} attempts. Is the server running ?\n"
            )
            raise RuntimeError(text) from error
        except RpcError as error:
            if error.code == ErrorCode.REMOTE_EXCEPTION:
                raise _refused(shown, error.text) from error
            server = self._link.address
            text = f"{_timestamp()} Request( {shown} ), No answer from {server}: {error}\n"
            raise RuntimeError(text) from error

    def _text(self, shown: str, operation: Callable[[Proxies], Awaitable[Reply]]) -> str:
        return _accept(shown, self._call(shown, operation))

    def _done(self, shown: str, operation: Callable[[Proxies], Awaitable[Reply]]) -> int:
        self._text(shown, operation)
        return 0

    def _paths(self, shown: str, operation: Callable[[Proxies], Awaitable[list[Outcome]]]) -> int:
        refused = [one.text for one in self._call(shown, operation) if one.code != 0]
        if refused:
            raise _refused(shown, "\n".join(refused))
        return 0


def _accept(shown: str, reply: Reply) -> str:
    if reply.code != 0:
        raise _refused(shown, reply.text)
    return reply.text


def _refused(shown: str, text: str) -> RuntimeError:
    return RuntimeError(f"Error: request( {shown} ) failed!  Server reply: {text}\n")


def _paths(paths: Paths) -> list[str]:
    return [paths] if isinstance(paths, str) else list(paths)


def _shown(option: str, words: list[str]) -> str:
    return " ".join([option, *words])


def _definition(defs: Defs | str) -> tuple[str, str]:
    if isinstance(defs, Defs):
        return str(defs), "<defs>"
    with open(defs, encoding="utf-8") as file:
        return file.read(), defs


def _timestamp() -> str:
    now = datetime.now()
    return f"[{now:%H:%M:%S} {now.day}.{now.month}.{now.year}]"
