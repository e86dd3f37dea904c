"""The package builds, and holds what it has to."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tarfile
import zipfile

from conftest import ROOT

PACKAGE = ROOT / "runtimes/python"


def test_wheel_and_sdist_build(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path)]
    result = subprocess.run([*command, str(PACKAGE)], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"tce/__init__.py", "tce/codegen.py", "tce/py.typed"} <= set(names)
    assert not any("test" in name for name in names), names
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("/src/tce/py.typed") for name in archive.getnames())


def test_the_package_needs_nothing_for_sockets() -> None:
    program = (
        "import sys\n"
        "for name in ('websockets', 'aio_pika', 'yaml', 'typing_extensions'):\n"
        "    sys.modules[name] = None\n"
        "import asyncio, tce, tce.codegen\n"
        "from tce import MqConfig, RpcError\n"
        "async def main():\n"
        "    communicator = tce.Communicator()\n"
        "    adapter = await communicator.listen('tcp://127.0.0.1:0')\n"
        "    connection = await communicator.connect(str(adapter.endpoint))\n"
        "    await connection.ping()\n"
        "    for call in (communicator.connect('ws://localhost:1'),\n"
        "                 communicator.open_mq(MqConfig())):\n"
        "        try:\n"
        "            await call\n"
        "        except RpcError as error:\n"
        "            print(error.text)\n"
        "    await communicator.shutdown(0)\n"
        "asyncio.run(main())\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=PACKAGE / "src", capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.stdout.splitlines() == [
        "WebSocket needs the package websockets: install tce[ws]",
        "message queues need the package aio-pika: install tce[mq]",
    ], result.stderr
