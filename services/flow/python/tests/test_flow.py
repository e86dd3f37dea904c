"""The packages `takler` and `ecflow`, with a server; the scripts of both tutorials as they are."""

from __future__ import annotations

import io
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[4]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
SOURCE = ROOT / "services/flow/python/src"
RECORDED = ROOT / "services/flow/tests/client/recorded"
sys.path.insert(0, str(SOURCE))

import ecflow  # noqa: E402
from takler.client import TaklerServiceClient  # noqa: E402
from takler.core import (  # noqa: E402
    Flow,
    NodeStatus,
    RepeatDate,
    ShellScriptTask,
    Task,
)
from takler.exceptions import (  # noqa: E402
    ClientConnectionError,
    NodeNotFoundError,
    UnsupportedValueError,
)
from takler.visitor import PrintVisitor, pre_order_travel  # noqa: E402


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The port of a server for all tests, whose tasks find no scripts."""
    home = tmp_path_factory.mktemp("home")
    command = [TARGET / "tce-flow", "serve", home, "--listen", "tcp://127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            listening = server.stdout.readline()
            yield listening.rpartition(":")[2].strip()
        finally:
            server.terminate()


def run(script: str, folder: pathlib.Path, **variables: str) -> str:
    """Runs a script with the packages, in a process of its own."""
    path = [str(SOURCE), str(ROOT / "runtimes/python/src")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), **variables}
    for name in ("ECF_HOST", "ECF_PORT", "TAKLER_HOST", "TAKLER_PORT"):
        environment.pop(name, None)
    file = folder / "script.py"
    file.write_text(script)
    result = subprocess.run(
        [sys.executable, file], env=environment, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


# Of Takler's tutorial, but for the addresses: the default port may be in use by another server.
TAKLER = """from takler.client import TaklerServiceClient


def main():
    client = TaklerServiceClient()
    client.set_host_port("127.0.0.1", "{port}")
    client.ping()

    client.set_host_port("localhost", "{port}")
    client.ping()


if __name__ == "__main__":
    main()
"""

# Of ecFlow's tutorial, but for the addresses.
ECFLOW = """import ecflow

try:
    # When no arguments specified uses ECF_HOST and/or ECF_PORT,
    # otherwise defaults to localhost:3141
    ci = ecflow.Client("localhost:1")  # inherit from shell variables
    ci.ping()
    print("ping success")
except RuntimeError as e:
    print("ping failed: " + str(e))

try:
    # Explicitly set host and port using the same client
    # For alternative argument list see ecflow.Client.set_host_port()
    ci.set_host_port("localhost:{port}")
    ci.ping()
    print("ping success")
except RuntimeError as e:
    print("ping failed: " + str(e))

try:
    # Create a new client, Explicitly setting host and port.
    ci = ecflow.Client("localhost:2")  # another server
    ci.ping()
    print("ping success")
except RuntimeError as e:
    print("ping failed: " + str(e))
"""


def test_the_script_of_takler_prints_its_two_lines(port: str, tmp_path: pathlib.Path) -> None:
    out = run(TAKLER.format(port=port), tmp_path)
    line = r"ping server \({}:{}\) succeeded in 0:00:0\d\.\d{{6}}\.\n"
    assert re.fullmatch(line.format("127.0.0.1", port) + line.format("localhost", port), out), out


def test_the_script_of_ecflow_fails_succeeds_and_fails(port: str, tmp_path: pathlib.Path) -> None:
    out = run(ECFLOW.format(port=port), tmp_path)
    failed = (
        r"ping failed: \[\d\d:\d\d:\d\d \d+\.\d+\.\d{{4}}\] Request\( --ping \), "
        r"Failed to connect to localhost:{}\. After 2 attempts\. Is the server running \?\n\n"
    )
    assert re.fullmatch(failed.format(1) + "ping success\n" + failed.format(2), out), out


@pytest.mark.parametrize(
    ("arguments", "variables", "address"),
    [
        ((), {}, ("localhost", "3141")),
        ((), {"ECF_HOST": "h", "ECF_PORT": "5"}, ("h", "5")),
        ((), {"ECF_HOST": "", "ECF_NODE": "n"}, ("n", "3141")),
        (("a:7",), {"ECF_PORT": "5"}, ("a", "7")),
        (("a@7",), {}, ("a", "7")),
        (("a", 7), {}, ("a", "7")),
        (("a", "7"), {}, ("a", "7")),
        (("ssl://a:7",), {}, ("ssl://a", "7")),
    ],
)
def test_where_ecflows_client_calls(
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    variables: dict[str, str],
    address: tuple[str, str],
) -> None:
    for name in ("ECF_HOST", "ECF_PORT", "ECF_NODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = ecflow.Client(*arguments)
    assert (client.get_host(), client.get_port()) == address


def tutorial_flow() -> Flow:
    """The flow of `tests/client/recorded/takler_flow.json`, as Takler's own package built it."""
    with Flow("json") as flow:
        flow.add_parameter("TAKLER_HOME", "/tmp/h")
        flow.add_parameter({"NUMBER": 3, "WORD": "it's"})
        flow.add_limit("lim", 2)
        with flow.add_container("c1") as c1:
            c1.add_in_limit("lim")
            c1.add_repeat(RepeatDate("YMD", 20260101, 20260103))
            with c1.add_task(ShellScriptTask("t1", "/tmp/h/t1.takler")) as t1:
                t1.add_event("half")
                t1.add_event("go", initial_value=True)
                t1.add_meter("step", 0, 100)
            with c1.add_task(ShellScriptTask("t2", script_path="/tmp/h/t2.takler")) as t2:
                t2.add_trigger("./t1 == complete and ./t1:half == set")
                t2.add_complete_trigger("./t1 == aborted or ./t1:step >= 20")
                t2.add_time("10:00")
        with flow.add_container("c2") as c2:
            c2.add_task("t3").set_default_node_status(NodeStatus.complete)
            c2.add_task(ShellScriptTask("t4")).add_in_limit("lim", node_path="/json", tokens=2)
    return flow


