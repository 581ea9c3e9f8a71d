from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from toolbox import cache, install
from toolbox.errors import ToolError
from toolbox.settings import DebianPackage, Tool

MakeProgram = Callable[[str, str], Path]
MakeTool = Callable[..., Tool]


def test_a_good_version_on_path_is_linked(tool: MakeTool, program: MakeProgram) -> None:
    found = program("greeter", "echo greeter 1.6.0")
    install.ensure(tool())
    assert (cache.bin_folder(tool()) / "greeter").readlink() == found


def test_a_version_on_path_that_is_too_old_is_refused(tool: MakeTool, program: MakeProgram) -> None:
    found = program("greeter", "echo greeter 1.4.9")
    with pytest.raises(ToolError, match=f"PATH: {found} is version 1.4.9"):
        install.ensure(tool())


def test_another_major_version_on_path_is_refused(tool: MakeTool, program: MakeProgram) -> None:
    program("greeter", "echo greeter 3.0.0")
    with pytest.raises(ToolError, match=r"1\.5\.0 or newer, below 3"):
        install.ensure(tool(same_major=True))


def test_every_program_of_a_tool_must_be_there(tool: MakeTool, program: MakeProgram) -> None:
    found = program("greeter", "echo greeter 2.0.0")
    with pytest.raises(ToolError, match=f"{found} is there, greeter-host is not"):
        install.ensure(tool(programs=("greeter", "greeter-host")))


def test_a_program_beside_the_linked_first_one_is_found(tool: MakeTool, program: MakeProgram, tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    program("greeter", "echo greeter 2.0.0").rename(tmp_path / "opt" / "greeter")
    program("greeter-host", "").rename(tmp_path / "opt" / "greeter-host")
    (tmp_path / "bin" / "greeter").symlink_to(tmp_path / "opt" / "greeter")
    install.ensure(tool(programs=("greeter", "greeter-host")))
    assert (cache.bin_folder(tool()) / "greeter-host").readlink() == tmp_path / "opt" / "greeter-host"


def test_debians_name_on_path_is_known(tool: MakeTool, program: MakeProgram, debian_package: DebianPackage) -> None:
    program("debian-greeter", "echo greeter 2.0.0")
    install.ensure(tool(debian=debian_package))
    assert (cache.bin_folder(tool()) / "greeter").exists()


def test_the_cache_itself_on_path_does_not_count(
    tool: MakeTool, program: MakeProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("greeter", "echo greeter 2.0.0")
    install.ensure(tool())
    monkeypatch.setenv("PATH", str(cache.bin_folder(tool())))
    with pytest.raises(ToolError, match="PATH: no greeter"):
        install.ensure(tool(version="2.0.1"))


def test_an_upgrade_of_a_linked_program_is_looked_at_again(tool: MakeTool, program: MakeProgram) -> None:
    program("greeter", "echo greeter 2.0.0")
    install.ensure(tool(same_major=True))
    program("greeter", "echo greeter 3.0.0 and more")
    with pytest.raises(ToolError, match=r"is version 3\.0\.0"):
        install.ensure(tool(same_major=True))
