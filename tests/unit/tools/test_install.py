from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from toolbox import cache, install
from toolbox.errors import ToolError
from toolbox.settings import DebianPackage, GoModule, ReleaseArchive, Tool

MakeProgram = Callable[[str, str], Path]
MakeTool = Callable[..., Tool]
Go = Callable[..., Path]

IN_ANOTHER_PROCESS = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from toolbox import install
from toolbox.settings import GoModule, Tool
install.ensure(Tool(
    name="greeter", version="2.0.0", minimum="1.5.0", programs=("greeter",), version_command=("greeter", "--version"),
    version_pattern=r"greeter (.*)", go=GoModule(folder=Path(sys.argv[2]), packages=("./greeter",), minutes=1),
))
"""


def start_elsewhere(module: GoModule) -> subprocess.Popen[bytes]:
    tools = str(Path(__file__).parents[3] / "tools")
    return subprocess.Popen([sys.executable, "-c", IN_ANOTHER_PROCESS, tools, str(module.folder)])


def held(tool: Tool, source: str) -> None:
    """The cache holds a tool that an earlier run got."""
    cache.bin_folder(tool).mkdir(parents=True)
    for program in tool.programs:
        (cache.bin_folder(tool) / program).write_text("#!/bin/sh\n")
        (cache.bin_folder(tool) / program).chmod(0o755)
    record = {"version": tool.version, "source": source, "stamps": {}}
    (cache.folder(tool) / cache.RECORD).write_text(json.dumps(record))


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_there_is_not_got_again(tool: MakeTool, go: Go, go_module: GoModule) -> None:
    go()
    install.ensure(tool(go=go_module))
    install.ensure(tool(go=go_module))
    assert (cache.root() / "builds").read_text() == "build\n"


def test_path_comes_before_a_build(tool: MakeTool, go: Go, go_module: GoModule, program: MakeProgram) -> None:
    go()
    program("greeter", "echo greeter 1.9.0")
    install.ensure(tool(go=go_module))
    assert not (cache.root() / "builds").exists()


def test_an_unreachable_archive_leads_to_a_build(
    tool: MakeTool, archive: Callable[[str], ReleaseArchive], go: Go, go_module: GoModule
) -> None:
    go()
    install.ensure(tool(archive=archive("http://127.0.0.1:9"), go=go_module))
    installed = cache.current(tool())
    assert installed
    assert installed.source == "Go module"


def test_when_nothing_serves_one_message_tells_all(tool: MakeTool) -> None:
    with pytest.raises(ToolError) as error:
        install.ensure(tool())
    assert str(error.value).splitlines() == [
        "greeter is not to be had here. What each source said:",
        "  PATH: no greeter",
        "  Debian: no package of it is known",
        "  release archive: no archive of it is known",
        "  Go module: no module of it is known to build",
        "Either put greeter (1.5.0 or newer) on PATH yourself, or set MODELYARD_TOOLS_MIRROR to a folder or URL that "
        "holds greeter/2.0.0/<archive, checksum file>; then run this again.",
    ]


def test_a_higher_minimum_gets_the_tool_again(
    tool: MakeTool, program: MakeProgram, go: Go, go_module: GoModule
) -> None:
    go()
    program("greeter", "echo greeter 1.6.0")
    install.ensure(tool())
    install.ensure(tool(minimum="2.0.0", go=go_module))
    installed = cache.current(tool())
    assert installed
    assert installed.version == "2.0.0"


def test_two_threads_at_once_build_once(tool: MakeTool, go: Go, go_module: GoModule) -> None:
    go(seconds=0.3)
    runs = [threading.Thread(target=install.ensure, args=[tool(go=go_module)]) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert (cache.root() / "builds").read_text() == "build\n"


def test_two_processes_at_once_build_once(go: Go, go_module: GoModule) -> None:
    go(seconds=0.3)
    runs = [start_elsewhere(go_module) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    assert (cache.root() / "builds").read_text() == "build\n"


def test_a_run_killed_half_way_leaves_nothing_that_counts(tool: MakeTool, go: Go, go_module: GoModule) -> None:
    go(seconds=1)
    run = start_elsewhere(go_module)
    wait_for((cache.root() / "builds").exists)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert cache.current(tool()) is None


def test_the_next_run_clears_what_a_killed_one_left(tool: MakeTool, go: Go, go_module: GoModule) -> None:
    left = cache.root() / "greeter" / ".partial-1234" / "bin"
    left.mkdir(parents=True)
    go()
    install.ensure(tool(go=go_module))
    assert not list((cache.root() / "greeter").glob(".partial-*"))


def test_what_came_from_a_source_that_is_no_longer_named_is_got_again(
    tool: MakeTool, go: Go, go_module: GoModule, debian_package: DebianPackage
) -> None:
    go()
    held(tool(debian=debian_package), source="Debian")
    assert install.ready(tool(debian=debian_package))
    assert not install.ready(tool(go=go_module))
    install.ensure(tool(go=go_module))
    installed = cache.current(tool())
    assert installed
    assert installed.source == "Go module"
