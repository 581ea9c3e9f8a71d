from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import get
import pytest

from toolbox import cache, settings
from toolbox.settings import GoModule, ReleaseArchive, Tool

MakeProgram = Callable[[str, str], Path]
MakeTool = Callable[..., Tool]


@pytest.fixture
def known(tool: MakeTool, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tool]:
    """tools.toml holds two tools, in this order."""
    command = {"programs": ("waver",), "version_command": ("waver", "--version"), "version_pattern": r"waver (\S+)"}
    tools = {"waver": tool(name="waver", **command), "greeter": tool()}
    monkeypatch.setattr(settings, "load", lambda: tools)
    return tools


@pytest.fixture
def on_path(program: MakeProgram) -> None:
    """Both tools are on PATH."""
    program("waver", "echo waver 2.0.0")
    program("greeter", "echo greeter 2.0.0")


@pytest.mark.usefixtures("on_path")
def test_the_path_fragment_has_the_order_of_the_settings(
    known: dict[str, Tool], capsys: pytest.CaptureFixture[str]
) -> None:
    assert get.main(["greeter", "waver"]) == 0
    assert get.main(["--path", "greeter", "waver"]) == 0
    assert capsys.readouterr().out == f"{cache.bin_folder(known['waver'])}:{cache.bin_folder(known['greeter'])}\n"


@pytest.mark.usefixtures("known", "on_path")
def test_the_path_fragment_names_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    get.main(["waver"])
    assert get.main(["--path"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("out of date: greeter. Run: python3 tools/get.py greeter\n")


@pytest.mark.usefixtures("known", "on_path")
def test_only_the_named_tools_are_got() -> None:
    assert get.main(["waver"]) == 0
    assert not (cache.root() / "greeter").exists()


@pytest.mark.usefixtures("known")
def test_an_unknown_name_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        get.main(["greter"])
    assert exit_.value.code == 2
    assert "no tool is called greter; there are waver, greeter" in capsys.readouterr().err


@pytest.mark.usefixtures("known")
def test_what_cannot_be_got_does_not_keep_the_rest_from_coming(
    program: MakeProgram, capsys: pytest.CaptureFixture[str]
) -> None:
    program("waver", "echo waver 2.0.0")
    assert get.main([]) == 1
    assert "greeter is not to be had here" in capsys.readouterr().err
    assert get.main(["--path", "waver"]) == 0


def test_a_wrong_checksum_fails_the_run(
    known: dict[str, Tool],
    tool: MakeTool,
    archive: Callable[[str], ReleaseArchive],
    release: Callable[..., Path],
    server: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    release(checksum="ab" * 32)
    known["greeter"] = tool(archive=archive(server))
    assert get.main(["greeter"]) == 1
    assert "other sources are not tried" in capsys.readouterr().err


def test_a_wrong_checksum_stops_what_else_is_under_way(
    known: dict[str, Tool],
    tool: MakeTool,
    archive: Callable[[str], ReleaseArchive],
    release: Callable[..., Path],
    server: str,
    go: Callable[..., Path],
    go_module: GoModule,
) -> None:
    go(seconds=30)
    release(checksum="ab" * 32)
    known["greeter"] = tool(archive=archive(server))
    known["waver"] = tool(name="waver", go=go_module)
    started = time.monotonic()
    assert get.main([]) == 1
    assert time.monotonic() - started < 10


@pytest.fixture
def for_tests(known: dict[str, Tool], tool: MakeTool, program: MakeProgram) -> None:
    """The greeter is only for tests, and the waver for everybody."""
    known["greeter"] = tool(needed_by="tests")
    program("waver", "echo waver 2.0.0")


@pytest.mark.usefixtures("for_tests")
def test_what_only_the_tests_need_is_not_got_unasked() -> None:
    assert get.main([]) == 0
    assert not (cache.root() / "greeter").exists()
    assert get.main(["--path"]) == 0


@pytest.mark.usefixtures("for_tests", "on_path")
def test_the_tests_get_their_tools_too() -> None:
    assert get.main(["--for-tests"]) == 0
    assert (cache.root() / "greeter").exists()


@pytest.mark.usefixtures("for_tests")
def test_what_the_tests_cannot_have_is_said_and_fails_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert get.main(["--for-tests"]) == 0
    assert "the tests of the cluster will not run here: greeter is not to be had" in capsys.readouterr().err
    assert get.main(["--path", "--for-tests"]) == 0
    assert "greeter" not in capsys.readouterr().out
