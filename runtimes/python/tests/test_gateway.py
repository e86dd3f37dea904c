"""Clients and a server in Python around the gateway: logins, pushes, restarts."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import pathlib
import signal
import time
from collections.abc import Callable

import pytest
import tce
from conftest import ROOT, TARGET, Program, free_port, run, until
from gen.test import ITerminalGatewayServerPrx, ITerminalPrx, ServerPrx
from servants import ServerImpl, TerminalImpl
from tce._client import ClientConnection

SERVICES = (ROOT / "examples/cluster/services-direct.xml").read_text()
LOGIN = """<property name="listen" value="socket_gateway"/>
<property name="userid_check" value="true"/><property name="auth" value="token"/>"""
USERS = 50


SECRET = "the secret by which the tests sign tokens"


def jwt(user: str, number: int) -> str:
    """A token of a user; those of two numbers differ."""
    claims = {"sub": user, "exp": int(time.time()) + 3600, "jti": str(number)}
    parts = (json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = hmac.digest(SECRET.encode(), signed, "sha256")
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


class Cluster:
    """The gateways of `services-direct.xml`, and the port of the server behind them."""

    def __init__(
        self, folder: pathlib.Path, programs: Callable[..., Program], **properties: str
    ) -> None:
        self.tcp, self.ws, self.server = free_port(), free_port(), free_port()
        text = SERVICES.replace("localhost", "127.0.0.1")
        for old, new in (("12001", self.ws), ("12002", self.tcp), ("12003", self.server)):
            text = text.replace(old, str(new))
        further = "".join(
            f'<property name="{name}" value="{value}"/>' for name, value in properties.items()
        )
        login = LOGIN.replace('"token"', '"jwt"') if "auth_jwt_secret" in properties else LOGIN
        text = text.replace('<property name="listen" value="socket_gateway"/>', login + further)
        (folder / "services.xml").write_text(text)
        self._folder = folder
        self._programs = programs

    def start(self, name: str = "gwserver") -> Program:
        program = self._programs(str(TARGET / "tce-gateway"), "services.xml", name, cwd=self._folder)
        program.line_with("accepting clients")
        return program


@pytest.fixture
def cluster(tmp_path: pathlib.Path, programs: Callable[..., Program]) -> Cluster:
    return Cluster(tmp_path, programs)


class PushingServer(ServerImpl):
    """Knows by which connection each user called last."""

    def __init__(self) -> None:
        super().__init__()
        self.gateways: dict[str, tce.Connection] = {}

    async def heartbeat(self, hello: str, ctx: tce.Context) -> None:
        assert ctx.user_id is not None
        self.gateways[ctx.user_id] = ctx.connection

    async def bidirection(self, ctx: tce.Context) -> None:
        await ITerminalPrx.to_caller(ctx).onMessage_oneway("server push message!")


def test_a_user_logs_in_calls_and_is_pushed_to(cluster: Cluster) -> None:
    async def test() -> None:
        servant = PushingServer()
        async with tce.Communicator() as server:
            adapter = await server.listen(f"tcp://127.0.0.1:{cluster.server}", servant)
            await asyncio.to_thread(cluster.start)
            await until(lambda: adapter.connections)
            async with tce.Communicator(tce.Options(token="scott")) as client:
                prx = await ServerPrx.connect(client, f"tcp://127.0.0.1:{cluster.tcp}")
                assert await prx.echo("hello", extra={"name": "scott.bo"}) == "hello"
                assert servant.extras[-1]["__user_id__"] == "scott"
                assert servant.extras[-1]["name"] == "scott.bo"
                terminal = TerminalImpl()
                prx.connection.add_servant(terminal)
                await prx.bidirection_oneway()
                await until(lambda: terminal.messages == ["server push message!"])
                await prx.heartbeat_oneway("here")
                await until(lambda: servant.gateways)
                push = ITerminalPrx.to_user(servant.gateways["scott"], "scott")
                with pytest.raises(tce.RpcError) as delivered:
                    await push.onMessage("twoway pushes are delivered oneway")
                assert delivered.value.code == tce.ErrorCode.REMOTE_EXCEPTION
                assert len(terminal.messages) == 2
                with pytest.raises(tce.RpcError) as failed:
                    await ITerminalGatewayServerPrx(prx.connection).ping()
                assert failed.value.code == tce.ErrorCode.INTERFACE_NOTFOUND
            client = tce.Communicator()
            prx = await ServerPrx.connect(client, f"tcp://127.0.0.1:{cluster.tcp}")
            with pytest.raises(tce.RpcError) as refused:
                await prx.echo("without a token")
            assert refused.value.code == tce.ErrorCode.CONNECT_REJECT
            await client.shutdown(0)

    run(test())


def test_by_websocket(cluster: Cluster) -> None:
    async def test() -> None:
        async with tce.Communicator() as server, tce.Communicator() as client:
            adapter = await server.listen(f"tcp://127.0.0.1:{cluster.server}", PushingServer())
            await asyncio.to_thread(cluster.start, "gwserver_ws")
            await until(lambda: adapter.connections)
            prx = await ServerPrx.connect(client, f"ws://127.0.0.1:{cluster.ws}/")
            big = "é" * 1_000_000
            assert await prx.echo(big) == big
            terminal = TerminalImpl()
            prx.connection.add_servant(terminal)
            await prx.bidirection_oneway()
            await until(lambda: terminal.messages)

    run(test())


def test_clients_are_back_with_logins_and_servants_after_a_gateway_was_killed(
    cluster: Cluster,
) -> None:
    async def test() -> None:
        servant = PushingServer()
        server = tce.Communicator()
        adapter = await server.listen(f"tcp://127.0.0.1:{cluster.server}", servant)
        gateway = await asyncio.to_thread(cluster.start)
        await until(lambda: adapter.connections)
        users = [f"user{number}" for number in range(USERS)]
        clients = [tce.Communicator(tce.Options(token=user)) for user in users]
        proxies = [
            await ServerPrx.connect(client, f"tcp://127.0.0.1:{cluster.tcp}") for client in clients
        ]
        terminals = [TerminalImpl() for _ in users]
        for prx, terminal in zip(proxies, terminals):
            prx.connection.add_servant(terminal)
            await prx.heartbeat("here")

        async def push_to_all(text: str) -> None:
            for user in users:
                push = ITerminalPrx.to_user(servant.gateways[user], user)
                await push.onMessage_oneway(text)

        await push_to_all("before")
        await until(lambda: all(terminal.messages == ["before"] for terminal in terminals))
        servant.gateways.clear()
        gateway.process.send_signal(signal.SIGKILL)
        await until(lambda: not any(prx.connection.is_connected for prx in proxies))
        await asyncio.sleep(0.5)
        began = time.monotonic()
        await asyncio.to_thread(cluster.start)
        # They connect and log in by themselves.
        await until(lambda: all(prx.connection.is_connected for prx in proxies), 10)

        async def calls(prx: ServerPrx) -> None:
            while True:
                try:
                    return await prx.heartbeat("back", timeout=2)
                except tce.RpcError as error:
                    assert error.can_retry, error
                    await asyncio.sleep(0.05)

        await asyncio.gather(*(calls(prx) for prx in proxies))
        await push_to_all("after")
        expected = ["before", "after"]
        await until(lambda: all(terminal.messages == expected for terminal in terminals))
        taken = time.monotonic() - began
        assert taken < 10, taken
        await asyncio.sleep(0.3)
        assert all(terminal.messages == expected for terminal in terminals)
        for client in clients:
            await client.shutdown(0)
        await server.shutdown(0)

    run(test(), 90)


def test_a_client_that_only_listens_is_pushed_to_after_a_restart(cluster: Cluster) -> None:
    async def test() -> None:
        servant = PushingServer()
        async with tce.Communicator() as server, tce.Communicator(
            tce.Options(token="ann")
        ) as ann, tce.Communicator(tce.Options(token="bob")) as bob:
            adapter = await server.listen(f"tcp://127.0.0.1:{cluster.server}", servant)
            gateway = await asyncio.to_thread(cluster.start)
            await until(lambda: adapter.connections)
            listening = await ServerPrx.connect(ann, f"tcp://127.0.0.1:{cluster.tcp}")
            terminal = TerminalImpl()
            listening.connection.add_servant(terminal)
            calling = await ServerPrx.connect(bob, f"tcp://127.0.0.1:{cluster.tcp}")
            await listening.heartbeat("once")
            gateway.process.send_signal(signal.SIGKILL)
            await until(lambda: not listening.connection.is_connected)
            await asyncio.to_thread(cluster.start)
            await until(lambda: listening.connection.is_connected)

            async def pushed() -> bool:
                try:
                    await calling.heartbeat("by bob", timeout=2)
                except tce.RpcError:
                    return False
                by = servant.gateways["bob"]
                await ITerminalPrx.to_user(by, "ann").onMessage_oneway("to ann")
                await asyncio.sleep(0.1)
                return bool(terminal.messages)

            deadline = time.monotonic() + 10
            while not await pushed():
                assert time.monotonic() < deadline

    run(test(), 90)


def test_a_login_is_refreshed_before_it_ends(
    tmp_path: pathlib.Path, programs: Callable[..., Program]
) -> None:
    async def test() -> None:
        cluster = Cluster(tmp_path, programs, login_time="3", auth_jwt_secret=SECRET)
        asked: list[str] = []

        async def token() -> str:
            asked.append(jwt("scott", len(asked)))
            return asked[-1]

        async with tce.Communicator() as server:
            adapter = await server.listen(f"tcp://127.0.0.1:{cluster.server}", PushingServer())
            await asyncio.to_thread(cluster.start)
            await until(lambda: adapter.connections)
            renewing = tce.Communicator(tce.Options(token=token))
            expiring = tce.Communicator(tce.Options(token=jwt("ann", 0)))
            renewed = await ServerPrx.connect(renewing, f"tcp://127.0.0.1:{cluster.tcp}")
            expired = await ServerPrx.connect(expiring, f"tcp://127.0.0.1:{cluster.tcp}")
            states: list[str] = []
            renewed.connection.on_state(lambda state, reason: states.append(state))
            assert await renewed.echo("a") == await expired.echo("a") == "a"
            await until(lambda: not expired.connection.is_connected)
            assert expired.connection.close_code == tce.CloseCode.LOGIN_EXPIRED
            await until(lambda: len(asked) >= 4)
            assert await renewed.echo("b") == await expired.echo("b") == "b"
            assert not states
            await renewing.shutdown(0)
            await expiring.shutdown(0)

    run(test())


def test_two_devices_of_a_user_do_not_evict_each_other_without_an_end(cluster: Cluster) -> None:
    async def test() -> None:
        async with tce.Communicator() as server:
            adapter = await server.listen(f"tcp://127.0.0.1:{cluster.server}", PushingServer())
            await asyncio.to_thread(cluster.start)
            await until(lambda: adapter.connections)
            clients = [tce.Communicator(tce.Options(token="scott")) for _ in range(2)]
            first, second = [
                await ServerPrx.connect(client, f"tcp://127.0.0.1:{cluster.tcp}")
                for client in clients
            ]
            assert await first.echo("a") == "a"
            assert await second.echo("b") == "b"
            await until(lambda: not first.connection.is_connected)
            for _ in range(20):
                with pytest.raises(tce.RpcError) as refused:
                    await first.echo("c")
                assert refused.value.close_code == tce.CloseCode.REPLACED
                assert not refused.value.can_retry
                assert await second.echo("d") == "d"
            for client in clients:
                await client.shutdown(0)

    run(test())


def test_no_call_fails_when_a_gateway_restarts(
    tmp_path: pathlib.Path, programs: Callable[..., Program]
) -> None:
    async def test() -> None:
        cluster = Cluster(tmp_path, programs, drain_time="1")
        async with tce.Communicator() as server:
            adapter = await server.listen(f"tcp://127.0.0.1:{cluster.server}", PushingServer())
            old = await asyncio.to_thread(cluster.start)
            await until(lambda: adapter.connections)
            clients = [tce.Communicator(tce.Options(token=f"user{n}")) for n in range(20)]
            proxies = [
                await ServerPrx.connect(client, f"tcp://127.0.0.1:{cluster.tcp}")
                for client in clients
            ]
            is_over = False

            async def call(prx: ServerPrx) -> int:
                calls = 0
                while not is_over:
                    assert await prx.echo(str(calls)) == str(calls)
                    calls += 1
                    await asyncio.sleep(0.01)
                return calls

            callers = [asyncio.ensure_future(call(prx)) for prx in proxies]
            slow = [prx.timeout_async(2) for prx in proxies]
            await asyncio.sleep(0.2)
            old.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(old.line_with, "sending the clients elsewhere")
            await asyncio.to_thread(cluster.start)
            await asyncio.to_thread(old.process.wait, 10)
            await asyncio.gather(*slow)
            is_over = True
            assert all(calls > 50 for calls in await asyncio.gather(*callers))
            for client in clients:
                await client.shutdown(0)


def test_no_push_is_missed_or_repeated_over_lost_connections(
    tmp_path: pathlib.Path, programs: Callable[..., Program]
) -> None:
    async def test() -> None:
        cluster = Cluster(tmp_path, programs, resume_time="30")
        servant = PushingServer()
        async with tce.Communicator() as server:
            adapter = await server.listen(f"tcp://127.0.0.1:{cluster.server}", servant)
            await asyncio.to_thread(cluster.start)
            await until(lambda: adapter.connections)
            client = tce.Communicator(tce.Options(token="scott", resume=True))
            prx = await ServerPrx.connect(client, f"tcp://127.0.0.1:{cluster.tcp}")
            connection = prx.connection
            terminal = TerminalImpl()
            connection.add_servant(terminal)
            recovered: list[bool] = []
            connection.on_resumed(recovered.append)
            await prx.heartbeat("here")
            push = ITerminalPrx.to_user(servant.gateways["scott"], "scott")
            for number in range(500):
                await push.onMessage_oneway(str(number))
                if number % 100 == 50:
                    await until(lambda: connection.is_connected)
                    assert isinstance(connection, ClientConnection)
                    assert connection.link is not None
                    connection.link.abort("the test cuts it")
                if number % 10 == 0:
                    await asyncio.sleep(0.005)
            await until(lambda: len(terminal.messages) >= 500)
            await asyncio.sleep(0.2)
            assert terminal.messages == [str(number) for number in range(500)]
            assert recovered == [False, True, True, True, True, True]
            assert connection.recovered is True
            await client.shutdown(0)

    run(test())


def test_a_gateway_that_has_lost_its_pushes_says_so(
    tmp_path: pathlib.Path, programs: Callable[..., Program]
) -> None:
    async def test() -> None:
        cluster = Cluster(tmp_path, programs, resume_time="30")
        async with tce.Communicator() as server:
            adapter = await server.listen(f"tcp://127.0.0.1:{cluster.server}", PushingServer())
            gateway = await asyncio.to_thread(cluster.start)
            await until(lambda: adapter.connections)
            client = tce.Communicator(tce.Options(token="scott", resume=True))
            prx = await ServerPrx.connect(client, f"tcp://127.0.0.1:{cluster.tcp}")
            recovered: list[bool] = []
            prx.connection.on_resumed(recovered.append)
            await until(lambda: recovered == [False])
            gateway.process.send_signal(signal.SIGKILL)
            await until(lambda: not prx.connection.is_connected)
            await asyncio.to_thread(cluster.start)
            await until(lambda: recovered == [False, False])
            await client.shutdown(0)

    run(test())