def test_a_flow_is_what_takler_builds(port: str, tmp_path: pathlib.Path) -> None:
    flow = tutorial_flow()
    assert flow.to_dict() == json.loads((RECORDED / "takler_flow.json").read_text())
    stream = io.StringIO()
    pre_order_travel(flow, PrintVisitor(stream, show_trigger=True))
    assert stream.getvalue() == (RECORDED / "takler_flow.tree").read_text()
    # Both forms show the same tree at the server.
    client = TaklerServiceClient("localhost", port)
    operator = ecflow.Client("localhost", port)
    shown = []
    for name, text in (("flow.json", json.dumps(flow.to_dict())), ("flow.def", flow.to_def())):
        file = tmp_path / name
        file.write_text(text)
        client.load(file)
        operator.get_server_defs()
        definition = str(operator.get_defs())
        shown.append(definition[definition.index("suite json") :])
        operator.delete("/json", force=True)
    assert shown[0] == shown[1]


def test_takler_acts_on_nodes(
    port: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Flow("tk") as flow:
        flow.add_task("a").add_meter("step", 0, 10)
        flow.add_task("b").add_trigger("a == complete")
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(flow.to_dict()))
    client = TaklerServiceClient("localhost", port)
    client.load(file)
    client.suspend(["/tk/a"])
    client.requeue(["/tk"])
    client.force(["/tk/a"], "complete")
    client.free_dep(["/tk/b"])
    client.resume(["/tk/a"])
    assert capsys.readouterr().out == "received: success\n" * 6
    client.show()
    shown = capsys.readouterr().out
    assert "|- tk [" in shown and "  |- a [complete]\n      meter step 0 10 [0]\n" in shown
    assert "      trigger a == complete\n" in shown
    with pytest.raises(NodeNotFoundError, match="Could not find node at path /nosuch"):
        client.suspend(["/tk/b", "/nosuch"])
    client.set_host_port("localhost", 1)
    with pytest.raises(ClientConnectionError, match="server localhost:1 is unreachable"):
        client.ping()


def test_what_can_not_be_built_is_refused() -> None:
    flow = Flow("s")
    for refused in (
        lambda: Flow("a b"),
        lambda: flow.add_trigger("a == complete; edit X 1"),
        lambda: flow.add_limit("l\n", 1),
        lambda: ecflow.Task("a b"),
        lambda: ecflow.Label("l", "\n"),
        lambda: ecflow.Date("1.1.2026\nendtask"),
    ):
        with pytest.raises(ValueError, match="name|hold|expression|line"):
            refused()
    flow.add_parameter("A", "1\nendsuite")
    with pytest.raises(ValueError, match="can't hold the value"):
        flow.to_def()
    flow.add_parameter("A", "it's")
    assert "  edit A 'it's'\n" in flow.to_def()
    with pytest.raises(UnsupportedValueError):
        Task("t").set_default_node_status(NodeStatus.active)


