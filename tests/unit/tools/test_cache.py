from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from toolbox import cache, install
from toolbox.errors import ToolError
from toolbox.settings import Tool

MakeProgram = Callable[[str, str], Path]
MakeTool = Callable[..., Tool]


def test_root_shares_a_cache_that_other_accounts_can_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODELYARD_CACHE")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert cache.root() == Path("/var/cache/modelyard")


def test_others_have_their_own_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODELYARD_CACHE")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/ada/caches")
    assert cache.root() == Path("/home/ada/caches/modelyard")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache.root() == Path("/home/ada/.cache/modelyard")


def test_every_folder_down_to_a_program_is_traversable(tool: MakeTool, program: MakeProgram) -> None:
    program("greeter", "echo greeter 2.0.0")
    install.ensure(tool())
    folders = [cache.bin_folder(tool()), cache.folder(tool()), cache.root() / "greeter"]
    assert all(folder.stat().st_mode & 0o055 == 0o055 for folder in folders)


def test_a_folder_without_its_record_does_not_count(tool: MakeTool, program: MakeProgram) -> None:
    program("greeter", "echo greeter 2.0.0")
    install.ensure(tool())
    (cache.folder(tool()) / cache.RECORD).unlink()
    assert cache.current(tool()) is None


def test_a_folder_whose_program_is_gone_does_not_count(tool: MakeTool, program: MakeProgram) -> None:
    found = program("greeter", "echo greeter 2.0.0")
    install.ensure(tool())
    found.unlink()
    assert cache.current(tool()) is None


def test_a_cache_that_cannot_be_written_says_which_setting_helps(
    tool: MakeTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MODELYARD_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ToolError, match="set MODELYARD_CACHE to a folder you may write to"):
        install.ensure(tool())
