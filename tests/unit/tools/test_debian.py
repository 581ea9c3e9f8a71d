from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from toolbox import cache, install
from toolbox.errors import ToolError
from toolbox.settings import DebianPackage, Tool
from toolbox.sources import debian

MakeProgram = Callable[[str, str], Path]
MakeTool = Callable[..., Tool]


@pytest.fixture(autouse=True)
def apt(program: MakeProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An apt that offers debian-greeter 1.7.0, and logs what it is asked; the system has package lists."""
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "bookworm_main_Packages.lz4").touch()
    monkeypatch.setattr(debian, "SYSTEM_LISTS", lists)
    log = f'echo "$0 $@" >> {tmp_path}/apt.log'
    once_gone = f"[ -e {tmp_path}/gone ] && /bin/rm {tmp_path}/gone && exit 100"
    program("apt-cache", f'{log}; echo "  Candidate: 1.7.0+ds-2"')
    program("apt-get", f'{log}; {once_gone}; case "$*" in *" update") ;; *) echo > greeter.deb ;; esac')
    script = "printf '#!/bin/sh\\necho greeter 1.7.0\\n'"
    bin_folder, file = '"$3/usr/bin"', '"$3/usr/bin/debian-greeter"'
    program("dpkg-deb", f"/bin/mkdir -p {bin_folder}; {script} > {file}; /bin/chmod 755 {file}")


def test_a_package_is_unpacked_under_the_upstream_name(tool: MakeTool, debian_package: DebianPackage) -> None:
    install.ensure(tool(debian=debian_package))
    assert cache.current(tool()) == cache.Installed(version="1.7.0", source="Debian", stamps={})


def test_nothing_is_ever_installed(tool: MakeTool, debian_package: DebianPackage, tmp_path: Path) -> None:
    install.ensure(tool(debian=debian_package))
    log = (tmp_path / "apt.log").read_text()
    assert " download " in log
    assert " install " not in log


def test_a_candidate_that_is_too_old_is_refused(
    tool: MakeTool, debian_package: DebianPackage, program: MakeProgram
) -> None:
    program("apt-cache", "echo '  Candidate: 1:1.4.2-1'")
    with pytest.raises(ToolError, match=r"Debian: package debian-greeter is version 1:1.4.2-1"):
        install.ensure(tool(debian=debian_package))


def test_a_package_nobody_offers_is_refused(
    tool: MakeTool, debian_package: DebianPackage, program: MakeProgram
) -> None:
    program("apt-cache", "echo '  Candidate: (none)'")
    with pytest.raises(ToolError, match="Debian: no package debian-greeter on offer"):
        install.ensure(tool(debian=debian_package))


def test_the_systems_lists_are_used_as_they_are(tool: MakeTool, debian_package: DebianPackage, tmp_path: Path) -> None:
    install.ensure(tool(debian=debian_package))
    assert " update" not in (tmp_path / "apt.log").read_text()


def test_without_package_lists_private_ones_are_fetched(
    tool: MakeTool, debian_package: DebianPackage, tmp_path: Path
) -> None:
    (tmp_path / "lists" / "bookworm_main_Packages.lz4").unlink()
    install.ensure(tool(debian=debian_package))
    updates = [line for line in (tmp_path / "apt.log").read_text().splitlines() if line.endswith(" update")]
    assert len(updates) == 1
    assert f"Dir::State::Lists={tmp_path}/cache/apt/lists" in updates[0]


def test_lists_that_name_what_is_gone_are_fetched_anew(
    tool: MakeTool, debian_package: DebianPackage, tmp_path: Path
) -> None:
    (tmp_path / "gone").touch()
    install.ensure(tool(debian=debian_package))
    assert " update" in (tmp_path / "apt.log").read_text()


def test_another_system_than_debian_passes_on(tool: MakeTool, debian_package: DebianPackage, tmp_path: Path) -> None:
    (tmp_path / "bin" / "apt-get").unlink()
    with pytest.raises(ToolError, match="Debian: not a Debian system"):
        install.ensure(tool(debian=debian_package))


def test_a_program_finds_the_libraries_of_the_packages_beside_it(tool: MakeTool, tmp_path: Path) -> None:
    package = DebianPackage(
        package="debian-greeter",
        names={"greeter": "debian-greeter"},
        also=("libgreeting",),
        environment={"GREETINGS": "{libraries}/greetings"},
    )
    install.ensure(tool(debian=package))
    assert "download debian-greeter libgreeting" in (tmp_path / "apt.log").read_text()
    script = (cache.bin_folder(tool()) / "greeter").read_text()
    assert "LD_LIBRARY_PATH=" in script
    assert f'GREETINGS="$home/root/usr/lib/{platform.machine()}-linux-gnu/greetings"' in script


def test_a_name_with_a_slash_is_a_path_below_usr(tool: MakeTool) -> None:
    install.ensure(tool(debian=DebianPackage(package="debian-greeter", names={"greeter": "bin/debian-greeter"})))
    assert cache.current(tool()) is not None
