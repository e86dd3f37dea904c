"""The servants of the tests."""

from __future__ import annotations

import asyncio

import tce
from gen.test import ITerminal, ITerminalPrx, Server


class ServerImpl(Server):
    """Keeps what it was called with."""

    def __init__(self) -> None:
        self.extras: list[dict[str, str]] = []
        self.heartbeats: list[str] = []

    async def datetime(self, ctx: tce.Context) -> str:
        return "today"

    async def echo(self, text: str, ctx: tce.Context) -> str:
        self.extras.append(ctx.extra)
        ctx.return_extra("echoed", str(len(text)))
        if text == "fault":
            raise tce.Fault("säid no", 4711)
        if text == "bug":
            raise KeyError("a secret of the server")
        return text

    async def timeout(self, secs: int, ctx: tce.Context) -> None:
        await asyncio.sleep(secs)

    async def heartbeat(self, hello: str, ctx: tce.Context) -> None:
        self.heartbeats.append(hello)

    async def bidirection(self, ctx: tce.Context) -> None:
        await ITerminalPrx.to_caller(ctx).onMessage("server push message!", timeout=5)


class TerminalImpl(ITerminal):
    """Keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    async def onMessage(self, message: str, ctx: tce.Context) -> None:
        self.messages.append(message)
