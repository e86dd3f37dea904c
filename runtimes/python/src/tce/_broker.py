"""Connections to an AMQP 0-9-1 broker such as RabbitMQ, made again when they are lost.

`aio_pika.connect` is used, not `connect_robust`: a queue that is gone has to be
declared again before it is consumed, with pauses between the attempts, and a call
that waits for a lost connection has to fail at once. Publishing and consuming use
separate connections, so that a broker that blocks publishers still reads
acknowledgements.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractIncomingMessage,
    AbstractQueue,
)
from aio_pika.exceptions import AMQPError, DeliveryError, PublishError

from ._client import BACKOFF_MAX, BACKOFF_MIN, client_tls
from ._connection import log
from ._errors import ErrorCode, RpcError
from ._mq_config import MqEndpoint
from ._options import Options

ATTEMPT_TIME = 10.0
"""Seconds for an attempt to open a connection, channel or queue."""
DEAD = ".dead"
"""What the name of a dead-letter queue adds to that of the queue."""
DELIVERIES = "x-tce-deliveries"
"""The header in which this project counts deliveries of a classic queue."""
DELIVERY_COUNT = "x-delivery-count"
"""The header in which a quorum queue counts them."""

BATCH = "application/vnd.tce.batch"
"""The content type of several messages in one."""
ENTRY = struct.Struct(">QI")
"""When a message of a batch expires, in Unix milliseconds or 0, and its length."""
MAX_BATCH = 256 << 10
"""Bytes from which a batch takes no further message."""
_UNCONFIRMED_BATCHES = 2
PROBE_PERIOD = 0.5
"""Seconds between two empty messages to a queue that does not exist. A broker tells of a
memory or disk alarm only who publishes, and this finds out before a call does."""
PROBE_QUEUE = "tce.probe"

FAILURES = (AMQPError, OSError, RuntimeError, asyncio.TimeoutError, asyncio.InvalidStateError)
"""What operations of the library raise when a connection is lost or refused."""

Received = Callable[[AbstractIncomingMessage], Awaitable[None]]


async def _connect(endpoint: MqEndpoint, options: Options) -> AbstractConnection:
    tls: ssl.SSLContext | None = client_tls(options.tls) if endpoint.tls else None
    return await aio_pika.connect(
        host=endpoint.host,
        port=endpoint.port,
        login=endpoint.user,
        password=endpoint.password,
        virtualhost=endpoint.vhost,
        ssl=endpoint.tls,
        ssl_context=tls,
        timeout=ATTEMPT_TIME,
    )


def describe(endpoint: MqEndpoint) -> str:
    """A broker, for messages to users."""
    return f"the broker at {endpoint.host}:{endpoint.port} (endpoint `{endpoint.name}`)"


async def _declare(channel: AbstractChannel, endpoint: MqEndpoint) -> None:
    address = endpoint.address
    if not address.create:
        return
    if address.is_topic:
        kind = aio_pika.ExchangeType.TOPIC
        await channel.declare_exchange(address.name, kind, durable=True)
    else:
        await channel.declare_queue(address.name, durable=True)


class _Reconnecting:
    """A connection that a task makes again when it is lost."""

    def __init__(self, endpoint: MqEndpoint, options: Options) -> None:
        self._endpoint = endpoint
        self._options = options
        self._connection: AbstractConnection | None = None
        self._lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connects the first time.

        Raises `RpcError` with CONNECT_FAILED.
        """
        try:
            await asyncio.wait_for(self._open(), ATTEMPT_TIME)
        except FAILURES as error:
            text = f"{describe(self._endpoint)}: {error or type(error).__name__}"
            raise RpcError(ErrorCode.CONNECT_FAILED, text) from error
        self._task = asyncio.get_running_loop().create_task(self._supervise())

    async def _open(self) -> None:
        self._lost.clear()
        connection = await _connect(self._endpoint, self._options)
        connection.close_callbacks.add(self._note_lost)
        self._connection = connection
        # Otherwise the library takes a message that no queue has for published.
        channel = await connection.channel(on_return_raises=True)
        channel.close_callbacks.add(self._note_lost)
        await self._use(channel)

    def _note_lost(self, sender: object, error: BaseException | None = None) -> None:
        self._lost.set()

    async def _use(self, channel: AbstractChannel) -> None:
        """Takes a channel of a new connection into use."""
        raise NotImplementedError

    def _unuse(self) -> None:
        """The connection is lost."""

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        pause = BACKOFF_MIN
        while True:
            opened_at = loop.time()
            await self._lost.wait()
            self._unuse()
            if loop.time() - opened_at > BACKOFF_MAX:
                pause = BACKOFF_MIN
            log.warning("lost %s", describe(self._endpoint))
            while True:
                await self._disconnect()
                await asyncio.sleep(pause * (1 + random.random()))
                pause = min(2 * pause, BACKOFF_MAX / 2)
                try:
                    await asyncio.wait_for(self._open(), ATTEMPT_TIME)
                except FAILURES as error:
                    log.debug("can't reach %s: %s", describe(self._endpoint), error)
                else:
                    break

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await asyncio.wait_for(connection.close(), 1.0)
            except FAILURES:  # It is lost anyway.
                pass

    async def close(self) -> None:
        """Ends the connection."""
        if self._task is not None:
            self._task.cancel()
        await self._disconnect()
        self._unuse()


