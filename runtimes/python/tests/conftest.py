"""What the tests share: generated code, the programs of the repository, a broker."""

from __future__ import annotations

import asyncio
import os
import pathlib
import queue
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
RABBITMQ = pathlib.Path("/usr/lib/rabbitmq/bin")
_GENERATED = pathlib.Path(tempfile.mkdtemp(prefix="tce-python-"))


def tce(*arguments: str, cwd: pathlib.Path = ROOT) -> str:
    """Runs the command `tce`, which `cargo build -p tce-cli` builds."""
    result = subprocess.run(
        [str(TARGET / "tce"), *arguments], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def generate(folder: pathlib.Path, api: str, *idls: pathlib.Path, tasks: bool = False) -> None:
    """Compiles IDL files to a package, with multi-calls where the API has them."""
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    settings = folder / "tce.toml"
    flags = {"tasks": tasks, "multi-calls": api == "asyncio"}
    lines = [f"{name} = {str(value).lower()}\n" for name, value in flags.items()]
    settings.write_text(f'[python]\napi = "{api}"\n{"".join(lines)}')
    names = ",".join(str(idl) for idl in idls)
    tce("compile", "-l", "python", "-i", names, "-o", str(folder), "--config", str(settings))
    settings.unlink()


def pytest_configure(config: pytest.Config) -> None:
    """The tests import `gen` and `gen_blocking`, as programs do."""
    idls = [ROOT / "tests/idl/test.idl", ROOT / "tests/idl/zoo.idl"]
    generate(_GENERATED / "gen", "asyncio", *idls)
    generate(_GENERATED / "gen_blocking", "blocking", *idls)
    sys.path.insert(0, str(_GENERATED))


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(_GENERATED, ignore_errors=True)


def run(coroutine: Coroutine[Any, Any, Any], timeout: float = 60.0) -> Any:
    """Runs a test's coroutine, with a bound."""

    async def bounded() -> Any:
        return await asyncio.wait_for(coroutine, timeout)

    return asyncio.run(bounded())


async def until(condition: Callable[[], object], timeout: float = 10.0) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.01)


def free_port() -> int:
    """A port below the ephemeral ones, so that no client gets it meanwhile."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Program:
    """A program that prints where it listens; ended with the test."""

    def __init__(self, *command: str, cwd: pathlib.Path | None = None, **env: str) -> None:
        self.process = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **env}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.lines: list[str] = []
        self._next: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._next.put(line)
        self._next.put("")

    def line(self, start: str) -> str:
        """The rest of the next line that begins like this."""
        while not (line := self.line_with(start)).startswith(start):
            pass
        return line[len(start) :].strip()

    def line_with(self, part: str, timeout: float = 30.0) -> str:
        """The next line that contains this."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self._next.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = ""
            assert line, f"no line contains {part!r}: {''.join(self.lines)}"
            self.lines.append(line)
            if part in line:
                return line

    def stop(self) -> str:
        """Ends it, and returns what it has printed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        while line := self._next.get(timeout=5):
            self.lines.append(line)
        self._next.put("")
        return "".join(self.lines)


@pytest.fixture
def programs() -> Iterator[Callable[..., Program]]:
    """Starts programs, which end with the test."""
    started: list[Program] = []

    def start(*command: str, cwd: pathlib.Path | None = None, **env: str) -> Program:
        started.append(Program(*command, cwd=cwd, **env))
        return started[-1]

    yield start
    for program in started:
        print(program.stop())


class Broker:
    """A private RabbitMQ node on free ports, in a folder of its own."""

    def __init__(self) -> None:
        assert (RABBITMQ / "rabbitmq-server").exists(), "apt-get install -y rabbitmq-server"
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="tce-rabbitmq-"))
        self.port = free_port()
        self._dist = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._env: dict[str, str] = {}
        self.start()

    def start(self) -> None:
        """Starts the node with its previous data."""
        config = self.home / "rabbitmq.conf"
        config.write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "log.console = false\ndisk_free_limit.absolute = 1MB\n"
        )
        env = {
            **os.environ,
            "HOME": str(self.home),
            "ERL_CRASH_DUMP": str(self.home / "erl_crash.dump"),
            "RABBITMQ_NODENAME": f"tcepy{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._dist),
            "RABBITMQ_MNESIA_BASE": str(self.home / "data"),
            "RABBITMQ_LOG_BASE": str(self.home / "log"),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.home / "plugins"),
            "RABBITMQ_PID_FILE": str(self.home / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }
        self._env = env
        with (self.home / "output").open("wb") as log:
            self._process = subprocess.Popen(
                [str(RABBITMQ / "rabbitmq-server")], env=env, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 90
        while not self._speaks():
            output = (self.home / "output").read_text()
            assert time.monotonic() < deadline, f"the node did not come up: {output}"
            time.sleep(0.1)

    def _speaks(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as probe:
                probe.sendall(b"AMQP\x00\x00\x09\x01")
                return len(probe.recv(8)) > 0
        except OSError:
            return False

    def kill(self) -> None:
        """Kills the node, as a power failure would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def set_alarm(self, is_on: bool) -> None:
        """Sets the memory alarm, in which the broker accepts no messages, or clears it."""
        share = "0" if is_on else "0.4"
        subprocess.run(
            [str(RABBITMQ / "rabbitmqctl"), "-n", self._env["RABBITMQ_NODENAME"],
             "set_vm_memory_high_watermark", share],
            env=self._env, check=True, capture_output=True, timeout=60,
        )  # fmt: skip

    def config(self, text: str) -> str:
        """A file with the node's port in place of 5672."""
        path = self.home / f"config{random.getrandbits(32)}.yml"
        path.write_text(text.replace("localhost", "127.0.0.1").replace("5672", str(self.port)))
        return str(path)


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """The node that the tests share; they must not end it."""
    node = Broker()
    yield node
    node.kill()
    shutil.rmtree(node.home, ignore_errors=True)
