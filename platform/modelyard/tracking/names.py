"""Names that users may have."""

import re

_NAME = re.compile(r"[^\x00-\x20:\x7f]{1,255}")  # a colon would end the name in HTTP Basic


def can_be_a_users(name: str) -> bool:
    """Whether every login takes it: passwords and tokens.

    >>> can_be_a_users("ada@example.com"), can_be_a_users("John Doe"), can_be_a_users("a:b")
    (True, False, False)
    """
    return _NAME.fullmatch(name) is not None
