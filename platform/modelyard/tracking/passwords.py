"""Checks users' passwords, which is made dear on purpose: guesses must not keep everybody else from logging in.

- Hashes are made by few threads, and few logins wait for them; the others are told to come back, but for those that
  were right before: nobody can guess so many passwords that a user who was here is sent away.
- A name that nobody has takes as long as one that somebody has, so that nobody learns the names.
- A wrong password is answered later the more of them came for that name. The right one is answered at once: nobody
  locks somebody else out.
"""

import asyncio
import hmac
import secrets
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from cachetools import TTLCache
from werkzeug.security import check_password_hash, generate_password_hash

HASHING_THREADS = 2  # guesses are as dear to us as logins: they don't get all processors
MOST_WAITING = 64  # logins; about two seconds' work
MOST_WAITING_OF_ONE_NAME = 8
FIRST_DELAY, LONGEST_DELAY = 0.1, 2.0  # seconds, from the second wrong password of a name on
FORGIVEN_SECONDS = 60.0  # after the last wrong one
PROVEN_SECONDS = 7 * 86400.0  # after it was right, a login still doesn't count as a guess
AGAIN_SECONDS = 2  # when to come back


class Busy(Exception):
    """Too many logins wait."""


class Known(Protocol):
    """MLflow's users, as far as passwords go."""

    def authenticate_user(self, username: str, password: str) -> bool:
        """Whether the password is that user's; hashes it only if there is such a user."""

    def has_user(self, username: str) -> bool:
        """Whether there is such a user."""


class Passwords:
    """Whose passwords are right.

    Args:
        users: MLflow's.
    """

    def __init__(self, users: Known) -> None:
        self._users = users
        self._threads = ThreadPoolExecutor(HASHING_THREADS, thread_name_prefix="password")
        self._waiting: Counter[str] = Counter()
        self._key = secrets.token_bytes(32)
        self._proven: TTLCache[bytes, bool] = TTLCache(maxsize=10_000, ttl=PROVEN_SECONDS)
        self._wrong: TTLCache[str, int] = TTLCache(maxsize=10_000, ttl=FORGIVEN_SECONDS)
        self._nobodys = generate_password_hash(secrets.token_urlsafe(32))  # at the cost of everybody's

    async def are_right(self, name: str, password: str) -> bool:
        """Whether the password is that user's.

        Raises:
            Busy: too many wait already, or too many with this name.
        """
        digest = hmac.digest(self._key, f"{name}:{password}".encode(), "sha256")
        full = self._waiting.total() >= MOST_WAITING or self._waiting[name] >= MOST_WAITING_OF_ONE_NAME
        if full and digest not in self._proven:
            raise Busy
        self._waiting[name] += 1
        try:
            right = await asyncio.get_running_loop().run_in_executor(self._threads, self._check, name, password)
        finally:
            self._waiting -= Counter([name])  # drops names that nobody waits with
        if right:
            self._wrong.pop(name, None)
            self._proven[digest] = True
        else:
            self._proven.pop(digest, None)
            await asyncio.sleep(self._delay(name))
        return right

    def _check(self, name: str, password: str) -> bool:
        if self._users.authenticate_user(name, password):
            return True
        if not self._users.has_user(name):
            check_password_hash(self._nobodys, password)
        return False

    def _delay(self, name: str) -> float:
        """Seconds; the first mistake is nobody's attack."""
        before = self._wrong.get(name, 0)
        self._wrong[name] = before + 1
        return min(LONGEST_DELAY, FIRST_DELAY * 2 ** (before - 1)) if before else 0.0
