"""A client's session: login, refresh, pushes that were kept, close reasons, a peer that drains."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import tce
from conftest import run, until
from gen.test import ServerPrx
from servants import TerminalImpl
from tce import _message
from tce._frame import Deframer

LOCAL = "127.0.0.1"
LOGIN, REFRESH, GO_AWAY = 2, 3, 4
BUILTIN = _message.BUILTIN_INTERFACE
EPOCH = "00000000000000a1"


class Message:
    """A message that a client has sent."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        fields = _message.HEADER.unpack_from(data, start)
        _, self.sequence, self.calltype, self.ifidx, self.opidx, self.errcode, _, _ = fields
        extra, position = _message.read_extra(data, start + 17, end, tce.Limits())
        self.extra = extra.as_dict()
        self.params = data[position:end]

    @property
    def operation(self) -> tuple[int, int]:
        return self.ifidx, self.opidx


class Stream:
    """One connection of a client, whose messages the test answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.is_closed = False
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._reading = asyncio.ensure_future(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        deframer = Deframer(tce.Limits())
        try:
            while data := await reader.read(1 << 16):
                for frame in deframer.feed(data):
                    self._messages.put_nowait(Message(*frame))
        except ConnectionError:
            pass
        self.is_closed = True

    async def message(self) -> Message:
        return await asyncio.wait_for(self._messages.get(), 10)

    @property
    def is_silent(self) -> bool:
        return self._messages.empty()

    async def login(self, **extra: str) -> Message:
        """Answers the login, which is next."""
        login = await self.message()
        assert login.operation == (BUILTIN, LOGIN)
        self.answer(login, extra=named(extra))
        return login

    def answer(
        self, call: Message, errcode: int = 0, extra: dict[str, str] | None = None,
        params: bytes = b"",
    ) -> None:  # fmt: skip
        pairs = extra or {}
        self.writer.write(
            _message.frame(
                call.sequence, _message.RETURN, call.ifidx, call.opidx, errcode, 0,
                (len(pairs), _message.encode_extra(pairs)), params,
            )
        )  # fmt: skip

    def push(
        self, text: str, offset: int | None = None, epoch: str = EPOCH,
        calltype: int = _message.ONEWAY,
    ) -> None:  # fmt: skip
        """Calls `ITerminal::onMessage`."""
        pairs = {} if offset is None else {"__epoch__": epoch, "__offset__": str(offset)}
        data = text.encode()
        self.call(3, 0, pairs, struct.pack(">I", len(data)) + data, calltype)

    def call(
        self, ifidx: int, opidx: int, pairs: dict[str, str], params: bytes,
        calltype: int = _message.ONEWAY,
    ) -> None:  # fmt: skip
        extra = len(pairs), _message.encode_extra(pairs)
        self.writer.write(_message.frame(1, calltype, ifidx, opidx, 0, 0, extra, params))

    def go_away(self, delay: int) -> None:
        self.call(BUILTIN, GO_AWAY, {}, struct.pack(">i", delay))

    def close(self, errcode: int = 0, text: str = "", code: str | None = None) -> None:
        if errcode:
            pairs = {"__error__": text} if code is None else {"__error__": text, "__close__": code}
            self.writer.write(
                _message.frame(
                    _message.GOODBYE, _message.RETURN, BUILTIN, 0, errcode, 0,
                    (len(pairs), _message.encode_extra(pairs)), b"",
                )
            )  # fmt: skip
        self.writer.close()


def named(extra: dict[str, str]) -> dict[str, str]:
    return {f"__{key}__": value for key, value in extra.items()}


class Peer:
    """Stands for a gateway, and does what the test says."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.streams.append(Stream(reader, writer))

        self._server = await asyncio.start_server(accept, LOCAL, 0)

    @property
    def endpoint(self) -> str:
        assert self._server is not None
        return f"tcp://{LOCAL}:{self._server.sockets[0].getsockname()[1]}"

    async def stream(self, number: int = 0) -> Stream:
        await until(lambda: len(self.streams) > number)
        return self.streams[number]

    def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for stream in self.streams:
            stream.writer.close()


