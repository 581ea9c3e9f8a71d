"""Where the platforms of one person on one machine live.

`MODELYARD_HOME` (by default `/var/lib/modelyard` for root, whose own folder PostgreSQL's account could not
enter, and `~/.local/share/modelyard` for everyone else) holds one folder per platform, the state of the
stacks that made them and the passphrase of that state.
"""

import os
import stat
from pathlib import Path

from modelyard.errors import ModelyardError


def home() -> Path:
    """The folder below which everything of this person's platforms lies; it may not exist yet."""
    if chosen := os.environ.get("MODELYARD_HOME"):
        return Path(chosen).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/modelyard")
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "modelyard"


def platform_folder(stack: str) -> Path:
    """The folder of one stack's platform."""
    return home() / "platforms" / stack


def state_folder() -> Path:
    """The Pulumi backend (`file://`) that keeps the state of local stacks."""
    return home() / "pulumi"


def passphrase_file() -> Path:
    """The passphrase that encrypts the secrets in that state."""
    return home() / "passphrase"


def ensure_passable(place: Path) -> None:
    """Make the folder so that accounts which servers run under as root get through to their own; keep one that exists.

    Names inside are no secret, and every file there is private.
    """
    if place.is_dir():
        if os.geteuid() == 0 and not place.stat().st_mode & stat.S_IXOTH:
            raise ModelyardError(
                f"{place} is closed to other accounts, and PostgreSQL, which refuses to run as root, could not get in",
                fix=f"`chmod o+x {place}`, or set MODELYARD_HOME to another folder",
            )
        return
    place.mkdir(parents=True)
    place.chmod(0o711 if os.geteuid() == 0 else 0o700)
