"""The API of TCE's own Python programs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest
import tce
from gen_blocking.test import ITerminal, ITerminalPrx, Server, ServerPrx


class ServerImpl(Server):
    def __init__(self) -> None:
        Server.__init__(self)
        self.threads: set[str] = set()
        self.props: dict[str, str] = {}

    def echo(self, text: str, ctx: tce.Context) -> str:
        self.threads.add(threading.current_thread().name)
        self.props = ctx.msg.extra.props
        if text == "fault":
            raise tce.Fault("said no", 4711)
        return "Yah! " + text

    def timeout(self, secs: int, ctx: tce.Context) -> None:
        time.sleep(secs)

    def bidirection(self, ctx: tce.Context) -> None:
        for number in range(20):
            ITerminalPrx(ctx.connection).onMessage_oneway(str(number))


class TerminalImpl(ITerminal):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def onMessage(self, message: str, ctx: tce.Context) -> None:
        if message == "0":
            time.sleep(0.05)
        self.messages.append(message)


@pytest.fixture
def servant() -> ServerImpl:
    return ServerImpl()


@pytest.fixture
def prx(servant: ServerImpl) -> Iterator[ServerPrx]:
    tce.RpcCommunicator.instance().init("server")
    adapter = tce.RpcCommAdapter.create("adapter", tce.RpcEndPoint(host="127.0.0.1", port=0))
    adapter.addServant(servant)
    tce.RpcCommunicator.instance().addAdapter(adapter)
    yield ServerPrx.create(adapter.endpoint)
    tce.RpcCommunicator.instance().shutdown(0)


def wait(condition: threading.Event) -> None:
    assert condition.wait(10)


def test_calls_block_and_servants_run_in_threads(prx: ServerPrx, servant: ServerImpl) -> None:
    assert prx.echo("hello") == "Yah! hello"
    assert prx.echo("hello", 3.0, {"name": "scott.bo"}) == "Yah! hello"
    assert servant.props["name"] == "scott.bo"
    assert all(name.startswith("tce-servant") for name in servant.threads)
    began = time.monotonic()
    threads = [threading.Thread(target=prx.timeout, args=(1,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert time.monotonic() - began < 3


def test_errors_are_rpc_exceptions_with_a_text(prx: ServerPrx) -> None:
    with pytest.raises(tce.RpcException) as raised:
        prx.timeout(2, timeout=0.1)
    assert raised.value.what().startswith("test::Server::timeout: TIMEOUT: no answer within 0.1s")
    with pytest.raises(tce.RpcException) as raised:
        prx.echo("fault")
    assert (raised.value.code, raised.value.text) == (4711, "said no")
    # A servant may leave operations out, as those of existing programs do.
    with pytest.raises(tce.RpcException, match="INTERFACE_NOTFOUND.*does not implement"):
        prx.datetime()


def test_callbacks_get_result_proxy_and_cookie_and_may_block(prx: ServerPrx) -> None:
    called = threading.Event()
    found: list[object] = []

    def callback(result: str, proxy: ServerPrx, cookie: object) -> None:
        found.extend([result, proxy is prx, cookie, proxy.echo("again")])
        called.set()

    prx.echo_async("pingpang", callback, "cookie")
    wait(called)
    assert found == ["Yah! pingpang", True, "cookie", "Yah! again"]
    failed = threading.Event()
    errors: list[int] = []

    def on_error(error: tce.RpcError, proxy: ServerPrx, cookie: object) -> None:
        errors.append(error.code)
        failed.set()

    prx.echo_async("fault", callback, on_error=on_error)
    wait(failed)
    assert errors == [4711]


def test_pushed_messages_keep_their_order(prx: ServerPrx) -> None:
    terminal = TerminalImpl()
    adapter = tce.RpcCommAdapter("adapter")
    adapter.addConnection(prx.conn)
    adapter.addServant(terminal)
    tce.RpcCommunicator.instance().addAdapter(adapter)
    prx.bidirection()
    deadline = time.monotonic() + 10
    while len(terminal.messages) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert terminal.messages == [str(number) for number in range(20)]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_begins_anew(prx: ServerPrx) -> None:
    endpoint = prx.conn.peer
    assert prx.echo("parent") == "Yah! parent"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            found = "no error"
            tce.RpcCommunicator.instance().init()
            try:
                prx.echo("a proxy of the parent")
            except RuntimeError as error:
                found = str(error)
            again = ServerPrx.create(endpoint)
            os.write(writing, f"{found}; {again.echo('child')}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        found = pipe.read()
    os.waitpid(child, 0)
    assert "to another process: make the proxy again; Yah! child" in found
    assert prx.echo("parent") == "Yah! parent"


def test_a_communicator_can_be_initialized_again(prx: ServerPrx) -> None:
    tce.RpcCommunicator.instance().shutdown(0)
    with pytest.raises(RuntimeError, match="call RpcCommunicator.instance"):
        ServerPrx.create("tcp://localhost:1")
    tce.RpcCommunicator.instance().init()
    with pytest.raises(tce.RpcException, match="CONNECT_FAILED"):
        ServerPrx.create("tcp://127.0.0.1:1")
