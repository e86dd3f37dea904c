"""Server and client in one process: python -m unittest discover tests"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import tce

from gen.{{module}} import GreeterPrx
from servants import GreeterImpl


class CallsTest(unittest.IsolatedAsyncioTestCase):
    async def test_greet_needs_a_name(self) -> None:
        async with tce.Communicator() as communicator:
            # Port 0 selects a free port.
            adapter = await communicator.listen("tcp://127.0.0.1:0", GreeterImpl())
            greeter = await GreeterPrx.connect(communicator, str(adapter.endpoint))
            self.assertEqual(await greeter.greet("Ann"), "Hello, Ann!")
            with self.assertRaises(tce.RpcError):
                await greeter.greet("")


if __name__ == "__main__":
    unittest.main()
