"""Users of the example `sendmessage` in Python, who do what `storm.test.ts` writes to them.

Arguments: the endpoint of the gateway, and how many users there are, `python0` and so on.
A line of standard input is a command; each is answered by a line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import tce
from gen.sendmessage import IMessageServerPrx, ITerminal


class Terminal(ITerminal):
    def __init__(self) -> None:
        self.got: list[str] = []

    async def onMessage(self, from_: str, message: str, ctx: tce.Context) -> None:
        self.got.append(f"{from_}: {message}")

    async def onUser(self, *arguments: Any) -> None:
        pass


class User:
    def __init__(self, name: str) -> None:
        self.communicator = tce.Communicator(tce.Options(token=name))
        self.terminal = Terminal()
        self.states: list[str] = []
        self._chat: asyncio.Task[None] | None = None

    async def log_in(self, endpoint: str) -> None:
        self.server = await IMessageServerPrx.connect(self.communicator, endpoint)
        self.server.connection.add_servant(self.terminal)
        await self.server.login()

    async def send(self, to: str, text: str) -> None:
        """Again while its receiver is not on line."""
        for _ in range(500):
            try:
                return await self.server.sendMessage(to, text)
            except tce.RpcError as error:
                failed = error
            await asyncio.sleep(0.02)
        raise failed

    async def _chatter(self, to: str) -> None:
        number = 0
        while True:
            try:
                await self.server.sendMessage(to, str(number))
            except tce.RpcError:
                pass  # Whether it has arrived is unknown: it is not sent again.
            number += 1
            await asyncio.sleep(0.2)

    async def chatter(self, to: str) -> None:
        self._chat = asyncio.create_task(self._chatter(to))

    async def quiet(self, _: str) -> None:
        if self._chat is not None:
            self._chat.cancel()


async def main() -> None:
    loop = asyncio.get_running_loop()
    users = [User(f"python{number}") for number in range(int(sys.argv[2]))]
    await asyncio.gather(*(user.log_in(sys.argv[1]) for user in users))
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = line.strip()
        answer: object = "done"
        if command == "connected":
            answer = sum(user.server.connection.is_connected for user in users)
        elif command == "got":
            answer = [user.terminal.got for user in users]
        else:
            calls = []
            for number, user in enumerate(users):
                to = f"page{number}"
                act = {"chatter": user.chatter, "quiet": user.quiet}.get(command)
                calls.append(user.send(to, "hello") if act is None else act(to))
            await asyncio.gather(*calls)
        print(f"{command} {json.dumps(answer)}", flush=True)


asyncio.run(main())
