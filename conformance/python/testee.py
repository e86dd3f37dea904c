"""The testee for Python: carries out the commands on its standard input.

`src/protocol.rs` describes the commands; README.md how values are written.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
import sys
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import tce
from gen import conformance, later, test, zoo

T = TypeVar("T")

MAX_SAFE_INTEGER = 2**53 - 1
LONG = 1024
"""More bytes than this are written as one unit and its number, if they repeat it."""
UNIT = 4
CALL_BACK = "call-back"
"""In the extra of a call of `Keeper`: the servant returns what the caller's own one returns."""
CLOSE_TIME = 1.0
"""How long calls in flight may take when a connection is closed, in seconds."""
LINE_LIMIT = 64 << 20
"""Bytes of a command."""

PROXIES: dict[str, type[tce.Proxy]] = {
    "Probe": conformance.ProbePrx,
    "Keeper": zoo.KeeperPrx,
    "Server": test.ServerPrx,
    "Newer": later.NewerPrx,
    "Unserved": later.UnservedPrx,
}


def read(value: Any, kind: Any) -> Any:
    """A value of the protocol as a value of this type."""
    if kind is conformance.Tree:
        return grown(value["levels"])
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return kind(**{name: read(value[name], hint) for name, hint in hints.items()})
    if isinstance(value, dict):
        if "long" in value:
            return int(value["long"])
        if "double" in value:
            return float(value["double"])
        if "bytes" in value:
            return bytes.fromhex(value["bytes"]) * value.get("times", 1)
        key, element = typing.get_args(kind)
        return {read(k, key): read(v, element) for k, v in value["map"]}
    if isinstance(kind, type) and issubclass(kind, conformance.Shade):
        return kind(value)
    if isinstance(value, list):
        (element,) = typing.get_args(kind)
        return [read(item, element) for item in value]
    return value


def grown(levels: int) -> conformance.Tree:
    tree = conformance.Tree()
    for _ in range(1, levels):
        tree = conformance.Tree([tree])
    return tree


def write(value: Any) -> Any:
    """A value of a generated type as a value of the protocol."""
    if isinstance(value, conformance.Tree):
        levels = 1
        while value.branches:
            levels, value = levels + 1, value.branches[0]
        return {"levels": levels}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: write(getattr(value, field.name)) for field in fields}
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) <= MAX_SAFE_INTEGER else {"long": str(value)}
    if isinstance(value, float):
        return write_double(value)
    if isinstance(value, bytes):
        unit, times = value[:UNIT], len(value) // UNIT
        if len(value) > LONG and value == unit * times:
            return {"bytes": unit.hex(), "times": times}
        return {"bytes": value.hex()}
    if isinstance(value, dict):
        return {"map": [[write(k), write(v)] for k, v in value.items()]}
    if isinstance(value, list):
        return [write(item) for item in value]
    raise TypeError(f"no value of the IDL has the type {type(value).__name__}")


def write_double(value: float) -> Any:
    if math.isnan(value):
        return {"double": "NaN"}
    if math.isinf(value):
        return {"double": "Infinity" if value > 0 else "-Infinity"}
    if value == 0 and math.copysign(1, value) < 0:
        return {"double": "-0"}
    return value


def own_pairs(extra: Mapping[str, str]) -> list[tuple[str, str]]:
    """The pairs that the wire format does not reserve."""
    return [(key, value) for key, value in extra.items() if not key.startswith("__")]


