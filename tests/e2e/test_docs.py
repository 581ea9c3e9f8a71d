"""Every `sh` block of README and docs is run, page by page, against one platform."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.local_platform import ROOT, LocalPlatform, a_platform, succeeded

PAGES = [
    ROOT / "README.md",
    *sorted(page for page in (ROOT / "docs").glob("*.md") if "```sh\n" in page.read_text()),
    ROOT / "docs" / "runbooks" / "README.md",
]
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
EVERY_PAGE = sorted(page for page in ROOT.rglob("*.md") if ".venv" not in page.parts and ".git" not in page.parts)


@pytest.fixture(scope="module")
def documented() -> Iterator[LocalPlatform]:
    with a_platform() as platform:
        succeeded(platform.run("up", "--stack", platform.stack))
        yield platform


def blocks(page: Path) -> str:
    return "\n".join(re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_run(documented, page):
    path = os.pathsep.join([str(ROOT / ".venv" / "bin"), os.environ["PATH"]])
    env = documented.env | {"STACK": documented.stack, "PATH": path}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", blocks(page)],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, (
        f"{page.name} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    )


def test_links_lead_somewhere():
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in EVERY_PAGE
        for target in LINK.findall(page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


def test_ci_calls_the_readmes_test_command():
    assert "make test" in (ROOT / "README.md").read_text()
    assert "make test" in (ROOT / ".ci" / "run").read_text()
