"""The client: calls the server, which calls it back."""

import asyncio
import sys

import tce

from gen.{{module}} import GreeterPrx, Listener

ENDPOINT = "tcp://localhost:12002"


class ListenerImpl(Listener):
    async def greeted(self, name: str, ctx: tce.Context) -> None:
        print(f"{name} was greeted")


async def main() -> None:
    endpoint = sys.argv[1] if len(sys.argv) > 1 else ENDPOINT
    async with tce.Communicator() as communicator:
        greeter = await GreeterPrx.connect(communicator, endpoint)
        # The server calls back on the same connection.
        greeter.connection.add_servant(ListenerImpl())
        await greeter.listen()
        print(await greeter.greet("Ann"))


asyncio.run(main())
