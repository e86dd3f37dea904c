"""The process that carries tasks between this program and RabbitMQ.

`tce task serve` has the topology, the records and the states of tasks; a second implementation of
them would have to change with each of them. It serves this program alone, at a port of the local
host that asks for a random key, and ends with this program, however that ends: what this program
had taken then runs elsewhere at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets

from .._errors import ErrorCode, RpcError

_START_TIME = 30.0
"""How long the process may take to reach the broker and listen, in seconds."""
_END_TIME = 10.0
"""How long it may take to end, in seconds."""
_PAUSE = 1.0
"""The pause before it is started again, in seconds."""
_LISTENING = "listening on "

_log = logging.getLogger(__name__)


class QueueProcess:
    """`tce task serve` as a child, which is started again when it ends."""

    def __init__(self, command: str, uri: str, store: str | None) -> None:
        self._command = command
        # Not arguments, which every user of the machine can read.
        self._environment = {**os.environ, "TCE_TASKS": uri}
        self._environment.pop("TCE_TASKS_STORE", None)
        if store is not None:
            self._environment["TCE_TASKS_STORE"] = store
        self.key = secrets.token_hex(16)
        """What the extra of each call must have as `key`."""
        self.endpoint = "tcp://127.0.0.1:0"
        """Where it listens, once it has started."""
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises `RpcError` with CONNECT_FAILED if it does not start, or does not reach the broker."""
        process = await self._start()
        self._watching = asyncio.create_task(self._watch(process))

    async def _start(self) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                self._command, "task", "serve", self.endpoint, "--child",
                env=self._environment, stdin=pipe, stdout=pipe, stderr=pipe,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            text = f"can't start `{self._command}`, which carries tasks to RabbitMQ: {error}"
            raise RpcError(ErrorCode.CONNECT_FAILED, text) from error
        self._process = process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(f"{self.key}\n".encode())
        try:
            line = await asyncio.wait_for(process.stdout.readline(), _START_TIME)
        except asyncio.TimeoutError:
            line = b""
        text = line.decode(errors="replace").strip()
        if not text.startswith(_LISTENING):
            raise RpcError(ErrorCode.CONNECT_FAILED, await self._failure(process))
        self.endpoint = text.removeprefix(_LISTENING)
        return process

    async def _failure(self, process: asyncio.subprocess.Process) -> str:
        """Ends a process that does not listen; returns what it has said."""
        if process.returncode is None:
            process.terminate()
        assert process.stdin is not None and process.stderr is not None
        process.stdin.close()
        try:
            said = await asyncio.wait_for(process.stderr.read(), _END_TIME)
        except asyncio.TimeoutError:
            process.kill()
            said = b""
        await process.wait()
        text = said.decode(errors="replace").strip().removeprefix("error: ")
        return text or f"`{self._command} task serve` did not listen within {_START_TIME:g} s"

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Passes its log on, and starts it again when it ends."""
        while True:
            assert process.stderr is not None
            async for line in process.stderr:
                _log.warning("%s", line.decode(errors="replace").rstrip())
            status = await process.wait()
            _log.warning("`%s task serve` ended with the status %s", self._command, status)
            while True:
                await asyncio.sleep(_PAUSE)
                try:
                    process = await self._start()
                    break
                except RpcError as error:
                    _log.warning("%s", error)

    async def stop(self) -> None:
        """Ends it."""
        if self._watching is not None:
            self._watching.cancel()
        process = self._process
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _END_TIME)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
