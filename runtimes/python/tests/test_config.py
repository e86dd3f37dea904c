"""`config.yml`: the files with which the Rust runtime is tested, and its messages."""

from __future__ import annotations

import pathlib
import re

import pytest
import tce
from conftest import ROOT
from tce import ConfigError, MqConfig

FILES = ROOT / "tce-runtime/tests/mq_config"
BROKEN = sorted((FILES / "broken").glob("*.yml"))


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_mistakes_have_the_lines_and_the_words_of_the_rust_runtime(path: pathlib.Path) -> None:
    with pytest.raises(ConfigError) as raised:
        MqConfig.parse(path.read_text(), "config.yml", "server")
    expected = path.with_suffix(".txt").read_text()
    found = f"{raised.value}\n"
    if "this is not valid YAML" in expected:
        # The words are those of the YAML library, and where it notices an open quotation.
        pattern = r"config.yml:\d+: this is not valid YAML: [^;]*"
        expected, found = re.sub(pattern, "", expected), re.sub(pattern, "", found)
    assert found == expected


def test_files_written_for_tce_are_read() -> None:
    assert len(BROKEN) >= 20
    config = MqConfig.load(str(FILES / "cluster.yml"), "client")
    modes = [(it.name, it.reads, it.writes) for it in config.endpoints]
    assert modes == [("mq_gateway", True, False), ("mq_server", False, True)]
    assert config.pairs == (("mq_server", "mq_gateway"),)
    assert config.endpoints[0].address == tce._address.Address("mq_gateway", "", False, True, True)


def test_a_file_that_is_missing_or_too_large_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="none.yml: the file can't be read"):
        MqConfig.load(str(tmp_path / "none.yml"), "server")
    path = tmp_path / "large.yml"
    path.write_text("#" * (1 << 20) + "\n")
    with pytest.raises(ConfigError, match="more than 1048576 bytes"):
        MqConfig.load(str(path), "server")
    path.write_bytes(b"a:\n  \xff")
    with pytest.raises(ConfigError, match=r"large.yml:2: this is not UTF-8"):
        MqConfig.load(str(path), "server")


def test_aliases_cannot_multiply() -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError, match="more than 100000 values"):
        MqConfig.parse("\n".join(lines), "config.yml", "a")
    with pytest.raises(ConfigError, match="nest deeper|not valid YAML"):
        MqConfig.parse("a: " + "[" * 5000, "config.yml", "a")
