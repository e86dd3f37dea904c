"""Calls over message queues.

A CALL leaves by one queue and its RETURN arrives by another, which the CALL names.
So all endpoints share one table of pending calls, whichever of them a RETURN
arrives by. A message is acknowledged when its servants are done.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import Any

from aio_pika.abc import AbstractIncomingMessage

from . import _message
from ._address import Address
from ._broker import (
    BATCH,
    DEAD,
    DELIVERIES,
    DELIVERY_COUNT,
    ENTRY,
    FAILURES,
    Consumer,
    Publisher,
    Unpublished,
)
from ._calls import CallTable, Collector, Pending
from ._connection import BYE, HELLO, Connection, Context, Pool, log
from ._errors import DecodeError, ErrorCode, MarshalError, RpcError
from ._frame import HEADER_SIZE as FRAME_HEADER_SIZE
from ._mq_config import MqConfig, MqEndpoint
from ._options import Limits, Options
from ._roster import (
    ANNOUNCE_PERIOD,
    FORGET_TIME,
    MAX_LATER,
    Roster,
    is_member_id,
    wrong_member_id,
)
from ._servant import Operation, Registry, Servant
from ._stream import unix_deadline
from ._values import STRING, Reader

REPLY_PREFIX = "tce.reply."
ANNOUNCEMENTS = (_message.HELLO, _message.BYE)
NEWCOMER_PAUSE = 0.1
"""Seconds after an announcement before the next one may follow."""
LEAVE_TIME = 1.0
"""Seconds for telling that a member leaves."""
NO_REPLY_QUEUE = "no queue receives the RETURN; call oneway, or name one in `endpoint_pairs`"
MAX_CACHED = 4096
"""Connections to callers that are kept, by the names of their queues."""


def entries(body: bytes) -> list[tuple[int, bytes]] | None:
    """The messages of a batch and when they expire; `None` if the body is not a batch."""
    found: list[tuple[int, bytes]] = []
    position = 0
    while position < len(body):
        if len(body) - position < ENTRY.size:
            return None
        expires_at, length = ENTRY.unpack_from(body, position)
        position += ENTRY.size
        if length == 0 or length > len(body) - position:
            return None
        found.append((expires_at, body[position : position + length]))
        position += length
    return found or None


class _Delivery:
    """A message of a queue, acknowledged when all calls in it are done."""

    def __init__(
        self, queues: MessageQueues, message: AbstractIncomingMessage, *, acks: bool
    ) -> None:
        self._queues = queues
        self._message = message
        self._acks = acks
        self._left = 1

    def begin(self) -> None:
        self._left += 1

    def finish(self) -> None:
        self._left -= 1
        if self._left == 0 and self._acks:
            self._queues.spawn(self._acknowledge())

    async def _acknowledge(self) -> None:
        try:
            await self._message.ack()
        except FAILURES as error:
            log.debug("a message is delivered again: %s", error)


class _QueueReply:
    """Sends the RETURN of a call that came by a queue."""

    def __init__(
        self, connection: QueueConnection, delivery: _Delivery, member: Roster | None
    ) -> None:
        self._connection = connection
        self._delivery = delivery
        self._member = member
        """This program as a member of the topic, if the call came by one."""

    def send_return(
        self, call: Context, errcode: int, extra: tuple[int, bytes], params: bytes | bytearray
    ) -> bool:
        ifidx, opidx, call_id = call.indices
        header = (_message.RETURN, ifidx, opidx, errcode, call_id)
        limit = self._connection.options.limits.max_frame - FRAME_HEADER_SIZE
        if self._member is not None:
            extra = self._with_replier(self._member, extra, limit - len(params))
        body = encode(call.sequence, header, extra, params)
        if len(body) > limit:
            return False
        left = call.time_left
        if left is None:
            left = self._connection.options.timeout
        self._connection.send_return(body, left)
        if self._member is not None:
            self._send_roster_later(self._member, call, left)
        return True

    def _send_roster_later(self, member: Roster, call: Context, left: float) -> None:
        """Sends the roster that a RETURN lacks, as soon as it is complete, in another RETURN of
        the same CALL: so the caller learns whom to wait for, and when it has all replies."""
        loop = self._connection.calls.loop
        complete_from = member.complete_from(loop.time())
        if complete_from is None or member.later >= MAX_LATER:
            return
        wait = complete_from - loop.time()
        if wait < left:
            ifidx, opidx, call_id = call.indices
            header = (_message.RETURN, ifidx, opidx, 0, call_id)
            self._connection.queues.spawn(self._send_roster(member, call.sequence, header, wait, left))

    async def _send_roster(
        self,
        member: Roster,
        sequence: int,
        header: tuple[int, int, int, int, int],
        wait: float,
        left: float,
    ) -> None:
        member.later += 1
        try:
            await asyncio.sleep(wait)
        finally:
            member.later -= 1
        roster = member.complete(self._connection.calls.loop.time())
        if roster is not None:
            pairs = {_message.REPLIER: member.id, _message.ROSTER: roster}
            extra = (len(pairs), _message.encode_extra(pairs))
            self._connection.send_return(encode(sequence, header, extra, b""), left - wait)

    def _with_replier(
        self, member: Roster, extra: tuple[int, bytes], limit: int
    ) -> tuple[int, bytes]:
        """Adds who sends a RETURN, and the members that it knows; without these where peers
        might not accept so much extra."""
        count, pairs = extra
        replier = {_message.REPLIER: member.id}
        roster = member.complete(self._connection.calls.loop.time())
        if roster is not None:
            added = _message.encode_extra({**replier, _message.ROSTER: roster})
            size = len(pairs) + len(added) + _message.COUNT_SIZE
            if size <= min(Limits().max_extra_bytes, limit - _message.HEADER_SIZE):
                return count + 2, pairs + added
        return count + 1, pairs + _message.encode_extra(replier)

    def finished(self, call: Context) -> None:
        self._connection.queues.served -= 1
        self._delivery.finish()

    async def capacity(self) -> None:
        await self._connection.capacity()


def encode(
    sequence: int,
    header: tuple[int, int, int, int, int],
    extra: tuple[int, bytes],
    params: bytes | bytearray,
) -> bytes:
    """A message with calltype, ifidx, opidx, errcode and call_id."""
    calltype, ifidx, opidx, errcode, call_id = header
    count, pairs = extra
    start = _message.HEADER_AND_COUNT.pack(
        _message.RPC, sequence, calltype, ifidx, opidx, errcode, 0, call_id, count
    )
    return start + pairs + params


class QueueConnection(Connection):
    """Calls by an endpoint, or to the queue that a caller names."""

    def __init__(
        self,
        queues: MessageQueues,
        peer: str,
        registry: Registry,
        publisher: Publisher | None,
        endpoint: MqEndpoint | None,
        queue: str,
        reply_to: str | None,
    ) -> None:
        super().__init__(queues.options, peer, queues.calls, registry, queues.pool)
        self.queues = queues
        self._publisher = publisher
        self._endpoint = endpoint
        self._queue = queue
        self._reply_to = reply_to

    @property
    def is_connected(self) -> bool:
        return self._publisher is not None and self._publisher.is_up

    async def close(self) -> None:
        """Does nothing: the queues belong to the communicator."""

    async def capacity(self) -> None:
        """Waits until a message may be published, or the broker is away."""
        publisher = self._publisher
        while publisher is not None and publisher.is_up and publisher.is_full:
            await publisher.changed()

    @property
    def is_topic(self) -> bool:
        """Whether each program behind its endpoint gets each call."""
        return self._endpoint is not None and self._endpoint.address.is_topic

    def send_multi_call(
        self, call: Collector, pairs: Mapping[str, str], params: bytearray
    ) -> None:
        """For the runtime: sends a call to all members of a topic."""
        publisher = self._publisher
        if publisher is None or not publisher.is_up:
            text = "there is no broker" if publisher is None else publisher.unavailable()
            return call.fail(ErrorCode.SENDFAILED, text)
        if not self._can_send():
            return call.fail(ErrorCode.SENDFAILED, "too many calls wait")
        if self._reply_to is None:
            return call.fail(ErrorCode.SENDFAILED, NO_REPLY_QUEUE)
        sequence = self.calls.next_sequence()
        left = call.deadline - self.calls.loop.time()
        pairs = {
            **pairs,
            _message.LINGER_TIME: str(int(time.time() + left) + 1),
            _message.DEADLINE: unix_deadline(self.calls.loop, call.deadline),
            _message.MQ_RETURN: self._reply_to,
        }
        try:
            body = self._encode(call.operation, sequence, _message.TWOWAY, pairs, params)
        except (RpcError, MarshalError) as error:
            text = error.text if isinstance(error, RpcError) else str(error)
            return call.fail(ErrorCode.SENDFAILED, text)
        call.sent_as(sequence)
        self.queues.spawn(self._publish_multi_call(call, body))
        return None

    async def _publish_multi_call(self, call: Collector, body: bytes) -> None:
        assert self._publisher is not None
        left = call.deadline - self.calls.loop.time()
        try:
            await self._publisher.publish(
                body, self._endpoint, self._queue, expires_in=left, needs_reader=True
            )
        except Unpublished as error:
            call.fail(error.code, error.text)

    def to_queue(self, queue: str) -> QueueConnection:
        """A connection to another queue at the broker of this one, by its name."""
        return QueueConnection(
            self.queues, f"mq:{queue}", self.registry, self._publisher, None, queue, self._reply_to
        )

    def _can_send(self) -> bool:
        publisher = self._publisher
        return (
            publisher is not None
            and publisher.is_up
            and not publisher.is_full
            and len(self.calls) < self.options.connection.calls_in_flight
        )

    async def _sendable(self) -> None:
        publisher = self._publisher
        if publisher is None:
            raise RpcError(ErrorCode.SENDFAILED, "the caller has named no queue for calls back")
        if not publisher.is_up:
            raise RpcError(ErrorCode.SENDFAILED, publisher.unavailable())
        if publisher.is_full:
            await publisher.changed()
        else:
            await asyncio.sleep(0.01)

    def _encode(
        self,
        operation: Operation[Any],
        sequence: int,
        calltype: int,
        pairs: Mapping[str, str],
        params: bytearray,
    ) -> bytes:
        extra = (len(pairs), _message.encode_extra(pairs))
        body = encode(
            sequence, (calltype, operation.ifidx, operation.opidx, 0, 0), extra, params
        )
        limit = self.options.limits.max_frame
        if len(body) + FRAME_HEADER_SIZE > limit:
            text = f"the message has {len(body)} bytes, more than the limit of {limit}"
            error = RpcError(ErrorCode.SENDFAILED, text)
            raise error.of_call(operation.name, self.peer)
        return body

    def _send(
        self, call: Pending[Any], has_timeout: bool, pairs: Mapping[str, str], params: bytearray
    ) -> None:
        if self._reply_to is None:
            return call.fail(ErrorCode.SENDFAILED, NO_REPLY_QUEUE)
        sequence = self.calls.next_sequence()
        pairs = {
            **pairs,
            _message.DEADLINE: unix_deadline(self.calls.loop, call.deadline),
            _message.MQ_RETURN: self._reply_to,
        }
        try:
            body = self._encode(call.operation, sequence, _message.TWOWAY, pairs, params)
        except (RpcError, MarshalError) as error:
            return call.set_exception(error)
        self.calls.add(call, sequence)
        self.queues.spawn(self._publish_call(call, sequence, body))
        return None

    async def _publish_call(self, call: Pending[Any], sequence: int, body: bytes) -> None:
        assert self._publisher is not None
        left = call.deadline - self.calls.loop.time()
        try:
            await self._publisher.publish(body, self._endpoint, self._queue, expires_in=left)
        except Unpublished as error:
            self.calls.fail(sequence, error.code, error.text)

    async def _call_oneway(
        self,
        operation: Operation[Any],
        arguments: tuple[Any, ...],
        timeout: float | None,
        extra: Mapping[str, str] | None,
        defaults: Mapping[str, str],
    ) -> None:
        """Publishes a call that is not answered. A durable queue is waited for."""
        publisher = self._publisher
        if self._endpoint is None or publisher is None or not self._endpoint.address.durable:
            return await super()._call_oneway(operation, arguments, timeout, extra, defaults)
        params = operation.encode_parameters(arguments)
        pairs = {**defaults, **(extra or {})}
        time = self.seconds(timeout)
        deadline = self.calls.loop.time() + time
        failure = RpcError(ErrorCode.SENDFAILED, "")
        while (left := deadline - self.calls.loop.time()) > 0:
            if publisher.is_blocked:
                failure = RpcError(ErrorCode.SENDFAILED, publisher.unavailable())
                break
            if publisher.is_up and not publisher.is_full:
                try:
                    return await self._send_oneway(operation, pairs, params, left)
                except RpcError as error:
                    if error.code != ErrorCode.CONNECTION_LOST:
                        raise
                    # The broker may have it, so the next one is marked.
                    failure = RpcError(ErrorCode.TIMEOUT, error.text)
                    pairs = {**pairs, _message.REDELIVERED: "1"}
            try:
                await asyncio.wait_for(publisher.changed(), left)
            except (TimeoutError, asyncio.TimeoutError):
                break
        if not failure.text:
            failure.text = f"{publisher.unavailable()}, within {time:g}s"
        raise failure.of_call(operation.name, self.peer)

    async def _send_oneway(
        self,
        operation: Operation[Any],
        pairs: Mapping[str, str],
        params: bytearray,
        timeout: float,
    ) -> None:
        assert self._publisher is not None
        if self._reply_to is not None:
            # The servant may call back.
            pairs = {**pairs, _message.MQ_RETURN: self._reply_to}
        body = self._encode(
            operation, self.calls.next_sequence(), _message.ONEWAY, pairs, params
        )
        publishing = self._publisher.publish(
            body, self._endpoint, self._queue, expires_in=_linger(pairs)
        )
        try:
            await asyncio.wait_for(publishing, timeout)
        except Unpublished as error:
            failed = RpcError(error.code, error.text)
            raise failed.of_call(operation.name, self.peer) from error
        except (TimeoutError, asyncio.TimeoutError):
            failed = RpcError(ErrorCode.TIMEOUT, f"no confirmation within {timeout:g}s")
            raise failed.of_call(operation.name, self.peer) from None

    def send_return(self, body: bytes, left: float) -> None:
        """Publishes a RETURN, also if the broker comes back before its caller has gone."""
        if self._publisher is None:
            log.warning("dropped a RETURN: its CALL named no queue")
        else:
            self.queues.spawn(self._publish_return(body, left))

    async def _publish_return(self, body: bytes, left: float) -> None:
        publisher = self._publisher
        assert publisher is not None
        loop = self.calls.loop
        deadline = loop.time() + left
        self.queues.returning += 1
        try:
            while (left := deadline - loop.time()) > 0:
                try:
                    if publisher.is_up:
                        return await publisher.publish(
                            body, self._endpoint, self._queue, expires_in=left, is_mandatory=False
                        )
                    await asyncio.wait_for(publisher.changed(), left)
                except Unpublished as error:
                    if error.code != ErrorCode.CONNECTION_LOST:
                        log.warning("dropped a RETURN: %s", error.text)
                        return None
                except (TimeoutError, asyncio.TimeoutError):
                    break
            log.warning("dropped a RETURN: its caller has gone")
        finally:
            self.queues.returning -= 1


class QueueAdapter:
    """Serves the calls of queues."""

    def __init__(self, queues: MessageQueues, names: list[str]) -> None:
        self._queues = queues
        self._names = names
        self.endpoint = f"mq:{','.join(names)}"

    def add_servant(self, servant: Servant) -> None:
        """Serves calls of all its queues."""
        for name in self._names:
            self._queues.registries[name].add(servant)

    async def join(self, member: str) -> None:
        """Makes this program a member of its topic: it answers multi-calls as `member`,
        ignores those that are for others, and announces itself to the other members every
        2 s, and once more when the communicator shuts down.

        The endpoint has to be open for reading and writing (`AF_READ|AF_WRITE`). The id is 1
        to 128 printable ASCII characters without space and comma; two members with one id
        count as one. Raises `RpcError` with CONNECT_FAILED.
        """
        if not is_member_id(member):
            raise RpcError(ErrorCode.CONNECT_FAILED, wrong_member_id(member))
        if len(self._names) != 1:
            raise RpcError(ErrorCode.CONNECT_FAILED, "a member reads one topic alone")
        await self._queues.join(self._names[0], member)


class MessageQueues:
    """The message queues of a program."""

    def __init__(self, options: Options, config: MqConfig, pool: Pool) -> None:
        loop = asyncio.get_running_loop()
        self.options = options
        self.pool = pool
        self.calls = CallTable(loop, "mq", options.limits)
        self.calls.start_at(random.getrandbits(32))
        self.registries: dict[str, Registry] = {it.name: Registry() for it in config.endpoints}
        """By the name of the endpoint that is read."""
        self.served = 0
        """Calls that have no RETURN yet."""
        self.returning = 0
        """RETURNs that are being published."""
        self._endpoints = {endpoint.name: endpoint for endpoint in config.endpoints}
        self._pairs = dict(config.pairs)
        self._publishers: dict[tuple[Any, ...], Publisher] = {}
        self._own: dict[tuple[Any, ...], str] = {}
        self._consumers: dict[str, Consumer] = {}
        self._callers: dict[tuple[str, str], QueueConnection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._members: dict[str, Roster] = {}
        """This program as a member of topics, by the name of the endpoint."""
        self._announcers: list[asyncio.Task[None]] = []

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Runs a task of the queues, until they are closed."""
        if self._is_closed:
            coroutine.close()
            return
        task = self.calls.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def in_flight(self) -> int:
        """Calls of either side that have not ended, and RETURNs on their way."""
        return len(self.calls) + self.served + self.returning

    async def open(self) -> None:
        """Opens what the program writes, and the queues of its RETURNs.

        Raises `RpcError`.
        """
        try:
            for endpoint in self._endpoints.values():
                await self._open_publisher(endpoint)
            returns = set(self._pairs.values())
            for name in returns:
                await self._consume(self._endpoints[name], is_own=False)
            for endpoint in list(self._endpoints.values()):
                if endpoint.writes and endpoint.name not in self._pairs:
                    await self._open_own_queue(endpoint)
        except BaseException:
            await self.close()
            raise

    async def _open_publisher(self, endpoint: MqEndpoint) -> None:
        """One for each broker: also one that is only read gets RETURNs."""
        if endpoint.broker in self._publishers:
            return
        at_broker = [
            it for it in self._endpoints.values() if it.broker == endpoint.broker and it.writes
        ]
        publisher = Publisher(endpoint, self.options, at_broker)
        await publisher.open()
        self._publishers[endpoint.broker] = publisher

    async def _open_own_queue(self, endpoint: MqEndpoint) -> None:
        if endpoint.broker in self._own:
            return
        name = f"{REPLY_PREFIX}{random.getrandbits(64):016x}"
        own = replace(endpoint, name=name, address=Address(name), reads=True, writes=False)
        self.registries[name] = Registry()
        await self._consume(own, is_own=True)
        self._own[endpoint.broker] = name

    async def _consume(self, endpoint: MqEndpoint, *, is_own: bool) -> None:
        if endpoint.name in self._consumers:
            return

        async def received(message: AbstractIncomingMessage) -> None:
            await self._received(endpoint, message, is_own)

        consumer = Consumer(endpoint, self.options, received, is_own=is_own)
        await consumer.open()
        self._consumers[endpoint.name] = consumer

    def _endpoint(self, name: str) -> MqEndpoint:
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            names = ", ".join(self._endpoints)
            text = f"there is no endpoint `{name}`; the configuration has {names}"
            raise RpcError(ErrorCode.CONNECT_FAILED, text)
        return endpoint

    def connection(self, name: str) -> QueueConnection:
        """A connection that calls by an endpoint.

        Raises `RpcError` if it is not open for writing.
        """
        endpoint = self._endpoint(name)
        if not endpoint.writes:
            text = f"the endpoint `{name}` is not opened for writing: give it `af_mode: AF_WRITE`"
            raise RpcError(ErrorCode.CONNECT_FAILED, text)
        reply_to = self._pairs.get(name) or self._own[endpoint.broker]
        return QueueConnection(
            self, f"mq:{name}", self.registries[reply_to],
            self._publishers[endpoint.broker], endpoint, name, reply_to,
        )  # fmt: skip

    async def listen(self, names: str, servants: Iterable[Servant]) -> QueueAdapter:
        """Serves the calls of endpoints, whose names are separated by commas.

        Raises `RpcError`.
        """
        adapter = QueueAdapter(self, [name.strip() for name in names.split(",")])
        for name in names.split(","):
            self._endpoint(name.strip())
        for servant in servants:
            adapter.add_servant(servant)
        for name in names.split(","):
            await self._consume(self._endpoint(name.strip()), is_own=False)
        return adapter

    async def join(self, name: str, member: str) -> None:
        """Makes this program a member of a topic.

        Raises `RpcError`.
        """
        endpoint = self._endpoint(name)
        text = ""
        if not endpoint.address.is_topic:
            text = f"the endpoint `{name}` is a queue, which has no members"
        elif name in self._members:
            text = f"this program is a member of the topic `{name}` already"
        if text:
            raise RpcError(ErrorCode.CONNECT_FAILED, text)
        connection = self.connection(name)
        roster = self._members[name] = Roster(member)
        self._announcers.append(self.calls.loop.create_task(self._announce(roster, connection)))

    async def _announce(self, member: Roster, connection: QueueConnection) -> None:
        loop = self.calls.loop
        while True:
            next_at = loop.time() + ANNOUNCE_PERIOD
            member.newcomer.clear()
            await self._say(HELLO, member, connection, ANNOUNCE_PERIOD)
            # Many members that come at once cause few announcements.
            await asyncio.sleep(NEWCOMER_PAUSE)
            try:
                await asyncio.wait_for(member.newcomer.wait(), max(0.0, next_at - loop.time()))
            except (TimeoutError, asyncio.TimeoutError):
                pass

    async def _say(
        self,
        operation: Operation[None],
        member: Roster,
        connection: QueueConnection,
        timeout: float,
    ) -> None:
        until = time.time() + FORGET_TIME
        # Later it would announce a member that may be gone.
        expiry = {
            _message.LINGER_TIME: str(int(until) + 1),
            _message.DEADLINE: str(int(until * 1000)),
        }
        try:
            await connection.call_oneway(operation, (member.id,), timeout, None, expiry)
        except RpcError as error:
            log.debug("a member is not announced: %s", error)

    async def _leave(self) -> None:
        """Tells the other members of each topic that this program leaves."""
        for announcer in self._announcers:
            announcer.cancel()
        self._announcers.clear()
        for name, member in self._members.items():
            await self._say(BYE, member, self.connection(name), LEAVE_TIME)

    def _caller(self, endpoint: MqEndpoint, queue: str | None) -> QueueConnection:
        """The connection to the queue that a CALL names."""
        key = (endpoint.name, queue or "")
        known = self._callers.get(key)
        if known is not None:
            return known
        publisher = self._publishers[endpoint.broker] if queue else None
        target = self._endpoints.get(queue or "")
        if target is not None and not target.writes:
            target = None
        if target is not None:
            publisher = self._publishers[target.broker]
        if len(self._callers) >= MAX_CACHED:
            self._callers.clear()
        connection = QueueConnection(
            self, f"mq:{queue or '(no reply queue)'}", self.registries[endpoint.name],
            publisher, target, queue or "", self._own.get(endpoint.broker),
        )  # fmt: skip
        self._callers[key] = connection
        return connection

    # Receiving.

    async def _received(
        self, endpoint: MqEndpoint, message: AbstractIncomingMessage, is_own: bool
    ) -> None:
        is_redelivered = bool(message.redelivered) or self._count(message) > 0
        if not is_own and await self._is_poison(endpoint, message):
            return
        # An own queue ends with its connection: nothing could be delivered again.
        delivery = _Delivery(self, message, acks=not is_own)
        body = message.body
        batch = entries(body) if message.content_type == BATCH else [(0, body)]
        for expires_at, payload in batch or []:
            if not expires_at or expires_at > time.time() * 1000:
                self._handle(endpoint, payload, delivery, is_redelivered)
        delivery.finish()

    @staticmethod
    def _count(message: AbstractIncomingMessage, header: str = DELIVERIES) -> int:
        count = message.headers.get(header)
        return max(count, 0) if isinstance(count, int) else 0

    async def _is_poison(self, endpoint: MqEndpoint, message: AbstractIncomingMessage) -> bool:
        """Counts deliveries of a classic queue, which does not; drops a message at the limit."""
        limit = endpoint.delivery_limit
        if not limit or endpoint.address.is_topic:
            return False
        is_counted = DELIVERY_COUNT in message.headers
        before = (
            self._count(message, DELIVERY_COUNT)
            if is_counted
            else self._count(message) + bool(message.redelivered)
        )
        if before < limit and (is_counted or not message.redelivered):
            return False
        publisher = self._publishers[endpoint.broker]
        queue = endpoint.address.name
        try:
            if before >= limit:
                log.error("a message has ended its reader %d times: to `%s%s`", before, queue, DEAD)
                await publisher.dead_letter(queue)
                queue += DEAD
            durable = replace(endpoint.address, name=queue, durable=True)
            await publisher.publish(
                message.body, replace(endpoint, address=durable), queue,
                headers={DELIVERIES: before},
            )  # fmt: skip
            await message.ack()
        except (Unpublished, *FAILURES) as error:
            log.warning("a message is handled uncounted: %s", error)
            return False
        return True

    def _handle(
        self, endpoint: MqEndpoint, data: bytes, delivery: _Delivery, is_redelivered: bool
    ) -> None:
        header = _message.HEADER_AND_COUNT
        end = len(data)
        if end < header.size or data[0] != _message.RPC:
            return log.warning("dropped a message of %s: it is no message", endpoint.name)
        _, sequence, calltype, ifidx, opidx, errcode, _, call_id, _ = header.unpack_from(data)
        try:
            extra, position = _message.read_extra(
                data, _message.HEADER_SIZE, end, self.options.limits
            )
        except DecodeError as error:
            if calltype & _message.IS_RETURN:
                return self.calls.fail(sequence, ErrorCode.DATADIRTY, str(error))
            return log.warning("dropped a message of %s: %s", endpoint.name, error)
        if _has_lingered(extra.get(_message.LINGER_TIME)):
            return log.info("dropped a message of %s: its time has passed", endpoint.name)
        if calltype & _message.IS_RETURN:
            self.calls.complete(sequence, errcode, extra, data, position, end)
        elif calltype & _message.IS_CALL:
            member = self._members.get(endpoint.name)
            if member is not None:
                is_announcement = calltype & _message.IS_ONEWAY and opidx in ANNOUNCEMENTS
                if is_announcement and ifidx == _message.BUILTIN_INTERFACE:
                    return self._heard(member, opidx, data, position, end)
                if not member.is_addressed(extra):
                    return None
            connection = self._caller(endpoint, extra.get(_message.MQ_RETURN))
            reply = _QueueReply(connection, delivery, member)
            context = Context(connection, reply, sequence, calltype, ifidx, opidx, call_id, extra)
            context.is_redelivered |= is_redelivered
            self.served += 1
            delivery.begin()
            connection.serve(context, data, position, end)
        else:
            log.warning("dropped a message of %s: it is neither CALL nor RETURN", endpoint.name)
        return None

    def _heard(self, member: Roster, opidx: int, data: bytes, start: int, end: int) -> None:
        """Another member, or this one, has announced itself."""
        try:
            text = STRING.read(Reader(data, start, end, self.options.limits.max_depth))
        except DecodeError as error:
            return log.debug("ignored the announcement of a member: %s", error)
        if opidx == _message.HELLO:
            member.hello(text, self.calls.loop.time())
        else:
            member.bye(text)
        return None

    # The end.

    async def stop_consuming(self) -> None:
        """Takes no further calls; RETURNs still arrive."""
        await self._leave()
        returns = {*self._pairs.values(), *self._own.values()}
        for name, consumer in list(self._consumers.items()):
            if name not in returns:
                await consumer.stop()

    async def close(self) -> None:
        """Ends all connections to brokers; calls in flight fail with CONNECTION_LOST."""
        for consumer in self._consumers.values():
            await consumer.close()
        for publisher in self._publishers.values():
            await publisher.close()
        self._is_closed = True
        for announcer in self._announcers:
            announcer.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.calls.lose_all("the connection ended before the answer came: this side closed it")


def _linger(pairs: Mapping[str, str]) -> float | None:
    """Seconds until a oneway call expires, if its proxy has a linger time."""
    until = pairs.get(_message.DEADLINE)
    return None if until is None else max(0.0, int(until) / 1000 - time.time())


def _has_lingered(until: str | None) -> bool:
    try:
        return until is not None and float(until) < time.time()
    except ValueError:
        return False
