"""Calls over sockets and WebSocket: every kind, both directions, and failures of peers."""

from __future__ import annotations

import asyncio
import subprocess
import tracemalloc
from typing import Any

import pytest
import tce
from conftest import free_port, run, until
from gen.test import BaseServerPrx, ITerminalPrx, ServerPrx
from servants import ServerImpl, TerminalImpl
from tce import _frame, _message
from tce._frame import Deframer

LOCAL = "127.0.0.1"


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tce.TlsFiles:
    """A certificate for localhost, which is its own authority."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = str(folder / "key.pem"), str(folder / "cert.pem")
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return tce.TlsFiles(ca_file=cert, cert_file=cert, key_file=key)


@pytest.mark.parametrize("scheme", ["tcp", "ssl", "ws", "wss"])
def test_every_kind_of_call_in_both_directions(scheme: str, tls: tce.TlsFiles) -> None:
    async def test() -> None:
        path = "/path" if scheme.startswith("ws") else ""
        async with tce.Communicator(tce.Options(tls=tls)) as communicator:
            servant = ServerImpl()
            adapter = await communicator.listen(f"{scheme}://localhost:0{path}", servant)
            prx = await ServerPrx.connect(communicator, str(adapter.endpoint))
            assert await prx.echo("hellö") == "hellö"
            assert await prx.datetime() == "today"
            assert await BaseServerPrx(prx.connection).datetime() == "today"
            pending = prx.echo_async("pingpang", extra={"name": "scott.bo", "a": ""})
            assert await pending == "pingpang"
            assert pending.extra == {"echoed": "8"}
            assert servant.extras[-1] == {"name": "scott.bo", "a": ""}
            await prx.heartbeat_oneway("hello world!")
            await until(lambda: servant.heartbeats == ["hello world!"])
            terminal = TerminalImpl()
            prx.connection.add_servant(terminal)
            await prx.bidirection()
            assert terminal.messages == ["server push message!"]
            big = "x" * 3_000_000
            assert await prx.echo(big) == big
            results = await asyncio.gather(*(prx.echo(str(n)) for n in range(500)))
            assert results == [str(n) for n in range(500)]
            await prx.connection.ping()
            assert any("interface Server" in idl for idl in await prx.connection.describe())

    run(test())


async def failure(call: Any) -> tce.RpcError:
    with pytest.raises(tce.RpcError) as raised:
        await call
    return raised.value


def test_errors_say_what_where_and_whether_to_repeat() -> None:
    async def test() -> None:
        async with tce.Communicator() as communicator:
            adapter = await communicator.listen(f"tcp://{LOCAL}:0", ServerImpl())
            prx = await ServerPrx.connect(communicator, str(adapter.endpoint))
            error = await failure(prx.echo("fault"))
            assert (error.code, error.side, error.text) == (4711, tce.Side.REMOTE, "säid no")
            assert error.operation == "test::Server::echo"
            assert error.peer == str(adapter.endpoint) and not error.can_retry
            expected = f"test::Server::echo: error code 4711: säid no ({adapter.endpoint})"
            assert str(error) == error.what() == expected
            error = await failure(prx.echo("bug"))
            assert (error.code, error.text) == (tce.ErrorCode.REMOTE_EXCEPTION, "internal error")
            error = await failure(ITerminalPrx(prx.connection).onMessage("x"))
            assert error.code == tce.ErrorCode.INTERFACE_NOTFOUND
            assert error.text == "no servant for interface 3 here"
            error = await failure(prx.timeout(1, timeout=0.1))
            assert (error.code, error.can_retry) == (tce.ErrorCode.TIMEOUT, True)
            assert error.text == "no answer within 0.1s"
            with pytest.raises(tce.MarshalError):
                await prx.timeout(1 << 31)
            error = await failure(prx.echo("x" * (5 << 20)))
            assert error.code == tce.ErrorCode.SENDFAILED
            assert await prx.echo("still there") == "still there"

    run(test())


def test_the_beginning_of_a_long_error_text_reaches_the_caller() -> None:
    class Failing(ServerImpl):
        async def echo(self, text: str, ctx: tce.Context) -> str:
            raise tce.Fault(text)

    async def test() -> None:
        async with tce.Communicator() as communicator:
            adapter = await communicator.listen(f"tcp://{LOCAL}:0", Failing())
            prx = await ServerPrx.connect(communicator, str(adapter.endpoint))
            for text in ["x" * 100_000, "😈" * 10_000]:
                error = await failure(prx.echo(text))
                assert error.code == tce.ErrorCode.REMOTE_EXCEPTION
                assert error.text == text.encode()[: 8 << 10].decode()

    run(test())


def test_a_cancelled_task_abandons_its_call() -> None:
    async def test() -> None:
        async with tce.Communicator() as communicator:
            adapter = await communicator.listen(f"tcp://{LOCAL}:0", ServerImpl())
            prx = await ServerPrx.connect(communicator, str(adapter.endpoint))
            task = asyncio.create_task(prx.timeout(30))
            await until(lambda: len(prx.connection.calls) == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(prx.connection.calls) == 0
            assert await prx.echo("next") == "next"
            await communicator.shutdown(0)

    run(test())


def test_cancelled_calls_leave_nothing_behind() -> None:
    async def test() -> None:
        async with tce.Communicator() as communicator:
            servant = ServerImpl()
            adapter = await communicator.listen(f"tcp://{LOCAL}:0", servant)
            prx = await ServerPrx.connect(communicator, str(adapter.endpoint))
            sizes: list[int] = []
            tracemalloc.start()
            for _ in range(6):
                for _ in range(500):
                    try:
                        await asyncio.wait_for(prx.timeout(0), 0)
                    except asyncio.TimeoutError:
                        pass
                    prx.echo_async("cancelled").cancel()
                await prx.echo("in order")
                servant.extras.clear()
                sizes.append(tracemalloc.get_traced_memory()[0])
            tracemalloc.stop()
            assert len(prx.connection.calls) == 0
            assert sizes[-1] < sizes[1] + 20_000, sizes

    run(test())


def test_a_client_that_cannot_connect_says_why() -> None:
    async def test() -> None:
        communicator = tce.Communicator()
        error = await failure(communicator.connect(f"tcp://{LOCAL}:{free_port()}"))
        assert error.code == tce.ErrorCode.CONNECT_FAILED
        error = await failure(communicator.connect("tcp://no-such-host.invalid:1"))
        assert error.code == tce.ErrorCode.CONNECT_UNREACHABLE
        error = await failure(communicator.connect("tpc://localhost:1"))
        assert "`tpc` is not one of tcp, ssl, ws, wss and mq" in error.text
        error = await failure(communicator.listen("ssl://localhost:0"))
        assert "TLS needs a certificate" in error.text

    run(test())


def test_an_untrusted_certificate_and_plain_text_are_refused(tls: tce.TlsFiles) -> None:
    async def test() -> None:
        async with tce.Communicator(tce.Options(tls=tls)) as server:
            adapter = await server.listen("ssl://localhost:0", ServerImpl())
            error = await failure(tce.Communicator().connect(str(adapter.endpoint)))
            assert error.code == tce.ErrorCode.CONNECT_FAILED
            assert "certificate verify failed" in error.text
            plain = await server.listen("tcp://localhost:0", ServerImpl())
            endpoint = str(plain.endpoint).replace("tcp", "ssl")
            limits = tce.ConnectionLimits(connect_time=1)
            client = tce.Communicator(tce.Options(connection=limits))
            assert (await failure(client.connect(endpoint))).code == tce.ErrorCode.CONNECT_FAILED

    run(test())


def test_a_lost_connection_is_made_again_with_its_servants_and_token() -> None:
    async def test() -> None:
        tokens = iter(["first", "second", "third"])
        options = tce.Options(token=lambda: next(tokens), device_id="d1")
        async with tce.Communicator(options) as client:
            port = free_port()
            server = tce.Communicator()
            servant = ServerImpl()
            await server.listen(f"tcp://{LOCAL}:{port}", servant)
            prx = await ServerPrx.connect(client, f"tcp://{LOCAL}:{port}")
            states: list[str] = []
            prx.connection.on_state(lambda state, reason: states.append(state))
            terminal = TerminalImpl()
            prx.connection.add_servant(terminal)
            await prx.echo("a")
            assert servant.extras[-1] == {"__token__": "first", "__device_id__": "d1"}
            await prx.echo("b")
            assert servant.extras[-1] == {}
            waiting = prx.timeout_async(30)
            await until(lambda: len(prx.connection.calls))
            await server.shutdown(0)
            error = await failure(waiting)
            assert error.code in (
                tce.ErrorCode.CONNECTION_LOST, tce.ErrorCode.REMOTEMETHOD_EXCEPTION,
            )  # fmt: skip
            error = await failure(prx.echo("nobody"))
            assert error.code == tce.ErrorCode.CONNECT_FAILED and error.can_retry
            later = prx.echo_async("later")
            server = tce.Communicator()
            servant = ServerImpl()
            await server.listen(f"tcp://{LOCAL}:{port}", servant)
            await until(lambda: prx.connection.is_connected)
            assert await prx.bidirection() is None
            assert terminal.messages == ["server push message!"]
            assert await prx.echo("c") == "c"
            assert states[0] == "disconnected" and "connected" in states
            assert await later == "later"
            await server.shutdown(0)

    run(test())


def test_a_client_that_only_listens_logs_in() -> None:
    async def test() -> None:
        seen: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await reader.read(1000))

        server = await asyncio.start_server(serve, LOCAL, 0)
        port = server.sockets[0].getsockname()[1]
        async with tce.Communicator(tce.Options(token="scott")) as communicator:
            await communicator.connect(f"tcp://{LOCAL}:{port}")
            await until(lambda: seen, 3)
        ((data, start, end),) = Deframer(tce.Limits()).feed(seen[0])
        fields = _message.HEADER.unpack_from(data, start)
        assert fields[2:5] == (_message.TWOWAY, _message.BUILTIN_INTERFACE, _message.LOGIN)
        extra, _ = _message.read_extra(data, start + 17, end, tce.Limits())
        assert extra.as_dict() == {"__token__": "scott"}
        server.close()

    run(test())


async def raw(endpoint: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = int(endpoint.rsplit(":", 1)[1])
    return await asyncio.open_connection(LOCAL, port)


def call(sequence: int, opidx: int, params: bytes, call_id: int = 0, extra: bytes = b"") -> bytes:
    count = 1 if extra else 0
    return _message.frame(sequence, 0x11, 2, opidx, 0, call_id, (count, extra), params)


def test_what_a_gateway_forwards_is_answered_with_its_extra_and_call_id() -> None:
    async def test() -> None:
        async with tce.Communicator() as communicator:
            adapter = await communicator.listen(f"tcp://{LOCAL}:0", ServerImpl())
            reader, writer = await raw(str(adapter.endpoint))
            extra = _message.encode_pairs([(b"__user_id__", b"\xe9")])
            text = b"\0\0\0\1x"
            writer.write(call(0, 0, text, 0x8001, extra) + call(7, 0, text, 1, extra))
            deframer = Deframer(tce.Limits())
            found: list[tuple[Any, dict[str, str]]] = []
            while len(found) < 2:
                for data, start, end in deframer.feed(await reader.read(1 << 16)):
                    pairs, _ = _message.read_extra(data, start + 17, end, tce.Limits())
                    found.append((_message.HEADER.unpack_from(data, start), pairs.as_dict()))
            assert found[0][0][1:] == (0, 2, 2, 0, 0, 0, 0x8001)
            assert found[0][1] == {"__user_id__": "\ufffd", "echoed": "1"}
            assert found[1][0][1:] == (7, 2, 2, 0, 0, 0, 1)
            assert found[1][1] == {"echoed": "1"}
            writer.close()

    run(test())


def test_a_routed_extra_that_leaves_no_space_is_returned_without_more() -> None:
    """A RETURN that is refused lets a caller behind a gateway wait until its timeout."""

    class Failing(ServerImpl):
        async def echo(self, text: str, ctx: tce.Context) -> str:
            if text == "f":
                raise tce.Fault("y" * 8000)
            return await super().echo(text, ctx)

    async def test() -> None:
        async with tce.Communicator() as communicator:
            adapter = await communicator.listen(f"tcp://{LOCAL}:0", Failing())
            reader, writer = await raw(str(adapter.endpoint))
            deframer = Deframer(tce.Limits())
            found: list[tuple[int, list[str]]] = []
            for text, size in [(b"f", 60_000), (b"x", 65_520)]:
                extra = _message.encode_pairs([(b"l", b"x" * size)])
                writer.write(call(1, 0, b"\0\0\0\1" + text, 0x8000, extra))
                expected = len(found) + 1
                while len(found) < expected:
                    for data, start, end in deframer.feed(await reader.read(1 << 18)):
                        pairs, _ = _message.read_extra(data, start + 17, end, tce.Limits())
                        errcode = _message.HEADER.unpack_from(data, start)[5]
                        found.append((errcode, list(pairs.as_dict())))
            assert found == [
                (tce.ErrorCode.REMOTE_EXCEPTION, ["l"]),
                (tce.ErrorCode.REMOTEMETHOD_EXCEPTION, ["l"]),
            ]
            writer.close()

    run(test())


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
def test_garbage_and_silence_end_a_connection(scheme: str) -> None:
    async def test() -> None:
        limits = tce.ConnectionLimits(frame_time=0.2, connect_time=0.2)
        async with tce.Communicator(tce.Options(connection=limits)) as communicator:
            adapter = await communicator.listen(f"{scheme}://{LOCAL}:0", ServerImpl())
            for data in (b"GET / HTTP/1.0\r\n\r\n", b"\xef\xd2\xbb\x99\0\0", bytes(100)):
                reader, writer = await raw(str(adapter.endpoint))
                writer.write(data)
                try:
                    while await asyncio.wait_for(reader.read(1000), 5):
                        pass
                except ConnectionError:
                    pass
                writer.close()
            prx = await ServerPrx.connect(communicator, str(adapter.endpoint))
            assert await prx.echo("others go on") == "others go on"

    run(test())


def test_sixteen_malformed_messages_end_a_connection() -> None:
    async def test() -> None:
        async with tce.Communicator() as communicator:
            adapter = await communicator.listen(f"tcp://{LOCAL}:0", ServerImpl())
            reader, writer = await raw(str(adapter.endpoint))
            reserved = _frame.HEADER.pack(_frame.MAGIC, 11 + 20, 0, 0, 0) + bytes([9]) * 21
            writer.write(reserved * 15 + call(1, 0, b"\0\0\0\1x"))
            assert await asyncio.wait_for(reader.read(1000), 5)
            writer.write(reserved)
            assert not await asyncio.wait_for(reader.read(1000), 5)
            writer.close()

    run(test())


def test_undecodable_calls_are_answered() -> None:
    async def test() -> None:
        async with tce.Communicator() as communicator:
            adapter = await communicator.listen(f"tcp://{LOCAL}:0", ServerImpl())
            reader, writer = await raw(str(adapter.endpoint))
            writer.write(call(1, 0, b"\0\0\0\xff") + call(2, 99, b""))
            writer.write(_message.frame(3, 1, 2, 0, 0, 0, (9, b""), b""))
            codes: dict[int, int] = {}
            deframer = Deframer(tce.Limits())
            while len(codes) < 3:
                for data, start, _ in deframer.feed(await asyncio.wait_for(reader.read(9999), 5)):
                    fields = _message.HEADER.unpack_from(data, start)
                    codes[fields[1]] = fields[5]
            assert codes == {
                1: tce.ErrorCode.UNSERIALIZE_FAILED,
                2: tce.ErrorCode.INTERFACE_NOTFOUND,
                3: tce.ErrorCode.DATADIRTY,
            }
            writer.close()

    run(test())


def test_a_client_that_reads_nothing_does_not_fill_the_memory_of_the_server() -> None:
    async def test() -> None:
        limits = tce.ConnectionLimits(send_buffer=1 << 16, stall_time=0.5)
        async with tce.Communicator(tce.Options(connection=limits)) as communicator:
            servant = ServerImpl()
            adapter = await communicator.listen(f"tcp://{LOCAL}:0", servant)
            reader, writer = await raw(str(adapter.endpoint))
            text = b"\0\1\0\0" + b"x" * (1 << 16)
            sent = 0
            while sent < 1000 and adapter.connections:
                writer.write(call(sent, 0, text))
                sent += 1
                try:
                    await asyncio.wait_for(writer.drain(), 0.5)
                except (asyncio.TimeoutError, ConnectionError):
                    break
            await until(lambda: not adapter.connections)
            assert len(servant.extras) < 500
            writer.close()

    run(test())


def test_callers_wait_for_a_peer_that_reads_slowly() -> None:
    async def test() -> None:
        limits = tce.ConnectionLimits(send_buffer=1 << 16)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(30)

        server = await asyncio.start_server(serve, LOCAL, 0, limit=1)
        port = server.sockets[0].getsockname()[1]
        async with tce.Communicator(tce.Options(connection=limits)) as communicator:
            prx = await ServerPrx.connect(communicator, f"tcp://{LOCAL}:{port}")
            text = "x" * (1 << 18)
            error = tce.RpcError(0, "")
            for _ in range(200):
                try:
                    await prx.heartbeat_oneway(text, timeout=0.3)
                except tce.RpcError as raised:
                    error = raised
                    break
            assert error.code == tce.ErrorCode.SENDFAILED
            assert error.text == "the call could not be sent within 0.3s"
            link = prx.connection.link  # type: ignore[attr-defined]
            assert link.transport.get_write_buffer_size() < 1 << 20
            await communicator.shutdown(0)
        server.close()

    run(test())


def test_served_calls_are_limited_and_calls_back_still_pass() -> None:
    async def test() -> None:
        limits = tce.ConnectionLimits(served_calls=3)
        async with tce.Communicator(tce.Options(connection=limits)) as communicator:
            servant = ServerImpl()
            adapter = await communicator.listen(f"tcp://{LOCAL}:0", servant)
            prx = await ServerPrx.connect(communicator, str(adapter.endpoint))
            prx.connection.add_servant(TerminalImpl())
            calls = [prx.timeout_async(1) for _ in range(5)]
            await asyncio.sleep(0.2)
            (connection,) = adapter.connections
            assert connection.link is not None and connection.link.served == 3
            await asyncio.gather(*calls, *(prx.bidirection() for _ in range(20)))

    run(test())


def test_too_many_connections_are_refused_with_a_reason() -> None:
    async def test() -> None:
        limits = tce.ConnectionLimits(connections=1)
        async with tce.Communicator(tce.Options(connection=limits)) as communicator:
            adapter = await communicator.listen(f"tcp://{LOCAL}:0", ServerImpl())
            first = await ServerPrx.connect(communicator, str(adapter.endpoint))
            assert await first.echo("in") == "in"
            second = await ServerPrx.connect(communicator, str(adapter.endpoint))
            reasons: list[str] = []
            second.connection.on_state(lambda state, reason: reasons.append(reason))
            await until(lambda: reasons)
            assert reasons[0] == "the server has too many connections"
            # Refused, the client connects again only to make a call.
            await asyncio.sleep(0.3)
            assert not second.connection.is_connected
            await first.connection.close()
            await until(lambda: not adapter.connections)
            assert await second.echo("now in") == "now in"

    run(test())


def test_a_shutdown_lets_calls_end_and_refuses_new_ones() -> None:
    async def test() -> None:
        server, client = tce.Communicator(), tce.Communicator()
        adapter = await server.listen(f"tcp://{LOCAL}:0", ServerImpl())
        prx = await ServerPrx.connect(client, str(adapter.endpoint))
        slow = prx.timeout_async(1)
        await until(lambda: server._in_flight())
        ending = asyncio.create_task(server.shutdown(5))
        await asyncio.sleep(0.1)
        error = await failure(prx.echo("late"))
        assert error.code == tce.ErrorCode.CONNECT_REJECT
        assert await slow is None
        assert await ending
        await client.shutdown(0)

    run(test())


def test_an_expired_call_is_not_executed() -> None:
    async def test() -> None:
        async with tce.Communicator() as communicator:
            servant = ServerImpl()
            adapter = await communicator.listen(f"tcp://{LOCAL}:0", servant)
            prx = await ServerPrx.connect(communicator, str(adapter.endpoint))
            error = await failure(prx.echo("old", extra={"__deadline__": "1000"}))
            assert error.code == tce.ErrorCode.TIMEOUT and "clocks" in error.text
            assert not servant.extras
            assert await prx.echo("new", timeout=5) == "new"
            assert "__deadline__" in servant.extras[-1]

    run(test())


def test_compressed_frames_are_sent_where_the_endpoint_says_so() -> None:
    async def test() -> None:
        async with tce.Communicator() as communicator:
            adapter = await communicator.listen(f"tcp://{LOCAL}:0?compress=1", ServerImpl())
            assert str(adapter.endpoint).endswith("?compress=1")
            prx = await ServerPrx.connect(communicator, str(adapter.endpoint))
            assert await prx.echo("x" * 100_000) == "x" * 100_000

    run(test())


def test_a_page_of_another_origin_and_another_path_are_refused() -> None:
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    async def test() -> None:
        async with tce.Communicator() as communicator:
            adapter = await communicator.listen(
                f"ws://{LOCAL}:0/chat", ServerImpl(), origins=["https://example.org"]
            )
            url = str(adapter.endpoint)

            def attempt(url: str, origin: str | None) -> int:
                try:
                    with connect(url, origin=origin) as socket:  # type: ignore[arg-type]
                        frame = call(1, 0, b"\0\0\0\1x")
                        # As the JavaScript client sends it: header and payload.
                        socket.send(frame[:14])
                        socket.send(frame[14:])
                        assert isinstance(socket.recv(timeout=5), bytes)
                        return 101
                except InvalidStatus as error:
                    return error.response.status_code

            assert await asyncio.to_thread(attempt, url, "https://example.org") == 101
            assert await asyncio.to_thread(attempt, url, None) == 101
            assert await asyncio.to_thread(attempt, url, "https://evil.example") == 403
            assert await asyncio.to_thread(attempt, url + "x", None) == 404

    run(test())
