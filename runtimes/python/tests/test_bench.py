"""The benchmark runs; its figures need a quiet machine, and no test asserts them."""

from __future__ import annotations

import subprocess
import sys

from conftest import ROOT


def test_the_benchmark_runs() -> None:
    command = [sys.executable, "bench/grpc_aio.py", "--quick"]
    result = subprocess.run(
        command, cwd=ROOT / "runtimes/python", capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("in flight, calls/s") == 2
