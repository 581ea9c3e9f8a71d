"""Runs in a build on top of the base image: says which Python and which Debian packages it has, as JSON.

tools/images.py asks before it builds anything: the images need Python 3.11, and their SBOMs name the base's packages.
"""

import json
import platform
import sys
from pathlib import Path

STATUS = Path("/var/lib/dpkg/status")
STATUS_FOLDER = Path("/var/lib/dpkg/status.d")  # of images that were made without dpkg


def packages() -> list[dict[str, str]]:
    """Name, version and architecture of each installed Debian package."""
    files = [STATUS, *sorted(STATUS_FOLDER.glob("*"))]
    texts = [file.read_text() for file in files if file.is_file() and file.suffix != ".md5sums"]
    found = []
    for paragraph in "\n\n".join(texts).split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if "Package" in fields and fields.get("Status", "ok installed").endswith("installed"):
            found.append({"name": fields["Package"], "version": fields["Version"], "arch": fields["Architecture"]})
    return sorted(found, key=lambda package: (package["name"], package["arch"]))


def main(folder: Path) -> None:
    """Write ``folder / "base.json"``."""
    system = platform.freedesktop_os_release()
    description = {
        "python": platform.python_version(),
        "system": {"id": system["ID"], "version": system.get("VERSION_ID", "")},
        "packages": packages(),
    }
    folder.mkdir(parents=True)
    (folder / "base.json").write_text(json.dumps(description, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
