"""Write the state of this release as a fixture: `.venv/bin/python -m tests.support.state_fixture`, once per release."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import modelyard
from tests.support.local_platform import ROOT, a_platform, succeeded

FIXTURES = ROOT / "tests" / "fixtures"


def portable(text: str, *, home: str, stack: str) -> str:
    """The state with what belongs to one machine and one test taken out."""
    for found, name in ((home, "@HOME@"), (str(ROOT), "@ROOT@"), (stack, "@STACK@")):
        text = text.replace(found, name)
    document: dict[str, Any] = json.loads(text)
    document["deployment"].pop("secrets_providers", None)
    document["deployment"]["metadata"] = {}
    for resource in document["deployment"]["resources"]:
        for key in ("sourcePosition", "stackTrace", "created", "modified"):
            resource.pop(key, None)
    return json.dumps(document, indent=1) + "\n"


def placed(fixture: Path, *, home: Path, stack: str) -> str:
    """The state as if it had been made here."""
    text = fixture.read_text()
    for name, value in (("@HOME@", str(home)), ("@ROOT@", str(ROOT)), ("@STACK@", stack)):
        text = text.replace(name, value)
    return text


def main() -> None:
    tools = [sys.executable, str(ROOT / "tools" / "get.py"), "--path"]
    os.environ["PATH"] += os.pathsep + subprocess.run(tools, capture_output=True, text=True, check=True).stdout.strip()
    with a_platform() as platform:
        succeeded(platform.run("up", "--stack", platform.stack))
        exported = succeeded(platform.pulumi("stack", "export")).stdout
        text = portable(exported, home=str(platform.home), stack=platform.stack)
        (FIXTURES / f"state-{modelyard.__version__}.json").write_text(text)


if __name__ == "__main__":
    main()
