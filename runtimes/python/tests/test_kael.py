"""kael's client, and the scripts of its documentation, with agents of `tce-frame`."""

from __future__ import annotations

import os
import pathlib
import signal
import statistics
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator

import pytest
from conftest import ROOT, TARGET, Broker, tce

KAEL = ROOT / "runtimes/python/kael/src"
sys.path.insert(0, str(KAEL))

from kael import NoAgent, RemoteError, UnknownService  # noqa: E402
from kael._version import version_key  # noqa: E402
from kael.work_frame import WORK_FRAME  # noqa: E402

# As in kael's documentation.
SETTING = """type: service
service_base_name: calculate
version: VERSION
publish:
 - add
 - minus
"""
CODE = """import time

def add(a, b):
    return a + b

def minus(a, b=0, wait=0):
    time.sleep(wait)
    return a / b if b == 0 else a - b
"""
CONF = """service_group: services_default
path:
  - ./calculate_service
"""
CLIENT = """from kael.work_frame import WORK_FRAME
AMQ_URI = '{uri}' # rabbitmq 地址
namespace = 'seed' # 运行空间
client = WORK_FRAME(name=namespace, auri=AMQ_URI)
result = client.calculate__add(1,2)
print(result)
r = client.command("_get_pkg_version", pkg_type='service') # 返回消息id
result = client.get_response(r, timeout=5) # 获取结果
print(list(result.values())[0]['calculate']['version'])
print(client.get_last_version(service='calculate', pkg_type='service')['calculate']['version'])
client.get_last_version(pkg_type='crontab')
client.command("_get_pkg_version", pkg_type='service')
client.command("_get_pkg_version", pkg_type='crontab')
client.get_all_crontab_status(crontab=None)
pkg_name = 'calculate'
print(list(client.update_service(pkg_name).values()))
r = client.command("_restart_service")
print(list(client.get_response(r, timeout=10).values()))
client.command("_restart_crontab")
"""
SERVER = """from kael.work_frame import WORK_FRAME
AMQ_URI = '{uri}' # rabbitmq 地址
namespace = 'seed' # 运行空间
conf_dir = '{conf}'
server = WORK_FRAME(name=namespace, auri=AMQ_URI, service_group_conf=conf_dir)
server.frame_start()
"""


class Frame:
    """Agents of one namespace, each with a folder of its own."""

    def __init__(self, broker: Broker, folder: pathlib.Path, name: str) -> None:
        self.name = name
        self.uri = f"amqp://guest:guest@127.0.0.1:{broker.port}/%2f"
        self._folder = folder
        self.agents: list[subprocess.Popen[bytes]] = []
        self.ids: list[str] = []

    def machine(self, name: str, version: str = "1.0") -> pathlib.Path:
        """A folder with the package of the documentation."""
        package = self._folder / name / "calculate_service"
        package.mkdir(parents=True)
        (package / "setting.yaml").write_text(SETTING.replace("VERSION", version))
        (package / "__init__.py").write_text(CODE)
        (self._folder / name / "frame_pkg_setting.yaml").write_text(CONF)
        return self._folder / name

    def env(self) -> dict[str, str]:
        """The environment of programs with a client or an agent."""
        path = os.pathsep.join([str(ROOT / "runtimes/python/src"), str(KAEL)])
        return {
            **os.environ, "PYTHONPATH": path, "TCE_FRAME": str(TARGET / "tce-frame"),
            "TCE_FRAME_AMQP": self.uri, "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip

    def start(self, machine: pathlib.Path, *command: str) -> subprocess.Popen[bytes]:
        """Starts an agent, and waits until it is ready."""
        agent = [str(TARGET / "tce-frame"), "agent", "--namespace", self.name]
        agent += ["--conf", str(machine / "frame_pkg_setting.yaml")]
        log = machine / "log"
        with log.open("wb") as output:
            started = subprocess.Popen(
                command or agent, env=self.env(), stderr=output, stdout=output, cwd=machine
            )
        self.agents.append(started)
        deadline = time.monotonic() + 40
        while "the agent is ready" not in log.read_text():
            assert started.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        ready = next(line for line in log.read_text().splitlines() if "is ready" in line)
        self.ids.append(ready.rsplit("agent=", 1)[1].strip().strip('"'))
        # The queue of the service is declared soon after that.
        with self.client() as client:
            while True:
                try:
                    client.calculate__add(0, 0)
                except UnknownService:
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.05)
                else:
                    return started

    def client(self) -> WORK_FRAME:
        return WORK_FRAME(name=self.name, auri=self.uri)

    def settled(self, client: WORK_FRAME, count: int) -> None:
        """Waits until agents know each other: a command ends by itself."""
        deadline = time.monotonic() + 20
        while True:
            begin = time.monotonic()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                number = client.command("_get_pkg_version")
                answers = client.get_response(number, timeout=0.5)
            if len(answers) == count and time.monotonic() - begin < 0.5:
                return
            assert time.monotonic() < deadline, answers

    def stop(self) -> None:
        for agent in self.agents:
            agent.kill()
            agent.wait()