def with_peer(
    test: Callable[[Peer, tce.Connection], Coroutine[Any, Any, None]],
    options: tce.Options | None = None,
) -> None:
    async def with_connection() -> None:
        peer = Peer()
        await peer.listen()
        communicator = tce.Communicator(options)
        try:
            await test(peer, await communicator.connect(peer.endpoint))
        finally:
            await communicator.shutdown(0)
            peer.close()

    run(with_connection())


async def failure(call: Any) -> tce.RpcError:
    with pytest.raises(tce.RpcError) as raised:
        await call
    return raised.value


def tokens(*texts: str) -> Callable[[], str]:
    """Each text once, then the last one."""
    left = list(texts)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def test_the_login_is_the_first_message_and_calls_do_not_wait_for_it() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        prx = ServerPrx(connection)
        first = prx.echo_async("a")
        stream = await peer.stream()
        login, call = await stream.message(), await stream.message()
        assert (login.operation, login.calltype) == ((BUILTIN, LOGIN), _message.TWOWAY)
        assert login.extra == {"__token__": "t", "__device_id__": "d1"} and not login.params
        # A peer that does not know the login takes the token from here.
        assert call.operation == (2, 0)
        assert call.extra == login.extra
        stream.answer(login, extra={"__user_id__": "scott"})
        stream.answer(call, params=call.params)
        assert await first == "a"
        second = prx.echo_async("b")
        call = await stream.message()
        assert call.extra == {}
        stream.answer(call, params=call.params)
        assert await second == "b"

    with_peer(test, tce.Options(token="t", device_id="d1"))


def test_a_client_that_only_listens_logs_in_by_itself_and_again_after_a_loss() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        assert (await (await peer.stream()).login()).extra["__token__"] == "one"
        (await peer.stream()).close()
        began = time.monotonic()
        stream = await peer.stream(1)
        assert (await stream.login()).extra["__token__"] == "two"
        assert time.monotonic() - began < 0.9, "only the first login waits for the program"
        await asyncio.sleep(0.1)
        assert stream.is_silent

    with_peer(test, tce.Options(token=tokens("one", "two")))


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_peer_without_the_login_gets_the_token_in_a_call(is_answered: bool) -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        stream = await peer.stream()
        login = await stream.message()
        assert login.operation == (BUILTIN, LOGIN)
        if is_answered:
            stream.answer(login, tce.ErrorCode.INTERFACE_NOTFOUND)
        await asyncio.sleep(0.3)
        prx = ServerPrx(connection)
        first = prx.echo_async("a")
        call = await stream.message()
        assert call.extra == {"__token__": "t"}
        stream.answer(call, params=call.params)
        assert await first == "a"
        prx.echo_async("b").cancel()
        assert (await stream.message()).extra == {}

    limits = tce.ConnectionLimits(connect_time=0.2)
    with_peer(test, tce.Options(token="t", connection=limits))


def test_a_client_without_token_and_resume_says_no_login() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        ServerPrx(connection).echo_async("a").cancel()
        assert (await (await peer.stream()).message()).operation == (2, 0)

    with_peer(test)


def test_a_login_is_refreshed_before_it_expires_and_the_refresh_too() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        stream = await peer.stream()
        await stream.login(expires_in="2")
        began = time.monotonic()
        for token in ("two", "three"):
            refresh = await stream.message()
            assert (refresh.operation, refresh.calltype) == ((BUILTIN, REFRESH), _message.TWOWAY)
            assert refresh.extra == {"__token__": token} and not refresh.params
            assert 1.3 < time.monotonic() - began < 2
            began = time.monotonic()
            stream.answer(refresh, extra={"__expires_in__": "2"} if token == "two" else {})
        await asyncio.sleep(1.2)
        assert stream.is_silent, "the third token does not expire"

    with_peer(test, tce.Options(token=tokens("one", "two", "three", "four")))


def test_a_refresh_that_fails_is_tried_again_and_costs_no_call() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        stream = await peer.stream()
        await stream.login(expires_in="1")
        stream.answer(await stream.message(), tce.ErrorCode.CONNECT_REJECT)
        stream.answer(await stream.message())
        call = ServerPrx(connection).echo_async("a")
        message = await stream.message()
        stream.answer(message, params=message.params)
        assert await call == "a"

    with_peer(test, tce.Options(token=tokens("a", "b")))


