"""Calls over RabbitMQ."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from typing import Any

import aio_pika
import pytest
import tce
from conftest import Broker, run, until
from gen.test import ITerminal, ITerminalPrx, ServerPrx
from servants import ServerImpl, TerminalImpl
from tce._queues import MessageQueues

CONFIG = """
common_defs:
  endpoints:
    - {name: calls, host: localhost, port: 5672, type: qpid, address: "QUEUE.calls;{create:always,node:{type:queue,durable:true}}"}
    - {name: returns, host: localhost, port: 5672, type: qpid, address: "QUEUE.returns;{create:always,node:{type:queue}}"}
    - {name: news, host: localhost, port: 5672, type: qpid, address: "QUEUE.news;{create:always,node:{type:topic}}"}
server:
  endpoints:
    - {name: calls, af_mode: AF_READ}
    - {name: returns, af_mode: AF_WRITE}
    - {name: news, af_mode: AF_WRITE}
client:
  endpoints:
    - {name: calls, af_mode: AF_WRITE}
    - {name: news, af_mode: AF_READ}
paired:
  endpoint_pairs:
    - {call: calls, return: returns}
"""


async def opened(broker: Broker, queue: str, process: str) -> tce.Communicator:
    communicator = tce.Communicator()
    path = broker.config(CONFIG.replace("QUEUE", queue))
    await communicator.open_mq(tce.MqConfig.load(path, process))
    return communicator


@pytest.mark.parametrize("process", ["client", "paired"])
def test_calls_and_calls_back(broker: Broker, process: str) -> None:
    async def test() -> None:
        server = await opened(broker, f"both.{process}", "server")
        client = await opened(broker, f"both.{process}", process)
        servant = ServerImpl()
        await server.listen("mq:calls", servant)
        prx = await ServerPrx.connect(client, "mq:calls")
        assert await prx.echo("hellö", extra={"name": "scott.bo"}) == "hellö"
        assert servant.extras[-1]["name"] == "scott.bo"
        assert await prx.datetime() == "today"
        results = await asyncio.gather(*(prx.echo(str(n)) for n in range(200)))
        assert results == [str(n) for n in range(200)]
        await prx.heartbeat_oneway("hello world!")
        await until(lambda: servant.heartbeats)
        terminal = TerminalImpl()
        prx.connection.add_servant(terminal)
        await prx.bidirection()
        await until(lambda: terminal.messages)
        with pytest.raises(tce.RpcError) as failed:
            await prx.timeout(5, timeout=0.2)
        assert failed.value.code == tce.ErrorCode.TIMEOUT
        with pytest.raises(tce.RpcError) as failed:
            await prx.echo("fault")
        assert (failed.value.code, failed.value.text) == (4711, "säid no")
        await client.shutdown(1)
        await server.shutdown(1)

    run(test())


class NestingServer(ServerImpl):
    """Calls the caller back."""

    async def heartbeat(self, hello: str, ctx: tce.Context) -> None:
        await ITerminalPrx.to_caller(ctx).onMessage_oneway(hello)

    async def echo(self, text: str, ctx: tce.Context) -> str:
        await ITerminalPrx.to_caller(ctx).onMessage(text)
        return text


def test_the_caller_of_a_oneway_call_is_called_back(broker: Broker) -> None:
    async def test() -> None:
        server = await opened(broker, "oneway", "server")
        client = await opened(broker, "oneway", "client")
        await server.listen("mq:calls", NestingServer())
        prx = await ServerPrx.connect(client, "mq:calls")
        terminal = TerminalImpl()
        prx.connection.add_servant(terminal)
        await prx.heartbeat_oneway("pushed")
        await until(lambda: terminal.messages == ["pushed"])
        await client.shutdown(1)
        await server.shutdown(1)

    run(test())


def test_a_call_whose_return_no_queue_receives_fails_at_once(broker: Broker) -> None:
    """A program with queues of its own for RETURNs has none for those of calls back."""

    class Nested(ITerminal):
        failures: list[tce.RpcError] = []

        async def onMessage(self, message: str, ctx: tce.Context) -> None:
            try:
                await ServerPrx.to_caller(ctx).datetime(timeout=30)
            except tce.RpcError as error:
                self.failures.append(error)

    async def test() -> None:
        server = await opened(broker, "nested", "server")
        client = await opened(broker, "nested", "paired")
        await server.listen("mq:calls", NestingServer())
        prx = await ServerPrx.connect(client, "mq:calls")
        nested = Nested()
        prx.connection.add_servant(nested)
        assert await prx.echo("there and back", timeout=10) == "there and back"
        assert [failure.code for failure in nested.failures] == [tce.ErrorCode.SENDFAILED]
        assert "name one in `endpoint_pairs`" in nested.failures[0].text
        await client.shutdown(1)
        await server.shutdown(1)

    run(test())


def test_a_return_that_does_not_decode_fails_its_call_at_once(broker: Broker) -> None:
    async def test() -> None:
        client = await opened(broker, "undecodable", "paired")
        prx = await ServerPrx.connect(client, "mq:calls")
        async with await aio_pika.connect(port=broker.port) as server:
            channel = await server.channel()
            calls = await channel.get_queue("undecodable.calls")
            pending = prx.echo_async("x")
            await until(lambda: prx.connection.calls)
            async with calls.iterator(no_ack=True) as arrived:
                call = (await anext(arrived)).body
            # A RETURN whose extra announces more pairs than the message has bytes.
            answer = call[:5] + b"\x02" + call[6:17] + b"\0\0\2\0"
            message = aio_pika.Message(answer)
            await channel.default_exchange.publish(message, "undecodable.returns")
            with pytest.raises(tce.RpcError) as failed:
                await asyncio.wait_for(pending, 10)
        assert (failed.value.code, failed.value.side) == (
            tce.ErrorCode.DATADIRTY,
            tce.Side.LOCAL,
        )
        await client.shutdown(1)

    run(test())


def test_messages_of_an_endpoint_with_batch_are_sent_as_one(broker: Broker) -> None:
    async def test() -> None:
        server = await opened(broker, "batch", "server")
        servant = ServerImpl()
        await server.listen("mq:calls", servant)
        client = tce.Communicator()
        text = CONFIG.replace("QUEUE", "batch").replace("{name: calls, host", "{name: calls, batch: 1, host")
        await client.open_mq(tce.MqConfig.load(broker.config(text), "client"))
        prx = await ServerPrx.connect(client, "mq:calls")
        messages = 0
        receive = MessageQueues._received

        async def counting(self: MessageQueues, *arguments: Any) -> None:
            nonlocal messages
            messages += self is server.queues
            await receive(self, *arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MessageQueues, "_received", counting)
            results = await asyncio.gather(*(prx.echo(str(n)) for n in range(500)))
        assert results == [str(n) for n in range(500)]
        assert 1 <= messages < 100
        await asyncio.gather(*(prx.heartbeat_oneway(str(n)) for n in range(100)))
        await until(lambda: len(servant.heartbeats) == 100)
        assert servant.heartbeats == [str(n) for n in range(100)]
        await client.shutdown(1)
        await server.shutdown(1)

    run(test())


def test_a_topic_reaches_every_reader(broker: Broker) -> None:
    async def test() -> None:
        server = await opened(broker, "topic", "server")
        terminals = [TerminalImpl(), TerminalImpl()]
        clients = [await opened(broker, "topic", "client") for _ in terminals]
        for client, terminal in zip(clients, terminals):
            await client.listen("mq:news", terminal)
        prx = await ITerminalPrx.connect(server, "mq:news")
        await prx.onMessage_oneway("to all")
        await until(lambda: all(terminal.messages == ["to all"] for terminal in terminals))
        for communicator in (*clients, server):
            await communicator.shutdown(1)

    run(test())


def test_a_message_whose_reader_dies_is_delivered_again_and_marked(broker: Broker) -> None:
    class Dying(ITerminal):
        async def onMessage(self, message: str, ctx: tce.Context) -> None:
            await asyncio.sleep(60)

    class Noting(ITerminal):
        def __init__(self) -> None:
            self.marks: list[bool] = []

        async def onMessage(self, message: str, ctx: tce.Context) -> None:
            self.marks.append(ctx.is_redelivered)

    async def test() -> None:
        client = await opened(broker, "again", "client")
        first = await opened(broker, "again", "server")
        await first.listen("mq:calls", Dying())
        prx = await ITerminalPrx.connect(client, "mq:calls")
        await prx.onMessage_oneway("once")
        await until(lambda: first.queues.served)
        await first.shutdown(0)
        second = await opened(broker, "again", "server")
        noting = Noting()
        await second.listen("mq:calls", noting)
        await until(lambda: noting.marks)
        assert noting.marks == [True]
        await second.shutdown(1)
        await client.shutdown(1)

    run(test())


def test_mistakes_are_named(broker: Broker) -> None:
    async def test() -> None:
        client = await opened(broker, "mistakes", "client")
        with pytest.raises(tce.RpcError, match="there is no endpoint `cals`"):
            await client.connect("mq:cals")
        with pytest.raises(tce.RpcError, match="give it `af_mode: AF_WRITE`"):
            await client.connect("mq:news")
        with pytest.raises(tce.RpcError, match="call open_mq first"):
            await tce.Communicator().connect("mq:calls")
        await client.shutdown(1)

    run(test())


@pytest.fixture
def mortal() -> Iterator[Broker]:
    """A node that the test may kill."""
    node = Broker()
    yield node
    node.kill()
    shutil.rmtree(node.home, ignore_errors=True)


def test_a_broker_that_is_killed_comes_back_and_calls_go_on(mortal: Broker) -> None:
    async def test() -> None:
        server = await opened(mortal, "killed", "server")
        client = await opened(mortal, "killed", "client")
        await server.listen("mq:calls", ServerImpl())
        prx = await ServerPrx.connect(client, "mq:calls")
        assert await prx.echo("before") == "before"
        waiting = prx.timeout_async(30, timeout=30)
        await until(lambda: server.queues.served)
        await asyncio.to_thread(mortal.kill)
        await until(lambda: not prx.connection.is_connected)
        began = asyncio.get_running_loop().time()
        with pytest.raises(tce.RpcError) as failed:
            await prx.echo("meanwhile", timeout=20)
        assert failed.value.code == tce.ErrorCode.SENDFAILED and failed.value.can_retry
        assert asyncio.get_running_loop().time() - began < 1
        waiting.cancel()
        await asyncio.to_thread(mortal.start)
        await until(lambda: prx.connection.is_connected, 30)

        async def answers() -> bool:
            try:
                return await prx.echo("after", timeout=1) == "after"
            except tce.RpcError:
                return False

        deadline = began + 40
        while not await answers():
            assert asyncio.get_running_loop().time() < deadline
        await client.shutdown(0)
        await server.shutdown(0)

    run(test(), 120)


def test_an_alarm_of_the_broker_fails_calls_at_once_and_is_named(mortal: Broker) -> None:
    async def test() -> None:
        server = await opened(mortal, "alarm", "server")
        client = await opened(mortal, "alarm", "client")
        servant = ServerImpl()
        await server.listen("mq:calls", servant)
        prx = await ServerPrx.connect(client, "mq:calls")
        assert await prx.echo("before") == "before"
        await asyncio.to_thread(mortal.set_alarm, True)
        # No call has to find out.
        await until(lambda: not prx.connection.is_connected)
        began = asyncio.get_running_loop().time()
        for call in (prx.echo("meanwhile"), prx.heartbeat_oneway("meanwhile")):
            with pytest.raises(tce.RpcError, match="memory or disk alarm") as failed:
                await call
            assert failed.value.code == tce.ErrorCode.SENDFAILED
            assert failed.value.operation.startswith("test::Server::")
        assert asyncio.get_running_loop().time() - began < 1
        await asyncio.to_thread(mortal.set_alarm, False)
        await until(lambda: prx.connection.is_connected)
        assert await prx.echo("after") == "after"
        await prx.heartbeat_oneway("after")
        await until(lambda: servant.heartbeats == ["after"])
        await client.shutdown(1)
        await server.shutdown(1)

    run(test(), 120)


def test_a_return_waits_for_the_end_of_an_alarm(mortal: Broker) -> None:
    async def test() -> None:
        has_alarm = asyncio.Event()

        class Waiting(ServerImpl):
            async def timeout(self, secs: int, ctx: tce.Context) -> None:
                await has_alarm.wait()

        server = await opened(mortal, "late", "server")
        client = await opened(mortal, "late", "client")
        await server.listen("mq:calls", Waiting())
        prx = await ServerPrx.connect(client, "mq:calls")
        slow = prx.timeout_async(0, timeout=60)
        await until(lambda: server.queues.served)
        await asyncio.to_thread(mortal.set_alarm, True)
        await until(lambda: not prx.connection.is_connected)
        # Also the server has learnt of it by now: both send messages to find out.
        await asyncio.sleep(1)
        has_alarm.set()
        await until(lambda: server.queues.returning)
        await asyncio.sleep(0.2)
        assert server.queues.returning and not slow.done()
        await asyncio.to_thread(mortal.set_alarm, False)
        await slow
        await client.shutdown(1)
        await server.shutdown(1)

    run(test(), 120)


def test_a_oneway_call_to_a_durable_queue_waits_for_the_broker(mortal: Broker) -> None:
    async def test() -> None:
        client = await opened(mortal, "durable", "client")
        prx = await ServerPrx.connect(client, "mq:calls")
        await asyncio.to_thread(mortal.kill)
        await until(lambda: not prx.connection.is_connected)
        with pytest.raises(tce.RpcError, match="can't be reached, within 0.3s") as failed:
            await prx.heartbeat_oneway("lost", timeout=0.3)
        assert failed.value.code == tce.ErrorCode.SENDFAILED
        given_up = [prx.heartbeat_oneway("lost", timeout=0.2) for _ in range(100)]
        errors = await asyncio.gather(*given_up, return_exceptions=True)
        assert all(isinstance(error, tce.RpcError) for error in errors)
        publishers = client.queues._publishers.values()
        assert not any(publisher._waiters for publisher in publishers)
        sent = asyncio.create_task(prx.heartbeat_oneway("kept", timeout=90))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(mortal.start)
        await sent
        server = await opened(mortal, "durable", "server")
        servant = ServerImpl()
        await server.listen("mq:calls", servant)
        await until(lambda: servant.heartbeats)
        assert servant.heartbeats == ["kept"]
        await client.shutdown(1)
        await server.shutdown(1)

    run(test(), 150)


def test_a_oneway_call_expires_in_its_queue_with_a_linger_time(broker: Broker) -> None:
    async def test() -> None:
        client = await opened(broker, "linger", "client")
        prx = await ServerPrx.connect(client, "mq:calls")
        await prx.with_linger(0.2).heartbeat_oneway("too late")
        await prx.with_linger(60).heartbeat_oneway("in time")
        await prx.heartbeat_oneway("without")
        await asyncio.sleep(0.5)
        server = await opened(broker, "linger", "server")
        servant = ServerImpl()
        await server.listen("mq:calls", servant)
        await until(lambda: len(servant.heartbeats) == 2)
        await asyncio.sleep(0.2)
        assert servant.heartbeats == ["in time", "without"]
        await client.shutdown(1)
        await server.shutdown(1)

    run(test())


def test_a_broker_that_is_away_is_named() -> None:
    async def test() -> None:
        text = CONFIG.replace("QUEUE", "x").replace("port: 5672", "port: 1")
        config = tce.MqConfig.parse(text, "config.yml", "server")
        with pytest.raises(tce.RpcError, match="the broker at localhost:1"):
            await tce.Communicator().open_mq(config)

    run(test())


def test_a_call_to_a_queue_that_does_not_exist_fails_at_once(broker: Broker) -> None:
    async def test() -> None:
        client = await opened(broker, "vanished", "client")
        prx = await ServerPrx.connect(client, "mq:calls")
        async with await aio_pika.connect(port=broker.port) as connection:
            channel = await connection.channel()
            await channel.queue_delete("vanished.calls")
            with pytest.raises(tce.RpcError) as failed:
                await asyncio.wait_for(prx.echo("x", timeout=30), 10)
        assert failed.value.code == tce.ErrorCode.SENDFAILED
        assert failed.value.text == "there is no queue `vanished.calls` at the broker"
        await client.shutdown(1)

    run(test())
