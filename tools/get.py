#!/usr/bin/env python3
"""Puts the command-line tools that Modelyard needs on this machine, once per machine.

    python3 tools/get.py [NAME ...]          get them (all that a platform needs, when none is named)
    python3 tools/get.py --for-tests         get those of the tests' cluster too, as far as this machine can have them
    python3 tools/get.py --path [NAME ...]   print the PATH fragment of what is there, doing no work

Use:  PATH="$(python3 tools/get.py --path):$PATH"
Each tool comes from PATH, else a Debian package, else the official archive, else a pinned Go module: see tools.toml.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed

if sys.version_info < (3, 11):  # noqa: UP036 - whatever python3 is on a bare machine gets here
    sys.exit(f"tools/get.py needs Python 3.11 or newer; this is {sys.version.split()[0]} ({sys.executable})")

from toolbox import cache, commands, install, settings
from toolbox.errors import Alarm, Stopped, ToolError
from toolbox.settings import Tool


def main(arguments: list[str] | None = None) -> int:
    """0: everything is there. 1: something isn't, and standard error says what to do. 2: wrong use."""
    known = settings.load()
    parser = argparse.ArgumentParser(
        description=__doc__,
        usage="get.py [--path] [--for-tests] [NAME ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help=", ".join(known))
    parser.add_argument("--path", action="store_true", help="print the PATH fragment; get nothing")
    parser.add_argument("--for-tests", action="store_true", help="those of the tests' cluster too, where possible")
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.names if name not in known]:
        parser.error(f"no tool is called {', '.join(unknown)}; there are {', '.join(known)}")
    tools = [tool for tool in known.values() if _wanted(tool, chosen.names, chosen.for_tests)]
    optional = frozenset(tool.name for tool in tools if tool.needed_by == "tests" and tool.name not in chosen.names)
    if chosen.path:
        return _print_path([tool for tool in tools if tool.name not in optional or install.ready(tool)])
    return _get(tools, optional)


def _wanted(tool: Tool, names: list[str], for_tests: bool) -> bool:
    return tool.name in names if names else for_tests or tool.needed_by == "platform"


def _print_path(tools: list[Tool]) -> int:
    if missing := [tool.name for tool in tools if not install.ready(tool)]:
        print(
            f"not in {cache.root()} yet, or out of date: {', '.join(missing)}. "
            f"Run: python3 tools/get.py {' '.join(missing)}",
            file=sys.stderr,
        )
        return 1
    print(os.pathsep.join(str(cache.bin_folder(tool)) for tool in tools))
    return 0


def _get(tools: list[Tool], optional: frozenset[str]) -> int:
    """All at once; builds queue behind each other. An alarm ends the run, whatever else is under way.

    What is optional is told of when it can't be had, and that is all.
    """
    os.umask(0o022)  # other accounts run these programs too: servers drop root
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    failures: list[str] = []
    with ThreadPoolExecutor(max_workers=len(tools)) as pool:
        try:
            under_way = {pool.submit(install.ensure, tool): tool for tool in tools}
            for done in as_completed(under_way):
                try:
                    done.result()
                except Alarm as alarm:
                    commands.stop_all()
                    failures.insert(0, str(alarm))
                except ToolError as error:
                    if under_way[done].name in optional:
                        print(f"the tests of the cluster will not run here: {error}", file=sys.stderr)
                    else:
                        failures.append(str(error))
                except Stopped:
                    pass
        except KeyboardInterrupt:
            commands.stop_all()
            failures.append("interrupted; what was finished stays, the rest starts over next time")
    if failures:
        print("\n\n".join(failures), file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