def test_a_definition_of_ecflow_loads_and_runs(port: str) -> None:
    task = ecflow.Task(
        "t1",
        ecflow.Event(1, "half"),
        ecflow.Event("go", initial=True),
        ecflow.Meter("step", 0, 100, 90),
        ecflow.Label("info", "it's"),
        ecflow.Late("-s +00:15 -c +02:00"),
        A=1,
        B="x y",
    )
    defs = ecflow.Defs(
        ecflow.Suite(
            "py",
            ecflow.Clock("real +00:10"),
            ecflow.Limit("lim", 2),
            ecflow.RepeatInteger("N", 1, 3),
            ecflow.Family(
                "f",
                ecflow.InLimit("lim", "/py"),
                ecflow.RepeatDateList("D", [20260101, 20260301]),
                task,
                ecflow.Task("t2", ecflow.Trigger("t1 == complete or t1:half"), ecflow.Date(1, 0, 2027)),
                ecflow.Task("t3", ecflow.Trigger(["t1", "t2"]), ecflow.Complete("t1:half")),
                ecflow.Task("t4", ecflow.Time("23:00"), ecflow.Today("+00:10", "01:00", "00:20")),
                ecflow.Task("t5", ecflow.Cron("10:00 20:00 01:00", days_of_week=[0, 1], months=[2])),
                ecflow.Task("t6", ecflow.Day("monday"), ecflow.Defstatus("complete")),
                ecflow.Task("t7", ecflow.RepeatEnumerated("E", ["a", "b"]), ecflow.Zombie("ecf:fob::")),
            ),
        )
    )
    with defs.add_suite("py2") as suite:
        suite.add_variable({"A": 1}).add_autocancel(1)
        suite.add_task("t").add_trigger("/py/f/t1 == complete").add_part_trigger("1 == 1", True)
        suite += ecflow.Task("u")
    client = ecflow.Client(f"localhost:{port}")
    assert client.load(defs) == 0
    with pytest.raises(RuntimeError, match="A Suite of name 'py' already exist"):
        client.load(defs)
    assert client.suites()[-2:] == ["py", "py2"]
    client.suspend("/py/f")
    client.begin_all_suites()
    assert client.query("state", "/py/f/t2") == "queued"
    client.force_event("/py/f/t1:half", "set")
    assert client.query("event", "/py/f/t1", "half") == "set"
    assert client.query("trigger", "/py/f/t2", "t1:half and t1:step == 0") == "true"
    client.alter("/py", "add", "variable", "X", "/a path")
    assert client.query("variable", "/py/f/t1", "X") == "/a path"
    client.force_state_recursive("/py", ecflow.State.complete)
    client.order("/py/f/t2", "top")
    client.free_all_dep(["/py/f/t4"])
    assert client.check() == ""
    with pytest.raises(RuntimeError, match=r"Error: request\( --run /nosuch \) failed!  Server reply: "):
        client.run("/nosuch")
    client.get_server_defs()
    text = str(client.get_defs())
    assert text.index("task t2") < text.index("task t1")
    # What the server prints is the same definition.
    client.delete(["/py", "/py2"], force=True)
    assert client.load(ecflow.Defs._of_text(text), force=True) == 0
    client.delete_all(force=True)
    assert client.suites() == []


def test_a_job_tells_its_server(port: str) -> None:
    client = ecflow.Client("localhost", port)
    suite = ecflow.Suite("job", ecflow.Task("t", ecflow.Event("e")))
    client.load(ecflow.Defs(suite))
    client.begin_suite("job")
    client.set_child_path("/job/t")
    client.set_child_password("not of the job")
    client.set_child_pid(999)
    client.set_child_try_no(1)
    client.set_child_timeout(0)
    # A zombie: its events succeed without effect, its end is held.
    client.child_event("e")
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=r"request\( chd:complete /job/t \) failed"):
        client.child_complete()
    assert time.monotonic() - began < 5
    assert client.query("event", "/job/t", "e") == "clear"
    assert any(zombie.path == "/job/t" for zombie in client.zombie_get())
    client.zombie_fob("/job/t")
    client.child_complete()
    client.zombie_remove("/job/t")
    client.delete("/job", force=True)


def test_a_long_definition_is_uploaded_in_parts(port: str) -> None:
    client = ecflow.Client("localhost", port)
    suite = ecflow.Suite("long")
    for at in range(8000):
        suite.add_task(f"t{at}").add_variable("TEXT", "größer als ein Teil der Übertragung" + "ü" * 20)
    client.load(ecflow.Defs(suite))
    client.get_server_defs()
    assert str(client.get_defs()).count("task t") == 8000
    client.delete("/long", force=True)


def test_generated_code_is_that_of_the_interface(tmp_path: pathlib.Path) -> None:
    settings = tmp_path / "tce.toml"
    settings.write_text('[python]\napi = "asyncio"\n')
    idl = ROOT / "services/flow/idl/flow.idl"
    subprocess.run(
        [TARGET / "tce", "compile", "-l", "python", "-i", idl, "-o", tmp_path, "--config", settings],
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert (tmp_path / "flow.py").read_text() == (SOURCE / "tce_flow/_flow.py").read_text()


def test_the_packages_pass_strict_mypy(tmp_path: pathlib.Path) -> None:
    environment = {**os.environ, "MYPYPATH": f"{ROOT / 'runtimes/python/src'}"}
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path, "-p", "ecflow", "-p", "takler"],
        cwd=SOURCE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