class Record:
    """The calls that the servants have received."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def add(self, operation: str, ctx: tce.Context, *args: Any) -> None:
        self.calls.append(
            {
                "operation": operation,
                "args": [write(arg) for arg in args],
                "extra": own_pairs(ctx.extra),
                "isOneway": ctx.is_oneway,
            }
        )


class Probe(conformance.Probe):
    def __init__(self, record: Record) -> None:
        self.record = record

    async def echo(self, text: str, ctx: tce.Context) -> str:
        self.record.add("Probe.echo", ctx, text)
        ctx.return_extra("answer", "42")
        ctx.return_extra("again", "43")
        return text

    async def note(self, number: int, ctx: tce.Context) -> None:
        self.record.add("Probe.note", ctx, number)

    async def fail(self, code: int, text: str, ctx: tce.Context) -> None:
        self.record.add("Probe.fail", ctx, code, text)
        raise tce.Fault(text, code)

    async def bug(self, secret: str, ctx: tce.Context) -> None:
        self.record.add("Probe.bug", ctx, secret)
        raise KeyError(secret)

    async def late(self, milliseconds: int, text: str, ctx: tce.Context) -> str:
        self.record.add("Probe.late", ctx, milliseconds, text)
        await asyncio.sleep(milliseconds / 1000)
        return text

    async def callBack(self, text: str, ctx: tce.Context) -> str:
        self.record.add("Probe.callBack", ctx, text)
        with Told():
            return await conformance.ProbePrx.to_caller(ctx).echo(text)

    async def push(self, number: int, ctx: tce.Context) -> None:
        self.record.add("Probe.push", ctx, number)
        with Told():
            await conformance.ProbePrx.to_caller(ctx).note_oneway(number)

    async def descend(self, depth: int, ctx: tce.Context) -> int:
        self.record.add("Probe.descend", ctx, depth)
        if depth == 0:
            return 0
        with Told():
            return await conformance.ProbePrx.to_caller(ctx).descend(depth - 1) + 1

    async def grow(self, levels: int, ctx: tce.Context) -> conformance.Tree:
        self.record.add("Probe.grow", ctx, levels)
        return grown(levels)

    async def tree(self, value: conformance.Tree, ctx: tce.Context) -> conformance.Tree:
        self.record.add("Probe.tree", ctx, value)
        return value

    async def large(self, size: int, ctx: tce.Context) -> str:
        self.record.add("Probe.large", ctx, size)
        return "x" * size

    async def paint(self, value: conformance.Painted, ctx: tce.Context) -> conformance.Painted:
        self.record.add("Probe.paint", ctx, value)
        return value

    async def shade(self, value: conformance.Shade, ctx: tce.Context) -> conformance.Shade:
        self.record.add("Probe.shade", ctx, value)
        return value

    async def lose(
        self, code: int, key: str, nearest: conformance.Painted, ctx: tce.Context
    ) -> None:
        self.record.add("Probe.lose", ctx, code, key, nearest)
        if key == "":
            raise conformance.Gone()
        raise conformance.NotFound(code, key, nearest)

    async def hide(self, why: str, ctx: tce.Context) -> None:
        self.record.add("Probe.hide", ctx, why)
        raise conformance.Hidden(why)


class Told:
    """The caller of a call back learns why that failed."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, tce.RpcError):
            raise tce.Fault(str(error)) from error


class Keeper(zoo.Keeper):
    def __init__(self, record: Record) -> None:
        self.record = record

    async def _echo(self, operation: str, value: T, ctx: tce.Context) -> T:
        """Returns the value, or what the caller's own operation returns."""
        self.record.add(f"Keeper.{operation}", ctx, value)
        if CALL_BACK not in ctx.extra:
            return value
        with Told():
            result: T = await getattr(zoo.KeeperPrx.to_caller(ctx), operation)(value)
            return result

    async def roundtrip(self, fam: zoo.Family, ctx: tce.Context) -> zoo.Family:
        return await self._echo("roundtrip", fam, ctx)

    async def table(self, t: zoo.IntTable, ctx: tce.Context) -> zoo.IntTable:
        return await self._echo("table", t, ctx)

    async def blob(self, data: bytes, ctx: tce.Context) -> bytes:
        return await self._echo("blob", data, ctx)

    async def counts(self, c: zoo.StrInt, ctx: tce.Context) -> zoo.StrInt:
        return await self._echo("counts", c, ctx)

    async def names(self, c: zoo.IntStr, ctx: tce.Context) -> zoo.IntStr:
        return await self._echo("names", c, ctx)

    async def many(
        self,
        b: int,
        flag: bool,
        s: int,
        i: int,
        l: int,
        flt: float,
        dbl: float,
        text: str,
        ctx: tce.Context,
    ) -> None:
        self.record.add("Keeper.many", ctx, b, flag, s, i, l, flt, dbl, text)
        if CALL_BACK in ctx.extra:
            with Told():
                await zoo.KeeperPrx.to_caller(ctx).many(b, flag, s, i, l, flt, dbl, text)

    async def big(self, v: int, ctx: tce.Context) -> int:
        return await self._echo("big", v, ctx)

    async def real(self, v: float, ctx: tce.Context) -> float:
        return await self._echo("real", v, ctx)

    async def truth(self, v: bool, ctx: tce.Context) -> bool:
        return await self._echo("truth", v, ctx)


class Server(test.Server):
    def __init__(self, record: Record) -> None:
        self.record = record

    async def datetime(self, ctx: tce.Context) -> str:
        self.record.add("Server.datetime", ctx)
        return "today"

    async def echo(self, text: str, ctx: tce.Context) -> str:
        self.record.add("Server.echo", ctx, text)
        return text

    async def timeout(self, secs: int, ctx: tce.Context) -> None:
        self.record.add("Server.timeout", ctx, secs)

    async def heartbeat(self, hello: str, ctx: tce.Context) -> None:
        self.record.add("Server.heartbeat", ctx, hello)

    async def bidirection(self, ctx: tce.Context) -> None:
        self.record.add("Server.bidirection", ctx)


