"""The commands of the tutorial, run as it says, print what it says."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sysconfig

from conftest import ROOT, TARGET, free_port

TUTORIAL = ROOT / "docs/python/README.md"


def transcripts(text: str) -> list[tuple[str, str]]:
    """Each command and what it prints."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", text, re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def test_every_command_prints_what_the_tutorial_says(tmp_path: pathlib.Path) -> None:
    text = TUTORIAL.read_text().replace("12002", str(free_port()))
    commands = transcripts(text)
    assert len(commands) >= 9
    # The builder comes from the lock of the tests, not from an index.
    installs = "pip install --no-build-isolation --no-index"
    script = "trap 'kill $(jobs -p) 2>/dev/null' EXIT\n"
    for number, (command, _) in enumerate(commands):
        command = command.replace("pip install", installs)
        script += f"echo '==={number}'\n{command}\n"
    env = {
        **os.environ,
        "PATH": f"{TARGET}:{os.environ['PATH']}",
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PYTHONUNBUFFERED": "1",
    }
    result = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=env, text=True, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    printed = re.split(r"^===\d+\n", result.stdout, flags=re.M)[1:]
    assert len(printed) == len(commands), result.stdout
    for (command, expected), found in zip(commands, printed):
        assert found.strip() == expected.strip(), command
