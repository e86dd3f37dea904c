"""Names that an IDL declares and that Python or generated code uses: all of them work."""

from __future__ import annotations

import builtins
import importlib
import keyword
import pathlib
import re
import subprocess
import sys

import pytest
import tce.codegen
from conftest import ROOT, generate
from tce import BlockingProxy, MultiProxy, Proxy, Servant

# What generated classes derive from; all others are values.
RUNTIME_CLASSES = (Proxy, BlockingProxy, MultiProxy, Servant)

# Words of the IDL, which no declaration can have as its name.
IDL_WORDS = set(
    "import module struct interface extends sequence dictionary byte bool short int long "
    "float double string void".split()
)


def names() -> list[str]:
    found = {*keyword.kwlist, *keyword.softkwlist, *dir(builtins), *dir(tce.codegen), "_rt"}
    for class_ in (*RUNTIME_CLASSES, object, type):
        found.update(dir(class_))
    found.update("self ctx timeout extra callback cookie on_error name value operation".split())
    for path in (ROOT / "tce-codegen/tests/golden").glob("**/test.py"):
        found.update(re.findall(r"\b[A-Za-z_]\w*\b", path.read_text()))
    return sorted(it for it in found if re.fullmatch(r"[A-Za-z_]\w*", it) and it not in IDL_WORDS)


def idl(names: list[str]) -> str:
    """Each name as a type, a member, an operation, a parameter and a module."""

    def each(line: str) -> str:
        return "\n".join(line.replace("NAME", name) for name in names)

    modules = each(
        "module NAME { struct Item { int NAME; }; interface Root { Item get(Item item); }; }\n"
        "module uses_NAME { interface Leaf extends NAME::Root { NAME::Item NAME(NAME::Item NAME); }; }"
    )
    return f"""
module structs {{ {each("struct NAME { int NAME; string text_member; };")}
    struct Members_ {{ {each("NAME NAME;")} }};
    interface Operations_ {{ {each("NAME NAME(NAME NAME, string text_argument);")} }};
    interface Oneway_ {{ {each("void NAME(NAME NAME);")} }};
}}
module sequences {{ {each("sequence<string> NAME;")}
    struct Members_ {{ {each("NAME NAME;")} }};
    interface Operations_ {{ {each("NAME NAME(NAME NAME);")} }};
}}
module interfaces {{ interface Base_ {{ void base_(); }};
    {each("interface NAME extends Base_ { string NAME(string NAME); };")}
}}
{modules}
"""


@pytest.mark.parametrize("api", ["asyncio", "blocking"])
def test_no_name_of_an_idl_breaks_generated_code(
    api: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = names()
    assert {"list", "class", "print", "_rt", "Proxy", "__init__", "conn", "T"} & set(found)
    assert len(found) > 250
    path = tmp_path / "names.idl"
    path.write_text(idl(found))
    package = f"names_{api}"
    generate(tmp_path / package, api, path)
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = sorted(it.stem for it in (tmp_path / package).glob("*.py"))
    assert len(modules) > 2 * len(found)
    for name in modules:
        if name == "__init__":
            continue
        module = importlib.import_module(f"{package}.{name}")
        for exported in module.__all__:
            item = getattr(module, exported)
            if isinstance(item, type) and not issubclass(item, RUNTIME_CLASSES):
                assert item() == item()
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache")]
    result = subprocess.run(
        [*command, "-p", package], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={"MYPYPATH": f"{ROOT / 'runtimes/python/src'}:{tmp_path}", "PATH": ""},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-9000:] + result.stderr