def test_a_token_that_comes_after_the_end_of_its_stream_is_not_sent_on_the_next_one() -> None:
    waiting: list[asyncio.Future[str]] = []
    asked: list[int] = []

    async def token() -> str:
        asked.append(len(asked) + 1)
        number = asked[-1]
        if number == 2:
            waiting.append(asyncio.get_running_loop().create_future())
            return await waiting[0]
        return str(number)

    async def test(peer: Peer, connection: tce.Connection) -> None:
        stream = await peer.stream()
        await stream.login(expires_in="1")
        await until(lambda: waiting)
        stream.close()
        stream = await peer.stream(1)
        await stream.login(expires_in="2")
        if not waiting[0].done():
            waiting[0].set_result("late")
        assert (await stream.message()).extra == {"__token__": "4"}
        await asyncio.sleep(1)
        assert stream.is_silent

    with_peer(test, tce.Options(token=token))


def test_a_login_that_does_not_expire_for_ages_is_not_refreshed_at_once() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        stream = await peer.stream()
        await stream.login(expires_in="9" * 18)
        await asyncio.sleep(0.3)
        assert stream.is_silent

    with_peer(test, tce.Options(token=lambda: "t"))


def test_a_text_as_token_is_not_refreshed() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        stream = await peer.stream()
        await stream.login(expires_in="1")
        await asyncio.sleep(1.2)
        assert stream.is_silent

    with_peer(test, tce.Options(token="t"))


def test_a_token_function_that_does_not_end_fails_the_attempt() -> None:
    async def never() -> str:
        await asyncio.sleep(1000)
        return ""

    async def test() -> None:
        limits = tce.ConnectionLimits(connect_time=0.2)
        client = tce.Communicator(tce.Options(token=never, connection=limits))
        error = await failure(client.connect(f"tcp://{LOCAL}:1"))
        assert error.code == tce.ErrorCode.CONNECT_FAILED
        assert "there is no token: TimeoutError" in error.text

    run(test())


@pytest.mark.parametrize("code", [4001, 4005])
def test_after_a_permanent_end_calls_fail_and_the_client_stays_away(code: int) -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        states: list[tuple[str, str]] = []
        connection.on_state(lambda state, reason: states.append((state, reason)))
        prx = ServerPrx(connection)
        call = prx.echo_async("a")
        stream = await peer.stream()
        await stream.login()
        stream.close(tce.ErrorCode.CONNECT_REJECT, "another device", str(code))
        error = await failure(call)
        assert (error.code, error.close_code) == (tce.ErrorCode.CONNECTION_LOST, code)
        assert not error.can_retry and "another device" in str(error)
        assert states == [("disconnected", "another device"), ("closed", "another device")]
        for later in (prx.echo("b"), prx.echo_async("c"), prx.heartbeat_oneway("d")):
            error = await failure(later)
            assert (error.code, error.close_code) == (tce.ErrorCode.CONNECT_REJECT, code)
            assert not error.can_retry and "another device" in error.text
        assert connection.close_code == code
        await asyncio.sleep(0.3)
        assert len(peer.streams) == 1
        await connection.close()
        assert len(states) == 2

    with_peer(test, tce.Options(token="t"))


@pytest.mark.parametrize("code", ["1008", "4002", None])
def test_a_client_whose_login_is_over_comes_back_for_a_call_alone(code: str | None) -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        stream = await peer.stream()
        await stream.login()
        stream.close(tce.ErrorCode.CONNECT_REJECT, "no longer", code)
        await until(lambda: not connection.is_connected)
        assert connection.close_code == (code and int(code))
        await asyncio.sleep(0.3)
        assert len(peer.streams) == 1
        call = asyncio.ensure_future(ServerPrx(connection).echo("a"))
        await (await peer.stream(1)).login()
        call.cancel()

    with_peer(test, tce.Options(token="t"))


def test_other_close_codes_are_told_and_the_client_comes_back() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        stream = await peer.stream()
        call = ServerPrx(connection).echo_async("a")
        await stream.message()
        stream.close(tce.ErrorCode.CONNECT_FAILED, "too slow", "4003")
        error = await failure(call)
        assert error.close_code == tce.CloseCode.SLOW_READER and error.can_retry
        await peer.stream(1)
        await until(lambda: connection.is_connected)
        assert connection.close_code is None

    with_peer(test)


