"""Calls to all members of a topic, over RabbitMQ."""

from __future__ import annotations

import asyncio
import time

import pytest
import tce
from conftest import Broker, run
from gen.test import ServerMulti, ServerPrx
from servants import ServerImpl
from tce import _message
from tce._calls import CallTable
from tce._message import Extra
from tce._multi_call import MAX_BYTES, MAX_REPLIES, MultiCall, _Awaited, _Gathering
from tce._roster import MAX_MEMBERS, Roster

CONFIG = """
common_defs:
  endpoints:
    - {name: commands, host: localhost, port: 5672, type: mq, address: "TOPIC;{create:always,node:{type:topic,durable:true}}"}
    - {name: queue, host: localhost, port: 5672, type: mq, address: "TOPIC.queue;{create:always}"}
member:
  endpoints:
    - {name: commands, af_mode: AF_READ|AF_WRITE}
    - {name: queue, af_mode: AF_READ|AF_WRITE}
client:
  endpoints:
    - {name: commands, af_mode: AF_WRITE}
"""
LONG = 20.0
SHORT = 0.4


class Member(ServerImpl):
    """Answers after its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def datetime(self, ctx: tce.Context) -> str:
        await self.gate.wait()
        return "now"


async def opened(broker: Broker, topic: str, process: str) -> tce.Communicator:
    communicator = tce.Communicator()
    path = broker.config(CONFIG.replace("TOPIC", topic))
    await communicator.open_mq(tce.MqConfig.load(path, process))
    return communicator


async def member(broker: Broker, topic: str, name: str) -> tuple[tce.Communicator, Member]:
    communicator = await opened(broker, topic, "member")
    servant = Member()
    adapter = await communicator.listen("mq:commands", servant)
    await adapter.join(name)  # type: ignore[union-attr]
    return communicator, servant


async def settled(every: ServerMulti, names: list[str]) -> None:
    """Waits until a call of all members ends by itself, so that they know each other."""
    deadline = time.monotonic() + LONG
    while True:
        asked = time.monotonic()
        replies = await every.echo("x", timeout=SHORT).collect()
        if sorted(replies.values) == names and time.monotonic() - asked < SHORT:
            return
        assert time.monotonic() < deadline, replies


def test_the_members_that_are_meant_reply(broker: Broker) -> None:
    async def test() -> None:
        topic = "multi.meant"
        members = {name: await member(broker, topic, name) for name in "abc"}
        client = await opened(broker, topic, "client")
        every = (await ServerMulti.connect(client, "mq:commands")).with_timeout(LONG)
        await settled(every, ["a", "b", "c"])

        async def echo(proxy: ServerMulti) -> tuple[list[str], list[str]]:
            replies = await proxy.echo("x").collect()
            return sorted(replies.values), replies.missing

        assert await echo(every.only(["b"])) == (["b"], [])
        assert await echo(every.except_(["b"])) == (["a", "c"], [])
        assert await echo(every.only(["a", "b"]).except_(["a"])) == (["b"], [])
        assert await echo(every.only([])) == ([], [])
        hasty = every.with_timeout(SHORT)
        assert await echo(hasty.only(["a", "nobody"])) == (["a"], ["nobody"])
        assert await echo(hasty.only(["nobody"])) == ([], ["nobody"])
        assert await echo(hasty.expecting(["a", "later"])) == (["a", "b", "c"], ["later"])

        failed = await every.only(["a"]).echo("fault").collect()
        assert (failed.values, failed.missing) == ({}, [])
        assert (failed.failures["a"].code, failed.failures["a"].text) == (4711, "säid no")
        assert failed.failures["a"].peer == "a at mq:commands"

        members["a"][1].gate.set()
        call = hasty.datetime()
        late = await call.collect()
        assert (late.values, late.missing) == ({"a": "now"}, ["b", "c"])
        assert call.done() and call.replies.values == {"a": "now"}

        taken = [reply async for reply in every.echo("y")]
        assert sorted((reply.member, reply.result) for reply in taken) == [
            ("a", "y"), ("b", "y"), ("c", "y"),
        ]  # fmt: skip
        seen = members["a"][1].extras
        await every.only(["a", "b"]).except_(["c"]).echo("x", extra={"name": "scott"}).collect()
        assert seen[-1]["__to__"] == "a,b" and seen[-1]["__not_to__"] == "c"
        assert seen[-1]["name"] == "scott"
        assert {"__deadline__", "__linger_time__", "__mq_return__"} <= seen[-1].keys()
        # Any other call is as before.
        prx = await ServerPrx.connect(client, "mq:commands")
        assert await prx.echo("z", timeout=LONG) == "z"

        # One that has left is not waited for.
        await members["a"][0].shutdown(1)
        await members["b"][0].shutdown(1)
        await settled(every, ["c"])
        await members["c"][0].shutdown(1)
        await client.shutdown(1)

    run(test())


def test_a_topic_without_readers_fails_at_once_and_a_silent_one_at_the_deadline(
    broker: Broker,
) -> None:
    async def test() -> None:
        client = await opened(broker, "multi.silent", "client")
        every = (await ServerMulti.connect(client, "mq:commands")).with_timeout(LONG)
        with pytest.raises(tce.RpcError) as failed:
            await asyncio.wait_for(every.echo("x").collect(), 5)
        assert failed.value.code == tce.ErrorCode.SENDFAILED
        assert failed.value.text == "no program reads the topic `multi.silent` at the broker"
        silent, _ = await member(broker, "multi.silent", "silent")
        with pytest.raises(tce.RpcError) as failed:
            await every.datetime(timeout=SHORT).collect()
        assert (failed.value.code, failed.value.text) == (
            tce.ErrorCode.TIMEOUT, "no answer within 0.4s",
        )  # fmt: skip
        assert (await every.only(["silent"]).datetime(timeout=SHORT).collect()).missing == ["silent"]
        assert len(every.connection.calls) == 0
        call = every.datetime()
        assert len(every.connection.calls) == 1
        call.cancel()
        assert len(every.connection.calls) == 0
        pending = every.datetime()
        await client.shutdown(0)
        with pytest.raises(tce.RpcError) as failed:
            await pending.collect()
        assert failed.value.code == tce.ErrorCode.CONNECTION_LOST
        await silent.shutdown(1)

    run(test())


def test_what_is_no_topic_and_wrong_ids_are_refused(broker: Broker) -> None:
    async def test() -> None:
        one = await opened(broker, "multi.wrong", "member")
        with pytest.raises(tce.RpcError, match="needs a topic"):
            await ServerMulti.connect(one, "mq:queue")
        every = await ServerMulti.connect(one, "mq:commands")
        for wrong in ["a,b", "", "a b", "é", "x" * 129]:
            with pytest.raises(tce.RpcError, match="can't be the id of a member"):
                every.only([wrong]).echo("x")
        with pytest.raises(TypeError):
            every.only("abc")
        with pytest.raises(tce.RpcError, match="the ids of members and the extra have"):
            every.only([f"member-number-{number}" for number in range(5000)]).echo("x")
        adapter = await one.listen("mq:commands", ServerImpl())
        queue = await one.listen("mq:queue", ServerImpl())
        await adapter.join("a")  # type: ignore[union-attr]
        for join, text in [
            (adapter.join("b"), "a member of the topic `commands` already"),  # type: ignore[union-attr]
            (adapter.join("b,c"), "can't be the id"),  # type: ignore[union-attr]
            (queue.join("b"), "is a queue"),  # type: ignore[union-attr]
        ]:
            with pytest.raises(tce.RpcError, match=text):
                await join
        await one.shutdown(1)

    run(test())


def test_a_roster_is_complete_one_period_after_its_own_announcement() -> None:
    async def test() -> None:
        roster = Roster("a")
        roster.hello("b", 0.0)
        assert roster.complete(2.0) is None
        roster.hello("a", 2.0)
        assert roster.complete(3.0) is None
        assert roster.complete(4.0) == "a,b"
        # One that was silent for 6 s is forgotten, one that leaves at once.
        roster.hello("c", 5.0)
        roster.hello("a", 5.0)
        assert roster.complete(6.0) == "a,c"
        roster.bye("c")
        assert roster.complete(6.0) == "a"
        # Its process was stopped.
        assert roster.complete(60.0) is None
        roster.hello("a", 60.0)
        assert roster.complete(61.0) is None
        assert roster.complete(62.0) == "a"
        for number in range(MAX_MEMBERS + 10):
            roster.hello(f"member-{number}", 62.0)
        assert roster.complete(63.0) is None

    run(test())


def extra(**pairs: str) -> Extra:
    pairs = {f"__{key}__": value for key, value in pairs.items()}
    return Extra(len(pairs), _message.encode_extra(pairs))


def test_replies_are_counted_once_and_bounded() -> None:
    async def test() -> None:
        table = CallTable(asyncio.get_running_loop(), "mq:x", tce.Limits())
        void: tce._servant.Operation[None] = tce._connection.PING

        def call() -> tuple[_Gathering[None], MultiCall[None]]:
            gathering = _Gathering(table, void, 20.0, "mq:x", _Awaited(None, frozenset({"d"})))
            gathering.sent_as(table.next_sequence())
            return gathering, MultiCall(gathering)

        gathering, multi = call()
        gathering.received(0, extra(replier="a", roster="a,b,d"), b"", 0, 0)
        gathering.received(0, extra(replier="a", roster="a,b,c,d"), b"", 0, 0)
        assert sorted(multi.replies.values) == ["a"] and multi.missing == ["b", "c"]
        gathering.received(0, EMPTY, b"", 0, 0)
        gathering.received(0, extra(replier="b"), b"", 0, 0)
        gathering.received(0, extra(replier="c"), b"", 0, 0)
        assert sorted((await multi.collect()).values) == ["?1", "a", "b", "c"]
        assert len(table) == 0

        gathering, multi = call()
        for _ in range(MAX_REPLIES + 5):
            gathering.received(0, EMPTY, b"", 0, 0)
        with pytest.raises(tce.RpcError, match="more than 10000 replies"):
            await multi.collect()
        assert len(multi.replies.values) == MAX_REPLIES
        gathering, multi = call()
        gathering.received(0, EMPTY, b"", 0, MAX_BYTES)
        gathering.received(0, EMPTY, b"", 0, 1)
        with pytest.raises(tce.RpcError, match="64 MiB"):
            await multi.collect()

    run(test())


EMPTY = _message.EMPTY


def test_a_member_that_is_stopped_is_missing_for_6_s_and_then_forgotten(broker: Broker) -> None:
    async def test() -> None:
        topic = "multi.forgotten"
        stays, _ = await member(broker, topic, "stays")
        ends, _ = await member(broker, topic, "ends")
        client = await opened(broker, topic, "client")
        every = await ServerMulti.connect(client, "mq:commands")
        await settled(every, ["ends", "stays"])
        # As a killed process: it announces nothing any more, and does not say so.
        queues = ends.queues
        queues._members.clear()
        for announcer in queues._announcers:
            announcer.cancel()
        await queues.close()
        replies = await every.echo("x", timeout=SHORT).collect()
        assert (list(replies.values), replies.missing) == (["stays"], ["ends"])
        await settled(every, ["stays"])
        await stays.shutdown(1)
        await client.shutdown(1)

    run(test())