def told(error: tce.RpcError) -> dict[str, Any]:
    return {
        "error": {
            "code": int(error.code),
            "side": error.side.value,
            "text": error.text,
            "operation": error.operation or "",
            "canRetry": error.can_retry,
            "exception": exception(error),
        }
    }


def exception(error: tce.RpcError) -> Any:
    if isinstance(error, conformance.NotFound):
        members = {"code": error.code_, "key": error.key, "nearest": write(error.nearest)}
        return {"name": "conformance.NotFound", "members": members}
    if isinstance(error, conformance.Gone):
        return {"name": "conformance.Gone", "members": {}}
    assert not isinstance(error, tce.UserException), "an exception that is not declared"
    return None


async def ended(call: Any) -> dict[str, Any]:
    """How a call ends."""
    try:
        value = await call
    except tce.RpcError as error:
        return told(error)
    extra = own_pairs(call.extra) if isinstance(call, tce.Pending) else []
    return {"result": {"value": write(value), "extra": extra}}


async def opened(options: dict[str, Any]) -> tce.Communicator:
    """A communicator with these options."""
    files = tce.TlsFiles(
        ca_file=options.get("authority"),
        cert_file=options.get("certificate"),
        key_file=options.get("key"),
    )
    token, device_id = options.get("token"), options.get("deviceId")
    resume = options.get("resume", False)
    communicator = tce.Communicator(
        tce.Options(token=token, device_id=device_id, resume=resume, tls=files)
    )
    if queues := options.get("queues"):
        await communicator.open_mq(tce.MqConfig.load(queues["file"], queues["process"]))
    return communicator


class Testee:
    """One method for each command."""

    def __init__(self) -> None:
        self.record = Record()
        self.adapters: list[tuple[tce.Communicator, Any]] = []
        self.client: tuple[tce.Communicator, tce.Connection] | None = None
        self.started: dict[str, Any] = {}

    async def listen(self, endpoint: str, serve: str, options: dict[str, Any]) -> str:
        communicator = await opened(options)
        servants: list[tce.Servant] = [Probe(self.record), Keeper(self.record)]
        if serve == "test":
            servants = [Server(self.record)]
        adapter = await communicator.listen(endpoint, *servants)
        self.adapters.append((communicator, adapter))
        return str(adapter.endpoint)

    async def connect(self, endpoint: str, options: dict[str, Any]) -> None:
        communicator = await opened(options)
        connection = await communicator.connect(endpoint)
        connection.add_servant(Probe(self.record))
        connection.add_servant(Keeper(self.record))
        self.client = communicator, connection

    async def call(
        self,
        operation: str,
        args: list[Any],
        mode: Any,
        extra: list[tuple[str, str]],
        timeoutMs: float | None = None,
    ) -> Any:
        assert self.client is not None, "there is no connection"
        _, connection = self.client
        if operation == "ping":
            return await ended(connection.ping())
        interface, name = operation.split(".")
        proxy = PROXIES[interface](connection)
        suffix = {"twoway": "", "oneway": "_oneway"}.get(str(mode), "_async")
        method = getattr(proxy, name + suffix)
        # In the order of the parameters.
        kinds = typing.get_type_hints(method).values()
        values = [read(arg, kind) for arg, kind in zip(args, kinds)]
        timeout = None if timeoutMs is None else timeoutMs / 1000
        call = method(*values, timeout=timeout, extra=dict(extra))
        if isinstance(mode, dict):
            self.started[mode["start"]] = call
            return None
        return await ended(call)

    async def finish(self, handle: str) -> Any:
        return await ended(self.started.pop(handle))

    async def abandon(self, handle: str) -> None:
        self.started.pop(handle).cancel()

    async def received(self) -> list[dict[str, Any]]:
        return self.record.calls

    async def forget(self) -> None:
        self.record.calls.clear()

    async def close(self) -> None:
        for call in self.started.values():
            call.cancel()
        self.started.clear()
        if self.client is not None:
            communicator, _ = self.client
            self.client = None
            await communicator.shutdown(CLOSE_TIME)


async def main() -> None:
    testee = Testee()
    commands = asyncio.StreamReader(limit=LINE_LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        command = json.loads(line)
        try:
            answer: Any = {"ok": await getattr(testee, command.pop("do"))(**command)}
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
