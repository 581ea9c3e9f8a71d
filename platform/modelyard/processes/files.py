"""Files of a platform that only their owner may read, and the secrets among them."""

import os
import pwd
import re
import secrets
from pathlib import Path

_REFERENCE = re.compile(r"\$\{secret:([A-Za-z0-9_.-]+)\}")


def write_private(path: Path, content: str, *, account: str | None = None) -> None:
    """Write a file that is complete or absent, with mode 0600.

    Args:
        path: Where; missing folders are made.
        content: What.
        account: The account that gets to own it, if this process runs as root.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if account and os.geteuid() == 0:
            user = pwd.getpwnam(account)
            os.chown(fresh, user.pw_uid, user.pw_gid)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


class SecretFiles:
    """The secrets of one platform, a file each.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name

    def read(self, name: str) -> str:
        return self.path(name).read_text().strip()

    def ensure(self, name: str, *, length: int = 32) -> Path:
        """Generate the secret unless it exists.

        Args:
            name: Its file's name.
            length: Characters of its alphabet (letters and digits, 5.95 bits each).
        """
        path = self.path(name)
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
            write_private(path, "".join(secrets.choice(alphabet) for _ in range(length)) + "\n")
        return path

    def fill(self, template: str) -> str:
        """Put the content of a secret wherever the template says `${secret:NAME}`."""
        return _REFERENCE.sub(lambda match: self.read(match[1]), template)
