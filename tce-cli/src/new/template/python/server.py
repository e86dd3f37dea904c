"""The server: runs until Ctrl-C or SIGTERM."""

import asyncio
import sys

import tce

from servants import GreeterImpl

ENDPOINT = "tcp://localhost:12002"


async def main() -> None:
    communicator = tce.Communicator()
    endpoint = sys.argv[1] if len(sys.argv) > 1 else ENDPOINT
    adapter = await communicator.listen(endpoint, GreeterImpl())
    print(f"listening on {adapter.endpoint}", flush=True)
    # On shutdown, calls in flight have 10 s to end.
    await communicator.wait_for_shutdown(10.0)


asyncio.run(main())