class Unpublished(Exception):
    """A message that the broker does not have, or may not have."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def _entry(body: bytes, expires_in: float | None) -> bytes:
    expires_at = 0 if expires_in is None else int((time.time() + expires_in) * 1000)
    return ENTRY.pack(expires_at, len(body)) + body


@dataclass(frozen=True)
class _Properties:
    """How a message is published."""

    expires_in: float | None = None
    is_mandatory: bool = True
    needs_reader: bool = False
    """Whether it fails if no program reads the topic."""
    headers: dict[str, int] | None = None
    content_type: str | None = None

    def message(self, body: bytes, is_durable: bool) -> aio_pika.Message:
        mode = aio_pika.DeliveryMode
        return aio_pika.Message(
            body,
            headers=dict(self.headers or {}),
            content_type=self.content_type,
            delivery_mode=mode.PERSISTENT if is_durable else mode.NOT_PERSISTENT,
            expiration=None if self.expires_in is None else max(self.expires_in, 0.001),
        )


class _Batch:
    """The messages of an endpoint that wait to be sent as one."""

    def __init__(self) -> None:
        self.entries: list[tuple[bytes, float | None, asyncio.Future[None]]] = []
        """Body, seconds until it expires, and the future of its publisher."""
        self.unconfirmed = 0

    def take(self) -> list[tuple[bytes, float | None, asyncio.Future[None]]]:
        """The next entries for one message."""
        size = count = 0
        while count < len(self.entries) and size < MAX_BATCH:
            size += len(self.entries[count][0])
            count += 1
        taken, self.entries = self.entries[:count], self.entries[count:]
        return taken


class Publisher(_Reconnecting):
    """Publishes at one broker, with confirmations."""

    def __init__(
        self, endpoint: MqEndpoint, options: Options, endpoints: list[MqEndpoint]
    ) -> None:
        super().__init__(endpoint, options)
        self._declared = endpoints
        self._channel: AbstractChannel | None = None
        self._probe: asyncio.Task[None] | None = None
        self._is_closed = False
        self._waiters: set[asyncio.Future[None]] = set()
        self._batches: dict[str, _Batch] = {}
        self._flushes: set[asyncio.Task[None]] = set()
        self.waiting = 0
        """Bytes that the broker has not confirmed."""

    async def _use(self, channel: AbstractChannel) -> None:
        for endpoint in self._declared:
            await _declare(channel, endpoint)
        self._channel = channel
        self._probe = asyncio.get_running_loop().create_task(self._send_probes(channel))
        self._wake()

    def _unuse(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
        self._channel = None
        self._wake()

    async def _send_probes(self, channel: AbstractChannel) -> None:
        """Ends with the channel."""
        while True:
            await asyncio.sleep(PROBE_PERIOD)
            probe = aio_pika.Message(b"")
            try:
                # During an alarm the broker does not confirm it.
                await channel.default_exchange.publish(probe, PROBE_QUEUE, mandatory=False)
            except FAILURES:
                return
            self._wake()

    @property
    def is_up(self) -> bool:
        """Whether the broker is there and accepts messages."""
        return self._channel is not None and not self.is_blocked

    @property
    def is_blocked(self) -> bool:
        """Whether the broker accepts no messages."""
        transport = None if self._connection is None else self._connection.transport
        if transport is None:
            return False
        # What `ready` waits for: at once, unless the broker has announced an alarm.
        ready = transport.connection.ready()
        try:
            ready.send(None)
        except StopIteration:
            return False
        ready.close()
        return True

    @property
    def is_full(self) -> bool:
        """Whether publishers have to wait."""
        return self.waiting >= self._options.connection.send_buffer

    async def changed(self) -> None:
        """Waits until it may be up, or have capacity."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def unavailable(self) -> str:
        """Why nothing can be published."""
        if self.is_blocked:
            return (
                f"{describe(self._endpoint)} accepts no messages: it has a memory or disk alarm"
            )
        return f"{describe(self._endpoint)} can't be reached"

    async def publish(
        self,
        body: bytes,
        endpoint: MqEndpoint | None,
        queue: str,
        *,
        expires_in: float | None = None,
        is_mandatory: bool = True,
        needs_reader: bool = False,
        headers: dict[str, int] | None = None,
    ) -> None:
        """Publishes to an endpoint, or to a queue by its name.

        Raises `Unpublished`.
        """
        self.waiting += len(body)
        try:
            is_alone = headers is not None or needs_reader
            if endpoint is not None and endpoint.batch and not is_alone:
                await self._publish_in_batch(body, endpoint, queue, expires_in)
            else:
                properties = _Properties(expires_in, is_mandatory, needs_reader, headers)
                await self._publish_now(body, endpoint, queue, properties)
        finally:
            self.waiting -= len(body)
            self._wake()

    async def _publish_in_batch(
        self, body: bytes, endpoint: MqEndpoint, queue: str, expires_in: float | None
    ) -> None:
        loop = asyncio.get_running_loop()
        batch = self._batches.setdefault(endpoint.name, _Batch())
        published: asyncio.Future[None] = loop.create_future()
        batch.entries.append((body, expires_in, published))
        if batch.unconfirmed < _UNCONFIRMED_BATCHES:
            batch.unconfirmed += 1
            flush = loop.create_task(self._flush(batch, endpoint, queue))
            self._flushes.add(flush)
            flush.add_done_callback(self._flushes.discard)
        await published

    async def _flush(self, batch: _Batch, endpoint: MqEndpoint, queue: str) -> None:
        """Publishes what waits, and what comes meanwhile, several messages as one."""
        try:
            while taken := batch.take():
                await self._publish_taken(taken, endpoint, queue)
        finally:
            batch.unconfirmed -= 1

    async def _publish_taken(
        self,
        taken: list[tuple[bytes, float | None, asyncio.Future[None]]],
        endpoint: MqEndpoint,
        queue: str,
    ) -> None:
        if len(taken) == 1:
            body, expires_in, _ = taken[0]
            properties = _Properties(expires_in)
        else:
            body = b"".join(_entry(body, expires_in) for body, expires_in, _ in taken)
            properties = _Properties(content_type=BATCH)
        error: Unpublished | None = None
        try:
            await self._publish_now(body, endpoint, queue, properties)
        except Unpublished as raised:
            error = raised
        for _, _, published in taken:
            if published.done():
                continue
            if error is None:
                published.set_result(None)
            else:
                published.set_exception(Unpublished(error.code, error.text))

    async def _publish_now(
        self, body: bytes, endpoint: MqEndpoint | None, queue: str, properties: _Properties
    ) -> None:
        channel = self._channel
        if channel is None or self.is_blocked:
            raise Unpublished(ErrorCode.SENDFAILED, self.unavailable())
        is_durable = endpoint is not None and endpoint.address.durable
        message = properties.message(body, is_durable)
        if self._options.names_broker_user:
            message.user_id = self._endpoint.user
        is_mandatory = properties.is_mandatory
        key = endpoint.address.name if endpoint is not None else queue
        try:
            exchange = channel.default_exchange
            if endpoint is not None and endpoint.address.is_topic:
                exchange = await channel.get_exchange(endpoint.address.name, ensure=False)
                # A broadcast without a reader is no error, unless its caller says so.
                key, is_mandatory = endpoint.address.subject, properties.needs_reader
            await exchange.publish(message, key, mandatory=is_mandatory)
        except PublishError as error:
            text = f"there is no queue `{key}` at the broker"
            if properties.needs_reader and endpoint is not None:
                text = f"no program reads the topic `{endpoint.address.name}` at the broker"
            raise Unpublished(ErrorCode.SENDFAILED, text) from error
        except DeliveryError as error:
            text = f"the broker did not accept the message for `{queue}`"
            raise Unpublished(ErrorCode.SENDFAILED, text) from error
        except asyncio.CancelledError:
            # The library cancels what waits for a confirmation of a lost connection.
            if self._is_closed or self._channel is channel and not self._lost.is_set():
                raise
            raise self._lost_while_publishing() from None
        except FAILURES as error:
            raise self._lost_while_publishing() from error

    def _lost_while_publishing(self) -> Unpublished:
        text = f"{describe(self._endpoint)} was lost before it had confirmed the message"
        return Unpublished(ErrorCode.CONNECTION_LOST, text)

    async def dead_letter(self, name: str) -> None:
        """Declares the dead-letter queue of a queue."""
        if self._channel is not None:
            await self._channel.declare_queue(name + DEAD, durable=True)

    async def close(self) -> None:
        self._is_closed = True
        for flush in self._flushes:
            flush.cancel()
        await super().close()


