"""Calls of `echo(string)` a second, against grpc.aio, in one run.

    python bench/grpc_aio.py [--quick] [--rounds N]

Server and client are processes of their own, each with one event loop. Both systems
marshal the string: TCE as its IDL says, gRPC as the protobuf message StringValue. The
rounds alternate, so that a disturbance hits both; the table has the medians and the
ratio of each pair of rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import grpc.aio
import tce
from google.protobuf.wrappers_pb2 import StringValue
from tce import codegen as rt

TEXT = "sixteen bytes..."
IN_FLIGHT = (1, 64)
METHOD = "/bench.Echo/echo"

# As `tce compile` writes it for `interface Echo { string echo(string text); };`.
_Echo_echo: rt.Operation[str] = rt.Operation(
    "bench::Echo::echo", 0, 0, lambda: [rt.STRING], lambda: rt.STRING
)


class Echo(rt.Servant):
    _interface = rt.Interface("bench.Echo", 0, {"echo": _Echo_echo})

    @rt.abstractmethod
    async def echo(self, text: str, ctx: rt.Context) -> str: ...


class EchoPrx(rt.Proxy):
    async def echo(
        self, text: str, *, timeout: float | None = None, extra: rt.Extra = None
    ) -> str:
        return await self._call(_Echo_echo, (text,), timeout, extra)


class EchoImpl(Echo):
    async def echo(self, text: str, ctx: rt.Context) -> str:
        return text


async def serve_tce(scheme: str) -> None:
    communicator = tce.Communicator()
    adapter = await communicator.listen(f"{scheme}://127.0.0.1:0", EchoImpl())
    print(adapter.endpoint, flush=True)
    await asyncio.Event().wait()


async def serve_grpc() -> None:
    async def echo(request: StringValue, context: object) -> StringValue:
        return StringValue(value=request.value)

    handler = grpc.unary_unary_rpc_method_handler(
        echo,
        request_deserializer=StringValue.FromString,
        response_serializer=StringValue.SerializeToString,
    )
    server = grpc.aio.server()
    service, method = METHOD.lstrip("/").split("/")
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


Call = Callable[[], Awaitable[None]]


async def rate(call: Call, in_flight: int, seconds: float) -> float:
    """Calls a second, each of which is checked."""
    calls = 0
    end = time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal calls
        while time.perf_counter() < end:
            await call()
            calls += 1

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return calls / (time.perf_counter() - began)


async def measure(rounds: int, seconds: float, endpoints: dict[str, str]) -> None:
    communicator = tce.Communicator()
    calls: dict[str, Call] = {}
    for scheme in ("tcp", "ws"):
        prx = await EchoPrx.connect(communicator, endpoints[scheme])

        async def call_tce(prx: EchoPrx = prx) -> None:
            assert await prx.echo(TEXT) == TEXT

        calls[f"tce {scheme}"] = call_tce
    channel = grpc.aio.insecure_channel(endpoints["grpc"])
    echo = channel.unary_unary(
        METHOD,
        request_serializer=StringValue.SerializeToString,
        response_deserializer=StringValue.FromString,
    )

    async def call_grpc() -> None:
        reply = await echo(StringValue(value=TEXT))
        assert reply.value == TEXT

    calls["grpc.aio"] = call_grpc
    print(f"{'':22}" + "".join(f"{name:>12}" for name in calls) + "   tcp / grpc.aio (worst round)")
    for in_flight in IN_FLIGHT:
        found: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds):
            for name, call in calls.items():
                found[name].append(await rate(call, in_flight, seconds))
        ratios = [ours / theirs for ours, theirs in zip(found["tce tcp"], found["grpc.aio"])]
        medians = "".join(f"{statistics.median(rates):12,.0f}" for rates in found.values())
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f})"
        print(f"{in_flight:3} in flight, calls/s {medians}   {ratio}", flush=True)
    await channel.close()
    await communicator.shutdown(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only check that it runs")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--serve", choices=["tcp", "ws", "grpc"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serving = serve_grpc() if arguments.serve == "grpc" else serve_tce(arguments.serve)
        asyncio.run(serving)
        return
    servers: list[subprocess.Popen[str]] = []
    endpoints: dict[str, str] = {}
    try:
        for name in ("tcp", "ws", "grpc"):
            command = [sys.executable, str(pathlib.Path(__file__)), "--serve", name]
            servers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            output = servers[-1].stdout
            assert output is not None
            endpoints[name] = output.readline().strip()
        rounds, seconds = (1, 0.1) if arguments.quick else (arguments.rounds, 2.0)
        asyncio.run(measure(rounds, seconds, endpoints))
    finally:
        for server in servers:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
