"""Bytes from outside: nothing hangs, nothing but the named errors is raised, memory is flat.

`TCE_FUZZ=N` takes N times as many examples; `TCE_FUZZ=500` are more than a million frames.
"""

from __future__ import annotations

import os
import random
import tracemalloc

from conftest import ROOT, run
from gen.zoo import FamilyCodec, IntTableCodec, PetsNamedCodec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tce import DecodeError, EndpointError, Limits, MqConfig, Options, _address
from tce._adapter import AcceptedConnection, SocketAdapter
from tce._endpoint import Endpoint
from tce._errors import FrameError
from tce._frame import Deframer
from tce._mq_config import ConfigError
from tce._queues import entries
from tce._servant import Registry
from tce._stream import Link
from tce._values import Reader
from servants import ServerImpl
from test_wire import bytes_of, recorded

FACTOR = int(os.environ.get("TCE_FUZZ", "1"))
LIMITS = Limits()
FRAMES = [bytes_of(frame) for name in ("python", "java") for frame in recorded(name)]
checked = settings(
    max_examples=300 * FACTOR, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

mutations = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4)


def mutate(frame: bytes, changes: list[tuple[int, int]], cut: int) -> bytes:
    data = bytearray(frame)
    for at, value in changes:
        data[at % len(data)] = value
    return bytes(data[: len(data) - cut % 4])


@checked
@given(st.binary(max_size=300), st.integers(1, 40))
def test_any_bytes_are_frames_or_a_frame_error(data: bytes, size: int) -> None:
    deframer = Deframer(LIMITS)
    try:
        for at in range(0, len(data), size):
            for payload, start, end in deframer.feed(data[at : at + size]):
                assert 0 <= start < end <= len(payload)
    except FrameError:
        pass


@checked
@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_a_decode_error(data: bytes) -> None:
    for codec in (FamilyCodec, IntTableCodec, PetsNamedCodec):
        try:
            value = codec.read(Reader(data, 0, len(data), LIMITS.max_depth))  # type: ignore[attr-defined]
        except DecodeError:
            continue
        out = bytearray()
        codec.write(out, value)  # type: ignore[attr-defined]
        assert len(out) <= len(data)


@checked
@given(st.binary(max_size=100))
def test_any_bytes_are_a_batch_or_not(body: bytes) -> None:
    found = entries(body)
    assert found is None or sum(12 + len(message) for _, message in found) == len(body)


@checked
@given(st.text(max_size=60))
def test_any_text_is_an_endpoint_or_an_error(text: str) -> None:
    for whole in (text, f"tcp://{text}", f"ws://localhost:1{text}"):
        try:
            assert Endpoint.parse(str(Endpoint.parse(whole))) == Endpoint.parse(whole)
        except EndpointError as error:
            assert "is not an endpoint" in str(error)


@checked
@given(st.text("abc{}[]:,;/'\"\\ truequ", max_size=40))
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    try:
        address, _ = _address.parse(text)
        assert address.name
    except ValueError as error:
        assert "is not an address: column" in str(error)


@settings(max_examples=50 * FACTOR, deadline=None)
@given(st.text("abc-:{}[]&*<| \n\t'\"#!%@\0é", max_size=60))
def test_any_text_is_a_configuration_or_an_error(text: str) -> None:
    try:
        MqConfig.parse(text, "config.yml", "a")
    except ConfigError as error:
        assert str(error).startswith("config.yml:")


class Transport:
    """Takes what a link writes."""

    def __init__(self) -> None:
        self.is_aborted = False

    def get_extra_info(self, name: str) -> None:
        return None

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        assert data

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True

    close = abort

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


def test_mutated_frames_end_their_connection_at_most() -> None:
    """What arrives is handled as from a socket: deframed, dispatched, answered."""
    rng = random.Random(20_261_130)

    async def test() -> None:
        import asyncio
        import logging

        logging.getLogger("tce").setLevel(logging.CRITICAL)
        options = Options()
        registry = Registry()
        registry.add(ServerImpl())
        adapter = SocketAdapter(options, Endpoint("tcp", "localhost"), registry, _no_threads)
        handled = 0
        sizes: list[int] = []
        for round_ in range(4):
            for _ in range(25 * FACTOR):
                link = Link(AcceptedConnection(adapter))
                transport = Transport()
                link.connection_made(transport)  # type: ignore[arg-type]
                for _ in range(20):
                    changes = [
                        (rng.randrange(400), rng.choice((0, 1, 2, 0x21, 0x7F, 0x80, 255)))
                        for _ in range(rng.randrange(4))
                    ]
                    data = mutate(rng.choice(FRAMES), changes, rng.randrange(2) * rng.randrange(4))
                    if not transport.is_aborted:
                        link.data_received(data)
                    handled += 1
                await asyncio.sleep(0)
                link.connection_lost(None)
                for task in list(link.connection._tasks):
                    task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if round_ == 0:
                tracemalloc.start()
            else:
                sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        logging.getLogger("tce").setLevel(logging.WARNING)
        assert handled == 2000 * FACTOR
        assert not adapter.connections
        assert sizes[-1] < sizes[0] + (1 << 20), sizes

    run(test(), 60 + 10 * FACTOR)


def _no_threads() -> None:  # type: ignore[misc]
    raise AssertionError("no servant blocks")


def test_recorded_frames_are_there() -> None:
    assert len(FRAMES) == 16 and (ROOT / "tests/vectors").exists()
