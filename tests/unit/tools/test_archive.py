from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from toolbox import cache, install
from toolbox.errors import Alarm, ToolError, Unavailable
from toolbox.settings import GoModule, ReleaseArchive, Tool, load
from toolbox.sources import archive as source

MakeTool = Callable[..., Tool]
At = Callable[[str], ReleaseArchive]
Release = Callable[..., Path]


def test_an_archive_with_its_published_checksum_is_unpacked(
    tool: MakeTool, archive: At, release: Release, server: str
) -> None:
    release()
    install.ensure(tool(archive=archive(server)))
    assert cache.current(tool()) == cache.Installed(version="2.0.0", source="release archive", stamps={})


def test_a_wrong_checksum_is_an_alarm(tool: MakeTool, archive: At, release: Release, server: str) -> None:
    release(checksum="ab" * 32)
    with pytest.raises(Alarm, match=f"greeter 2.0.0: {server}/.* but .*/sums.txt says (ab){{32}}"):
        install.ensure(tool(archive=archive(server)))
    assert list((cache.root() / "greeter").glob("*")) == [cache.root() / "greeter" / ".lock"]


def test_after_a_wrong_checksum_no_other_source_is_tried(
    tool: MakeTool, archive: At, release: Release, server: str, go: Callable[..., Path], go_module: GoModule
) -> None:
    go()
    release(checksum="ab" * 32)
    with pytest.raises(Alarm):
        install.ensure(tool(archive=archive(server), go=go_module))
    assert not (cache.root() / "builds").exists()


@pytest.mark.parametrize("member", ["../../../../greeter", "/tmp/greeter-of-a-test", "inside/../../../greeter"])
def test_an_archive_that_reaches_outside_its_folder_is_an_alarm(
    tool: MakeTool, archive: At, release: Release, server: str, tmp_path: Path, member: str
) -> None:
    release(member=member)
    with pytest.raises(Alarm, match="refused although its checksum is the published one"):
        install.ensure(tool(archive=archive(server)))
    assert not [file for file in tmp_path.rglob("greeter") if file.is_file()]
    assert not Path("/tmp/greeter-of-a-test").exists()


def test_links_in_an_archive_are_left_out(tool: MakeTool, archive: At, release: Release, server: str) -> None:
    release(link_to="/etc")
    install.ensure(tool(archive=archive(server)))
    assert [path.name for path in (cache.folder(tool()) / "root").rglob("*")] == ["greeter-2.0.0", "greeter"]


def test_a_mirror_folder_replaces_the_official_addresses(
    tool: MakeTool, archive: At, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_TOOLS_MIRROR", str(release()))
    install.ensure(tool(archive=archive("http://127.0.0.1:9")))
    assert cache.current(tool())


def test_a_mirror_url_replaces_the_official_addresses(
    tool: MakeTool, archive: At, release: Release, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    release()
    monkeypatch.setenv("MODELYARD_TOOLS_MIRROR", f"{server}/")
    install.ensure(tool(archive=archive("http://127.0.0.1:9")))
    assert cache.current(tool())


def test_what_a_mirror_lacks_is_not_asked_of_the_official_address(
    tool: MakeTool, archive: At, release: Release, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release()
    monkeypatch.setenv("MODELYARD_TOOLS_MIRROR", str(tmp_path / "empty"))
    with pytest.raises(ToolError, match=r"release archive: .*/empty/greeter/2.0.0/sums.txt: No such file"):
        install.ensure(tool(archive=archive(server)))


def test_an_archive_without_a_published_checksum_is_not_used(
    tool: MakeTool, archive: At, release: Release, server: str
) -> None:
    (release() / "greeter" / "2.0.0" / "sums.txt").write_text("<html>log in first</html>\n")
    with pytest.raises(ToolError, match=r"sums.txt has no checksum for greeter.tar.gz"):
        install.ensure(tool(archive=archive(server)))


def test_a_missing_release_is_named(tool: MakeTool, archive: At, server: str) -> None:
    with pytest.raises(ToolError, match=f"{server}/greeter/2.0.0/sums.txt answered 404"):
        install.ensure(tool(archive=archive(server)))


def test_an_archive_whose_program_does_not_run_is_refused(
    tool: MakeTool, archive: At, release: Release, server: str
) -> None:
    release(says="segmentation fault")
    with pytest.raises(ToolError, match="names no version: 'segmentation fault'"):
        install.ensure(tool(archive=archive(server)))


@pytest.mark.parametrize("line", ["{sum}  {name}", "{sum} *{name}", "{sum}  ./{name}"])
def test_checksum_files_come_in_several_styles(line: str) -> None:
    text = line.format(sum="CD" * 32, name="greeter.tar.gz")
    assert source.published_checksum(text, "greeter.tar.gz", "sums.txt") == "cd" * 32


def test_addresses_follow_each_publishers_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    files = [source.addresses(tool, tool.archive)[0].rpartition("/")[2] for tool in load().values() if tool.archive]
    assert files[:3] == [
        "pulumi-v3.259.0-linux-x64.tar.gz",
        "versitygw_v1.0.14_Linux_x86_64.tar.gz",
        "prometheus-3.13.5.linux-amd64.tar.gz",
    ]


def test_an_architecture_nobody_publishes_for_is_named(
    tool: MakeTool, archive: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "sparc64")
    with pytest.raises(Unavailable, match=r"nothing is published for .* on sparc64"):
        source.addresses(tool(), archive("http://127.0.0.1:9"))
