"""The servant: implements the interface of the server."""

import tce

from gen.{{module}} import Greeter, ListenerPrx


class GreeterImpl(Greeter):
    def __init__(self) -> None:
        self._listeners: list[ListenerPrx] = []

    async def greet(self, name: str, ctx: tce.Context) -> str:
        if not name:
            # The caller reads this; the text of any other exception stays in the server's log.
            raise tce.Fault("a greeting needs a name")
        for listener in list(self._listeners):
            if listener.connection.is_connected:
                await listener.greeted_oneway(name)
            else:
                self._listeners.remove(listener)
        return f"Hello, {name}!"

    async def listen(self, ctx: tce.Context) -> None:
        self._listeners.append(ListenerPrx.to_caller(ctx))