def test_with_a_token_function_an_expired_login_is_made_anew() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        stream = await peer.stream()
        await stream.login()
        stream.close(tce.ErrorCode.CONNECT_REJECT, "expired", "4002")
        assert (await (await peer.stream(1)).login()).extra["__token__"] == "two"

    with_peer(test, tce.Options(token=tokens("one", "two")))


@pytest.mark.parametrize("code", ["1008", "1013", None])
def test_calls_behind_a_login_that_is_refused_fail_with_its_reason(code: str | None) -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        call = ServerPrx(connection).echo_async("a")
        stream = await peer.stream()
        login = await stream.message()
        stream.answer(login, tce.ErrorCode.CONNECT_REJECT, {"__error__": "unknown token"})
        errcode = tce.ErrorCode.CONNECT_REJECT if code == "1008" else tce.ErrorCode.CONNECT_FAILED
        if code is None:
            stream.close()
        else:
            stream.close(errcode, "unknown token", code)
        error = await failure(call)
        assert (error.code, error.text) == (tce.ErrorCode.CONNECT_REJECT, "unknown token")
        assert error.close_code == int(code or tce.CloseCode.TRY_LATER)
        assert error.can_retry == (code != "1008")
        await asyncio.sleep(0.3)
        assert (len(peer.streams) == 1) == (code == "1008")

    with_peer(test, tce.Options(token="t"))


def test_a_peer_that_drains_gets_its_client_back_after_the_pause_that_it_names() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        began = time.monotonic()
        (await peer.stream()).close(tce.ErrorCode.CONNECT_FAILED, "come back in 700 ms", "1012")
        await peer.stream(1)
        assert time.monotonic() - began > 0.6

    with_peer(test)


@pytest.mark.parametrize(("code", "is_final"), [(4001, True), (1012, False)])
def test_the_close_frame_of_a_websocket_says_the_reason(code: int, is_final: bool) -> None:
    from websockets.asyncio.server import ServerConnection, serve

    async def test() -> None:
        connections: list[ServerConnection] = []

        async def end(websocket: ServerConnection) -> None:
            connections.append(websocket)
            await websocket.recv()
            await websocket.close(code, "said why")

        async with serve(end, LOCAL, 0) as server, tce.Communicator() as client:
            port = server.sockets[0].getsockname()[1]
            prx = await ServerPrx.connect(client, f"ws://{LOCAL}:{port}/")
            error = await failure(prx.echo("a"))
            assert error.close_code == code and "said why" in error.text
            assert error.can_retry != is_final
            await asyncio.sleep(0.4)
            assert (len(connections) == 1) == is_final

    run(test())


def test_pushes_that_were_missed_follow_and_each_reaches_its_servant_once() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        terminal = TerminalImpl()
        connection.add_servant(terminal)
        events: list[Any] = []
        connection.on_resumed(events.append)
        stream = await peer.stream()
        login = await stream.login(epoch=EPOCH, offset="0", recovered="0")
        assert login.extra == {"__token__": "t", "__resume__": ""}
        stream.push("1", 1)
        stream.push("2", 2)
        stream.push("without an offset")
        await until(lambda: len(terminal.messages) == 3)
        stream.close()
        stream = await peer.stream(1)
        login = await stream.login(epoch=EPOCH, offset="2", recovered="1")
        assert login.extra["__resume__"] == f"{EPOCH}:2"
        for offset in (2, 3, 4, 5):
            stream.push(str(offset), offset)
        await until(lambda: terminal.messages[-1] == "5")
        assert terminal.messages == ["1", "2", "without an offset", "3", "4", "5"]
        assert events == [False, True] and connection.recovered is True
        stream.close()
        stream = await peer.stream(2)
        login = await stream.login(epoch="b2", offset="7", recovered="0")
        assert login.extra["__resume__"] == f"{EPOCH}:5"
        await until(lambda: events == [False, True, False])
        stream.close()
        stream = await peer.stream(3)
        assert (await stream.login()).extra["__resume__"] == "b2:7"
        # It keeps nothing, so that an old position would tell nothing to the next one.
        await until(lambda: connection.recovered is None)
        stream.close()
        assert (await (await peer.stream(4)).login()).extra["__resume__"] == ""
        assert events == [False, True, False]

    with_peer(test, tce.Options(token="t", resume=True))


