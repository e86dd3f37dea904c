"""A program of the asyncio API, for type checkers."""

import asyncio

import tce
from golden.test import ITerminal, ITerminalPrx, Server, ServerPrx
from golden.zoo import Family, KeeperPrx, Pet


class ServerImpl(Server):
    async def datetime(self, ctx: tce.Context) -> str:
        return ctx.user_id or "nobody"

    async def echo(self, text: str, ctx: tce.Context) -> str:
        return text

    async def timeout(self, secs: int, ctx: tce.Context) -> None:
        await asyncio.sleep(secs)

    async def heartbeat(self, hello: str, ctx: tce.Context) -> None:
        print(hello)

    async def bidirection(self, ctx: tce.Context) -> None:
        await ITerminalPrx.to_caller(ctx).onMessage_oneway("pushed")


class TerminalImpl(ITerminal):
    async def onMessage(self, message: str, ctx: tce.Context) -> None:
        print(message)


async def main() -> None:
    async with tce.Communicator(tce.Options(token="scott")) as communicator:
        adapter = await communicator.listen("tcp://localhost:0", ServerImpl())
        server = await ServerPrx.connect(communicator, str(adapter.endpoint))
        text: str = await server.echo("hello", timeout=1.0, extra={"name": "scott.bo"})
        pending: tce.Pending[str] = server.with_timeout(3.0).echo_async("pingpang")
        print(text, await pending, pending.extra)
        server.connection.add_servant(TerminalImpl())
        await server.bidirection()
        keeper = KeeperPrx(server.connection)
        try:
            family: Family = await keeper.roundtrip(Family("a", [Pet("b", tags=["c"])]))
            print(family.pets[0].tags[0].upper(), family.named["b"].blob[0])
        except tce.RpcError as error:
            print(error.code, error.can_retry)


asyncio.run(main())
