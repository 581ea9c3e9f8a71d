"""Runs the tests, a tier at a time: `python tests/run.py`, or with pytest's arguments those tests only.

Each tier is a process of its own, so that its platform or cluster is gone before the next begins. Meanwhile, once per
machine, what the tests' cluster is made of is built on processor time that the first tiers leave.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIDE_BY_SIDE = ("--numprocesses", "3", "--dist", "worksteal")
WITHOUT_CLUSTER = ((*SIDE_BY_SIDE, "tests/unit"), ("tests/e2e", "tests/faults", "tests/security"))
WITH_CLUSTER = (("tests/infra", "tests/images"), ("tests/cluster",))
OF_ITS_OWN = ("tests/pytorch",)  # `make test-pytorch`
NOTHING_TO_RUN = 5  # pytest's exit code: this machine can run none of a tier's tests, and a line has said why


def main(arguments: list[str]) -> int:
    """The exit code: 0 when all that ran has passed."""
    get = [sys.executable, "tools/get.py", "--for-tests"]
    if arguments:
        return subprocess.run(get, cwd=ROOT).returncode or pytest(arguments)
    builds = subprocess.Popen(["nice", "-n", "19", *get], cwd=ROOT)
    try:
        codes = [pytest(tier) for tier in WITHOUT_CLUSTER]
        codes.append(builds.wait())
        codes += [pytest(tier) for tier in WITH_CLUSTER]
    finally:
        builds.terminate()
    return max(codes)


def pytest(arguments: "list[str] | tuple[str, ...]") -> int:
    """Run some tests; the exit code."""
    code = subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT).returncode
    return 0 if code == NOTHING_TO_RUN else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
