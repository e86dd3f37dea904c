"""The runtime and generated code of every feature: mypy and pyright have nothing to say."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

import pytest
from conftest import ROOT, tce

PACKAGE = ROOT / "runtimes/python"
GOLDEN = ROOT / "tce-codegen/tests/golden"

PACKAGES = {
    "golden": GOLDEN,
    "golden_blocking": GOLDEN / "blocking",
    "golden_multi": GOLDEN / "multi_calls",
    "golden_tasks": GOLDEN / "tasks",
}

# What the pages of the guide presuppose.
GUIDE = """
from typing import Any

import tce
from golden.test import ServerPrx
from typed_program import ServerImpl, TerminalImpl as ListenerImpl

CALLS: Any
show: Any

async def fetch_token() -> str:
    return ""

async def block(communicator: tce.Communicator, server: ServerPrx) -> None:
"""


def write_guide(folder: pathlib.Path) -> None:
    """Each block of Python in the guide and the READMEs, as a module."""
    pages = [ROOT / "README.md", PACKAGE / "README.md", *(ROOT / "docs").rglob("*.md")]
    count = 0
    for page in pages:
        for code in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M):
            count += 1
            code = code.replace("from gen.", "from golden.")
            if "asyncio.run(" not in code:
                code = GUIDE + textwrap.indent(code, "    ")
            (folder / f"guide_{count}_{page.parent.name}.py").write_text(code)
    assert count >= 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The recorded code as packages, and programs that use it."""
    folder = tmp_path_factory.mktemp("typing")
    for name, source in PACKAGES.items():
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
        for path in source.glob("*.py"):
            shutil.copy(path, folder / name)
    # The guide has its clients of tasks.
    math = str(ROOT / "examples/tasks/idl/math.idl")
    tce("compile", "-l", "python", "--tasks", "-i", math, "-o", str(folder / "golden"))
    shutil.copy(PACKAGE / "tests/typed_program.py", folder)
    shutil.copy(PACKAGE / "tests/typed_blocking_program.py", folder)
    write_guide(folder)
    return folder


def check(*command: str, cwd: pathlib.Path, **env: str) -> None:
    import os

    result = subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_mypy_has_nothing_to_say(folder: pathlib.Path) -> None:
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache")]
    check(*mypy, "src", cwd=PACKAGE)
    source = f"{PACKAGE / 'src'}:{PACKAGE / 'kael/src'}"
    for version in ("3.10", f"{sys.version_info.major}.{sys.version_info.minor}"):
        check(*mypy, "--python-version", version, ".", cwd=folder, MYPYPATH=source)


def test_pyright_has_nothing_to_say(folder: pathlib.Path) -> None:
    settings = {
        "typeCheckingMode": "strict",
        "pythonVersion": "3.10",
        # They have names that nothing uses, and `Any` for what is the program's.
        "exclude": ["guide_*.py"],
        "extraPaths": [str(PACKAGE / "src")],
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    pyright = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
    check(*pyright, "-p", str(PACKAGE), cwd=PACKAGE)
    check(*pyright, "-p", str(folder), cwd=folder)


def test_each_module_can_be_imported_first(folder: pathlib.Path) -> None:
    modules = [
        f"{name}.{path.stem}"
        for name in PACKAGES
        for path in (folder / name).glob("*.py")
        if path.stem != "__init__"
    ]
    assert len(modules) > 50
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    for known in [it for it in sys.modules if it.startswith('golden')]:\n"
        "        del sys.modules[known]\n"
        "    module = importlib.import_module(name)\n"
        "    for exported in getattr(module, '__all__', []):\n"
        "        getattr(module, exported)\n"
    )
    check(
        sys.executable, "-W", "error", "-c", program, *modules,
        cwd=folder, PYTHONPATH=str(PACKAGE / "src"),
    )  # fmt: skip