def test_a_client_that_has_seen_no_push_resumes_where_it_began() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        stream = await peer.stream()
        login = await stream.login(epoch=EPOCH, offset="3", recovered="0")
        assert login.extra == {"__resume__": ""}
        await asyncio.sleep(0.1)
        stream.close()
        assert (await (await peer.stream(1)).login()).extra["__resume__"] == f"{EPOCH}:3"

    with_peer(test, tce.Options(resume=True))


def test_a_twoway_push_that_was_handled_is_answered() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        terminal = TerminalImpl()
        connection.add_servant(terminal)
        stream = await peer.stream()
        await stream.login(epoch=EPOCH, offset="0", recovered="0")
        codes: list[int] = []
        for _ in range(2):
            stream.push("1", 1, calltype=_message.TWOWAY)
            codes.append((await stream.message()).errcode)
        assert codes == [0, tce.ErrorCode.REMOTEMETHOD_EXCEPTION]
        assert terminal.messages == ["1"]

    with_peer(test, tce.Options(resume=True))


def test_pushes_beyond_the_capacity_come_again_after_a_resume() -> None:
    class Slow(TerminalImpl):
        is_open = asyncio.Event()

        async def onMessage(self, message: str, ctx: tce.Context) -> None:
            await self.is_open.wait()
            self.messages.append(message[:1])

    async def test(peer: Peer, connection: tce.Connection) -> None:
        terminal = Slow()
        connection.add_servant(terminal)
        # A call in flight, so that the client goes on reading.
        waiting = ServerPrx(connection).echo_async("x")
        stream = await peer.stream()
        await stream.login(epoch=EPOCH, offset="0", recovered="0")
        for offset in range(1, 10):
            stream.push(str(offset) + "x" * 300, offset)
        error = await failure(waiting)
        assert "more pushes than are handled" in error.text
        terminal.is_open.set()
        stream = await peer.stream(1)
        login = await stream.message()
        stream.answer(login, extra={"__epoch__": EPOCH, "__offset__": "0", "__recovered__": "1"})
        last = int(login.extra["__resume__"].split(":")[1])
        assert last < 9
        for offset in range(last + 1, 10):
            stream.push(str(offset), offset)
        await until(lambda: len(terminal.messages) == 9)
        assert terminal.messages == [str(offset) for offset in range(1, 10)]

    limits = tce.ConnectionLimits(served_calls=1, send_buffer=2000)
    with_peer(test, tce.Options(resume=True, connection=limits))


def test_deferred_pushes_are_served_in_their_order() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        terminal = TerminalImpl()
        connection.add_servant(terminal)
        waiting = ServerPrx(connection).echo_async("x")
        stream = await peer.stream()
        await stream.login(epoch=EPOCH, offset="0", recovered="0")
        for offset in range(1, 200):
            stream.push(str(offset), offset)
            await asyncio.sleep(0)
        await until(lambda: len(terminal.messages) == 199)
        assert terminal.messages == [str(offset) for offset in range(1, 200)]
        waiting.cancel()

    limits = tce.ConnectionLimits(served_calls=1)
    with_peer(test, tce.Options(resume=True, connection=limits))


