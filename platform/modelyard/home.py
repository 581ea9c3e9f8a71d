"""Where the platforms of one person on one machine live.

`MODELYARD_HOME` (by default `/var/lib/modelyard` for root, whose own folder PostgreSQL's account could not
enter, and `~/.local/share/modelyard` for everyone else) holds one folder per platform, the state of the
stacks that made them and the passphrase of that state.
"""

import os
from pathlib import Path


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
