from __future__ import annotations

import re
from pathlib import Path

import pytest

from toolbox import go_toolchain, settings, versions

TOOLS = settings.load().values()


def test_every_tool_of_a_platform_has_an_archive_and_another_source() -> None:
    tools = [tool for tool in TOOLS if tool.needed_by == "platform"]
    assert all(tool.archive and (tool.debian or tool.go) for tool in tools)


def test_every_tool_is_needed_by_somebody_and_comes_from_somewhere() -> None:
    assert {tool.needed_by for tool in TOOLS} == {"platform", "tests"}
    assert all(tool.debian or tool.go for tool in TOOLS)


def test_every_wanted_version_serves() -> None:
    assert all(tool.serves(tool.version) for tool in TOOLS)


def test_every_go_module_is_pinned_with_checksums() -> None:
    folders = [tool.go.folder for tool in TOOLS if tool.go]
    assert all((folder / "go.mod").exists() and (folder / "go.sum").exists() for folder in folders)


def test_the_go_wheel_is_new_enough_for_every_module() -> None:
    go_mods = [(tool.go.folder / "go.mod").read_text() for tool in TOOLS if tool.go]
    needed = [match[1] for text in go_mods if (match := re.search(r"^go (\S+)", text, re.MULTILINE))]
    assert all(versions.serves(go_toolchain.WHEEL_VERSION, minimum=version) for version in needed)


def test_own_files_exist() -> None:
    own = [tool.go.folder / name for tool in TOOLS if tool.go for name in tool.go.own_files.values()]
    assert own
    assert all(file.is_file() for file in own)


def test_a_misspelt_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tools.toml").write_text('[greeter]\nversoin = "1"\n')
    with pytest.raises(TypeError, match="versoin"):
        settings.load(tmp_path / "tools.toml")