def test_a_peer_is_left_without_a_failed_call() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        terminal = TerminalImpl()
        connection.add_servant(terminal)
        states: list[str] = []
        connection.on_state(lambda state, reason: states.append(state))
        prx = ServerPrx(connection)
        slow = prx.echo_async("slow")
        old = await peer.stream()
        await old.login(epoch=EPOCH, offset="0", recovered="0")
        call = await old.message()
        old.push("1", 1)
        began = time.monotonic()
        old.go_away(300)
        await until(lambda: terminal.messages)
        before = prx.echo_async("before")
        message = await old.message()
        old.answer(message, params=message.params)
        assert await before == "before"
        new = await peer.stream(1)
        assert time.monotonic() - began > 0.25
        login = await new.login(epoch=EPOCH, offset="1", recovered="1")
        assert login.extra["__resume__"] == f"{EPOCH}:1"
        after = prx.echo_async("after")
        message = await new.message()
        new.answer(message, params=message.params)
        assert await after == "after"
        # Both may push; a push of a new epoch is not undone by one of the old stream.
        new.push("2", 2)
        await until(lambda: len(terminal.messages) == 2)
        old.push("2", 2)
        assert not old.is_closed
        old.answer(call, params=call.params)
        assert await slow == "slow"
        await until(lambda: old.is_closed)
        assert terminal.messages == ["1", "2"]
        assert states == ["connected"]
        await asyncio.sleep(0.1)
        assert len(peer.streams) == 2 and connection.is_connected

    with_peer(test, tce.Options(token="t", resume=True))


def test_the_old_stream_is_used_until_there_is_another_one() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        prx = ServerPrx(connection)
        call = prx.echo_async("a")
        old = await peer.stream()
        message = await old.message()
        assert peer._server is not None
        peer._server.close()
        old.go_away(0)
        await asyncio.sleep(0.3)
        old.answer(message, params=message.params)
        assert await call == "a"
        call = prx.echo_async("b")
        message = await old.message()
        old.answer(message, params=message.params)
        assert await call == "b"
        assert connection.is_connected

    with_peer(test)


def test_what_ends_on_a_stream_that_was_left_ends_nothing_else() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        prx = ServerPrx(connection)
        slow = prx.echo_async("slow")
        old = await peer.stream()
        await old.login()
        old.go_away(0)
        new = await peer.stream(1)
        await new.login()
        # The new login has replaced the old one.
        old.close(tce.ErrorCode.CONNECT_REJECT, "replaced", "4001")
        error = await failure(slow)
        assert error.code == tce.ErrorCode.CONNECTION_LOST and error.can_retry
        assert connection.is_connected and len(peer.streams) == 2

    with_peer(test, tce.Options(token="t"))


def test_a_shutdown_waits_for_calls_on_a_stream_that_was_left() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        slow = ServerPrx(connection).echo_async("slow")
        old = await peer.stream()
        call = await old.message()
        old.go_away(0)
        await peer.stream(1)
        await until(lambda: connection.in_flight == 1 and not len(connection.calls))
        old.answer(call, params=call.params)
        assert await slow == "slow"

    with_peer(test)


def test_a_servant_that_pushes_back_is_unharmed_by_a_move() -> None:
    """The RETURN of a call leaves by the stream by which the call came."""

    class Waiting(TerminalImpl):
        def __init__(self) -> None:
            super().__init__()
            self.may_end = asyncio.Event()

        async def onMessage(self, message: str, ctx: tce.Context) -> None:
            await self.may_end.wait()

    async def test(peer: Peer, connection: tce.Connection) -> None:
        terminal = Waiting()
        connection.add_servant(terminal)
        old = await peer.stream()
        old.push("x", calltype=_message.TWOWAY)
        await until(lambda: connection.in_flight == 1)
        old.go_away(0)
        await peer.stream(1)
        terminal.may_end.set()
        assert (await old.message()).calltype == _message.RETURN
        await until(lambda: old.is_closed)

    with_peer(test)


def test_numbers_of_a_peer_that_are_none_are_ignored() -> None:
    async def test(peer: Peer, connection: tce.Connection) -> None:
        terminal = TerminalImpl()
        connection.add_servant(terminal)
        stream = await peer.stream()
        login = await stream.message()
        wrong = {"__expires_in__": "soon", "__epoch__": EPOCH, "__offset__": "9" * 30}
        stream.answer(login, extra=wrong)
        stream.call(3, 0, {"__epoch__": EPOCH, "__offset__": "-1"}, b"\0\0\0\x010")
        stream.call(BUILTIN, GO_AWAY, {}, b"\0")
        stream.push("1", 1)
        await until(lambda: terminal.messages == ["0", "1"])
        stream.close(tce.ErrorCode.CONNECT_FAILED, "x", "１０１２")
        assert (await (await peer.stream(1)).login()).extra["__resume__"] == f"{EPOCH}:1"

    with_peer(test, tce.Options(token=lambda: "t", resume=True))
