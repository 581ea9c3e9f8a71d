"""Run the Pulumi engine on this checkout's project, with the environment it needs."""

import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from modelyard import home
from modelyard.errors import ModelyardError
from modelyard.home import ensure_passable
from modelyard.processes.files import write_private

RUN_VARIABLE = "MODELYARD_RUN"  # marks what a run of the engine started, so that a killed one's remains can be found
HINTS = {
    "incorrect passphrase": "the passphrase in {passphrase} is not this stack's: put the right one back, "
    "or `make down STACK={stack} FORCE=1` removes the platform without its state",
    "the stack is currently locked": "another command works on this stack; wait for it to end",
    "because it is protected": "`pulumi state unprotect URN` gives up the protection of one resource",
}

# What `down` does next anyway.
NOISE = ("The resources in the stack have been deleted, but", "If you want to remove the stack completely")


def project_folder() -> Path:
    """The checkout: the folder of Pulumi.yaml.

    Raises:
        ModelyardError: this package was not installed from a checkout.
    """
    folder = Path(__file__).resolve().parents[3]
    if not (folder / "Pulumi.yaml").exists():
        raise ModelyardError(
            f"{folder} is not a checkout of Modelyard: it has no Pulumi.yaml",
            fix="run `make up` in a checkout: it installs the package from there",
        )
    return folder


def tools_path() -> str:
    """The folders of the tools, as a piece of PATH.

    Raises:
        ModelyardError: some are missing.
    """
    command = [sys.executable, str(project_folder() / "tools" / "get.py"), "--path"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise ModelyardError(done.stderr.strip(), fix="`make tools` gets them onto this machine")
    return done.stdout.strip()


def variables() -> dict[str, str]:
    """What plain `pulumi` needs in its environment to work on local stacks."""
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), tools_path(), os.environ.get("PATH", os.defpath)]),
        # Without attributes: their files aren't written in one go, and a half-written one makes the state unreadable.
        "PULUMI_BACKEND_URL": f"file://{home.state_folder()}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(home.passphrase_file()),
        "PULUMI_HOME": os.environ.get("PULUMI_HOME") or str(home.home() / "engine"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "MODELYARD_HOME": str(home.home()),
    }


def check_home() -> None:
    """Refuse a home with characters that supervisord's configuration or a file:// address would misread.

    Raises:
        ModelyardError: it has some.
    """
    if unusable := sorted(set(re.findall(r"[^\w./@+=,~-]", str(home.home()), re.ASCII))):
        raise ModelyardError(
            f"MODELYARD_HOME is {str(home.home())!r}, and what runs there would misread {' '.join(unusable)!r}",
            fix="choose a path of letters, digits and ./_@+=,~-",
        )


def prepare_home() -> None:
    """Make the state's folder, and a passphrase for the secrets in it, unless they exist.

    Raises:
        ModelyardError: they can't be written.
    """
    try:
        ensure_passable(home.home())
        home.state_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        _ensure_passphrase(home.passphrase_file())
    except OSError as error:
        raise ModelyardError(
            f"{home.home()} can't be written: {error.strerror}",
            fix="set MODELYARD_HOME to a folder of yours on a local disk",
        ) from None


def _ensure_passphrase(file: Path) -> None:
    """Generate it, once: two first commands at the same time must end up with the same one."""
    if file.exists():
        return
    if any(home.state_folder().glob(".pulumi/stacks/*/*.json")):
        raise ModelyardError(
            f"the passphrase {file} is gone, and there are states that only it decrypts",
            fix="put it back; `make down FORCE=1` removes a platform without its state",
        )
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    write_private(fresh, secrets.token_urlsafe(32) + "\n")
    with suppress(FileExistsError):
        os.link(fresh, file)
    fresh.unlink()


def pulumi(arguments: Sequence[str], *, stack: str, env: Mapping[str, str]) -> int:
    """Run one command of the engine; what it says is shown as it comes, with what to do where we know more.

    Returns:
        Its exit code.
    """
    process = subprocess.Popen(
        ["pulumi", *arguments, "--stack", stack],
        cwd=project_folder(),
        env=os.environ | env | {RUN_VARIABLE: str(home.platform_folder(stack))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    )
    said: list[str] = []
    reader = threading.Thread(target=_echo, args=(process, said), daemon=True)
    reader.start()
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:
            continue  # the engine got it too, and winds up what it was doing
    reader.join(timeout=5)
    if code:
        _hint("\n".join(said), stack)
    return code


def _echo(process: "subprocess.Popen[str]", said: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line.rstrip("\n"))
        if line.startswith(NOISE):
            continue
        print(line, end="", file=sys.stderr, flush=True)


def _hint(output: str, stack: str) -> None:
    for sign, hint in HINTS.items():
        if sign in output:
            print("  → " + hint.format(stack=stack, passphrase=home.passphrase_file()), file=sys.stderr)
            return
