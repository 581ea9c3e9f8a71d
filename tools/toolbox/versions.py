"""Version numbers: read from text, compared number by number."""

from __future__ import annotations

import re

Version = tuple[int, ...]


def parse(text: str) -> Version:
    """The numbers at the start of a version, without a leading ``v`` or a Debian epoch.

    >>> parse("v3.259.0"), parse("1:2.42.0+ds-5+deb12u1"), parse("go1.26.8")
    ((3, 259, 0), (2, 42, 0), (1, 26, 8))

    Raises ValueError when there are none.
    """
    match = re.match(r"(?:\d+:)?(?:v|go)?(\d+(?:\.\d+)*)", text.strip())
    if match is None:
        raise ValueError(f"no version number in {text!r}")
    return tuple(int(number) for number in match[1].split("."))


def serves(found: str, *, minimum: str, major_of: str | None = None) -> bool:
    """Whether a version is new enough and, when ``major_of`` is given, of that version's major number.

    >>> serves("2.53", minimum="2.42.0"), serves("4.0.0", minimum="3.1.0", major_of="3.259.0")
    (True, False)
    """
    version, floor = parse(found), parse(minimum)
    width = max(len(version), len(floor))
    new_enough = version + (0,) * (width - len(version)) >= floor + (0,) * (width - len(floor))
    return new_enough and (major_of is None or version[0] == parse(major_of)[0])