class Consumer(_Reconnecting):
    """Reads one queue or topic, and passes each message on."""

    def __init__(
        self, endpoint: MqEndpoint, options: Options, received: Received, *, is_own: bool
    ) -> None:
        super().__init__(endpoint, options)
        self._received = received
        self._queue: AbstractQueue | None = None
        self._tag = ""
        self._is_own = is_own
        """Whether it is a reply queue of this process, which ends with its connection."""

    async def _use(self, channel: AbstractChannel) -> None:
        endpoint = self._endpoint
        await channel.set_qos(prefetch_count=endpoint.prefetch)
        if self._is_own:
            queue = await channel.declare_queue(
                endpoint.address.name, exclusive=True, auto_delete=True
            )
        elif endpoint.address.is_topic:
            await _declare(channel, endpoint)
            queue = await channel.declare_queue(exclusive=True, auto_delete=True)
            await queue.bind(endpoint.address.name, endpoint.address.subject or "#")
        else:
            await _declare(channel, endpoint)
            queue = await channel.get_queue(endpoint.address.name, ensure=True)
        self._queue = queue
        self._tag = await queue.consume(self._received, no_ack=self._is_own)

    async def stop(self) -> None:
        """Takes no further messages; those that were taken may still be acknowledged."""
        if self._task is not None:
            self._task.cancel()
        queue, self._queue = self._queue, None
        if queue is not None:
            try:
                await asyncio.wait_for(queue.cancel(self._tag), 1.0)
            except FAILURES:  # The connection is lost, and with it the consumer.
                pass