@pytest.fixture
def frame(broker: Broker, tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> Iterator[Frame]:
    frame = Frame(broker, tmp_path, request.node.name[-40:].strip("_"))
    yield frame
    frame.stop()


def test_the_scripts_of_the_documentation_run_as_they_are(frame: Frame) -> None:
    frame.name = "seed"
    machine = frame.machine("a")
    conf = str(machine / "frame_pkg_setting.yaml")
    server = machine / "server.py"
    server.write_text(SERVER.format(uri=frame.uri, conf=conf))
    started = frame.start(machine, sys.executable, str(server))
    script = machine / "client.py"
    script.write_text(CLIENT.replace("{uri}", frame.uri))
    ran = subprocess.run(
        [sys.executable, str(script)], env=frame.env(), capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "3", "1.0", "1.0", "['I am the source code']", "['restart service ok']",
    ]  # fmt: skip
    # SIGTERM reaches the agent, which ends as it should.
    started.terminate()
    assert started.wait(30) == 0


def test_functions_give_their_values_and_their_exceptions(frame: Frame) -> None:
    frame.start(frame.machine("a"))
    with frame.client() as client:
        assert client.calculate__add(1, 2) == 3
        assert client.calculate__add(a="x", b="é") == "xé"
        assert client.calculate__add([1], [None, {"k": b"\0"}]) == [1, None, {"k": b"\0"}]
        begin = time.monotonic()
        with pytest.raises(RemoteError) as failed:
            client.calculate__minus(1)
        assert time.monotonic() - begin < 1
        assert (failed.value.type, failed.value.message) == ("ZeroDivisionError", "division by zero")
        assert "return a / b" in failed.value.traceback
        for name in ("nosuch__f", "calculate__nosuch"):
            begin = time.monotonic()
            with pytest.raises(UnknownService):
                getattr(client, name)()
            assert time.monotonic() - begin < 1
        with pytest.raises(AttributeError):
            client.nosuch  # noqa: B018
        with pytest.raises(TypeError, match="set"):
            client.calculate__add({1}, 2)
        assert client.calculate__add.src.startswith("def add(a, b):")
        client.timeout = 0.3
        with pytest.raises(TimeoutError):
            client.calculate__minus(1, 2, wait=1)
        client.timeout = 30
        times: list[float] = []
        for number in range(200):
            begin = time.perf_counter()
            assert client.calculate__add(number, 1) == number + 1
            times.append(time.perf_counter() - begin)
        print(f"p50 {statistics.median(times) * 1000:.2f} ms")
        results: list[int] = []
        threads = [
            threading.Thread(target=lambda: results.append(client.calculate__add(1, 2)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [3] * 8


def test_commands_reach_the_agents_that_are_meant(frame: Frame) -> None:
    for name in ("a", "b", "c"):
        frame.start(frame.machine(name, "1.10" if name == "b" else "1.9"))
    one, two, three = frame.ids
    with frame.client() as client:
        frame.settled(client, 3)
        begin = time.monotonic()
        answers = client.get_response(client.command("_get_pkg_version"), timeout=5)
        assert time.monotonic() - begin < 2
        assert sorted(answers) == sorted(frame.ids) and answers.missing == []
        status = answers[one]["calculate"]
        assert status.keys() == {"version", "path", "args", "hash", "state"}
        assert (status["version"], status["state"]) == ("1.9", "running")
        only = client.command("_get_pkg_version", pkg_type="service", id=two)
        assert list(client.get_response(only, timeout=5)) == [two]
        others = client.command("_get_pkg_version", not_id=[one, two])
        assert list(client.get_response(others, timeout=5)) == [three]
        others = client.command("_get_pkg_version", not_id=one)
        assert sorted(client.get_response(others, timeout=5)) == sorted([two, three])
        with pytest.warns(UserWarning, match="no answer within 0.3 s from nobody"):
            absent = client.get_response(client.command("_get_pkg_version", id="nobody"), timeout=0.3)
        assert (absent, absent.missing) == ({}, ["nobody"])
        last = client.get_last_version(service="calculate")["calculate"]
        assert (last["version"], last["id"]) == ("1.10", two)

        updated = client.update_service("calculate", not_id=[three])
        assert updated == {one: "Update OK. Version from <1.9> to <1.10>", two: "I am the source code"}
        again = client.update_service("calculate", id=one)
        # Both have the highest version now.
        present = "Package calculate Version 1.10 Already on the server"
        assert again in ({one: present}, {one: "I am the source code"})
        # A version may be a float.
        assert client.update_service("calculate", version=1.9, id=three) == {
            three: "I am the source code"
        }
        assert client.restart_servers("service", id=one) == {one: "restart service ok"}

        refused = client.get_response(client.command("system", "id", id=one), timeout=5)
        assert refused[one].startswith("ERR command system: `system` is switched off")
        assert refused.failures[one].startswith("`system`")
        missing = client.update_service("nosuch", id=one)
        assert missing[one].startswith("ERR: ")
        # One that hangs is missing.
        frame.agents[2].send_signal(signal.SIGSTOP)
        # All of its threads have stopped: before that, it may still answer.
        os.waitpid(frame.agents[2].pid, os.WUNTRACED)
        begin = time.monotonic()
        with pytest.warns(UserWarning, match=f"no answer within 1 s from {three}"):
            answers = client.get_response(client.command("_get_pkg_version"), timeout=1)
        assert 0.9 < time.monotonic() - begin < 2
        assert (sorted(answers), answers.missing) == (sorted([one, two]), [three])
        frame.agents[2].send_signal(signal.SIGCONT)
        with pytest.raises(ValueError, match="_get_pkg_version, _get_crontab_status"):
            client.command("_nosuch")
        with pytest.raises(KeyError):
            client.get_response("nosuch")


def test_a_namespace_without_agents_is_an_error_at_once(frame: Frame) -> None:
    with frame.client() as client:
        begin = time.monotonic()
        with pytest.raises(NoAgent, match=f"no agent in namespace {frame.name}"):
            client.get_response(client.command("_get_pkg_version"), timeout=5)
        assert time.monotonic() - begin < 2


def test_what_is_missing_or_not_supported_is_said(tmp_path: pathlib.Path) -> None:
    with pytest.raises(EnvironmentError, match="service_group"):
        WORK_FRAME()
    conf = tmp_path / "conf.yaml"
    conf.write_text("service_group: services_default\npath: []\n")
    frame = WORK_FRAME(service_group_conf=str(conf), channel="center")
    assert frame.name == "services_default"
    for option in ("app", "lock"):
        with pytest.raises(TypeError, match=option):
            WORK_FRAME(name="x", **{option: True})  # type: ignore[arg-type]
    wrong = WORK_FRAME(name="x", auri="http://user:secret@host/")
    with pytest.raises(ValueError, match="amqp://") as failed:
        wrong.calculate__add(1, 2)
    assert "secret" not in str(failed.value)


def test_versions_are_ordered_as_agents_order_them() -> None:
    ordered = ["0.9", "1.0-alpha", "1.0-alpha.1", "1.0-beta.2", "1.0-beta.11", "1.0", "1.9", "1.10"]
    assert sorted(ordered, key=version_key) == ordered
    assert version_key("1.0") == version_key("1") == version_key("1.0.0+build")


def test_the_interface_of_agents_is_up_to_date(tmp_path: pathlib.Path) -> None:
    settings = tmp_path / "tce.toml"
    settings.write_text("[python]\nmulti-calls = true\n")
    idl = ROOT / "services/frame/idl/frame.idl"
    tce("compile", "-l", "python", "-i", str(idl), "-o", str(tmp_path), "--config", str(settings))
    generated = (tmp_path / "frame.py").read_text()
    assert (KAEL / "kael/_frame.py").read_text() == generated


def test_mypy_and_pyright_have_nothing_to_say() -> None:
    folder = ROOT / "runtimes/python/kael"
    env = {**os.environ, "MYPYPATH": str(ROOT / "runtimes/python/src")}
    for checker in (
        ["mypy", "--strict", "--follow-imports", "silent", "src"],
        ["pyright", "--pythonpath", sys.executable, "-p", "."],
    ):
        ran = subprocess.run(
            [sys.executable, "-m", *checker], cwd=folder, env=env, capture_output=True, text=True,
            timeout=300,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout
