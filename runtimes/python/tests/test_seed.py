"""TCE's own client and server, with the gateway: over RabbitMQ, and without a broker."""

from __future__ import annotations

import pathlib
import shutil
import sys
from collections.abc import Callable

import pytest
from conftest import ROOT, TARGET, Broker, Program, free_port, tce

CALLS = "call_twoway call_timeout call_async call_extras call_oneway call_bidirection".split()
# The callback prints in another thread, perhaps in the middle of a line.
PRINTED = [
    "None",
    "async call result:",
    "Yah! pingpang",
    "cookie: cookie",
    "onMessage: server push message!",
]


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """The example, with the code that its README generates."""
    copy = tmp_path / "seed"
    shutil.copytree(ROOT / "examples/seed-python", copy)
    tce("compile", "-i", "test.idl", "-o", ".", "--lang", "python", cwd=copy)
    return copy


def with_ports(folder: pathlib.Path, ports: dict[str, int]) -> None:
    for name in ("services.xml", "services-direct.xml", "config.yml"):
        text = (folder / name).read_text()
        for old, new in ports.items():
            text = text.replace(old, str(new))
        (folder / name).write_text(text)


def python(folder: pathlib.Path, programs: Callable[..., Program], *arguments: str) -> Program:
    env = {"PYTHONPATH": str(ROOT / "runtimes/python/src"), "PYTHONUNBUFFERED": "1"}
    return programs(sys.executable, *arguments, cwd=folder, **env)


def assert_called(
    folder: pathlib.Path, programs: Callable[..., Program], services: str, gateway: int
) -> None:
    program = programs(str(TARGET / "tce-gateway"), services, "gwserver", cwd=folder)
    program.line_with("accepting clients")
    env = {"PYTHONPATH": str(ROOT / "runtimes/python/src"), "GATEWAY_PORT": str(gateway)}
    client = programs(sys.executable, "-u", "client.py", *CALLS, cwd=folder, **env)
    client.line("onMessage: ")
    printed = client.stop()
    for part in PRINTED:
        assert part in printed, printed
    assert printed.count("Yah! hello") == 2
    assert "Traceback" not in printed, printed


SERVER_PRINTED = ["'name': 'scott.bo'", "enter timeout: 3", "hello world!"]


def test_over_rabbitmq(
    folder: pathlib.Path, programs: Callable[..., Program], broker: Broker
) -> None:
    gateway = free_port()
    with_ports(folder, {"5672": broker.port, "12002": gateway, "12001": free_port()})
    server = python(folder, programs, "server.py")
    server.line("server of mq:mq_server")
    assert_called(folder, programs, "services.xml", gateway)
    printed = server.stop()
    for part in (*SERVER_PRINTED, "mq_gateway "):
        assert part in printed, printed
    assert server.process.returncode == 0 and "Traceback" not in printed


def test_without_a_broker(folder: pathlib.Path, programs: Callable[..., Program]) -> None:
    gateway, port = free_port(), free_port()
    with_ports(folder, {"12003": port, "12002": gateway, "12001": free_port()})
    server = python(folder, programs, "server_direct.py", str(port))
    server.line("server of tcp://localhost:")
    assert_called(folder, programs, "services-direct.xml", gateway)
    printed = server.stop()
    for part in SERVER_PRINTED:
        assert part in printed, printed
    assert server.process.returncode == 0 and "Traceback" not in printed
