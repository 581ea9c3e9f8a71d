import asyncio
import threading
from collections.abc import Iterator

import pytest

from modelyard.tracking import passwords
from modelyard.tracking.passwords import Busy, Passwords


class Users:
    """Ada's password is right while the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.looked_up = 0

    def authenticate_user(self, username: str, password: str) -> bool:
        self.looked_up += 1
        assert self.gate.wait(10)
        return (username, password) == ("ada", "lovelace-1815")

    def has_user(self, username: str) -> bool:
        return username == "ada"


@pytest.fixture
def users() -> Iterator[Users]:
    users = Users()
    yield users
    users.gate.set()


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Passwords that were hashed for names that nobody has."""
    seen: list[str] = []
    real = passwords.check_password_hash

    def check(hashed: str, password: str) -> bool:
        seen.append(password)
        return real(hashed, password)

    monkeypatch.setattr(passwords, "check_password_hash", check)
    return seen


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seen: list[float] = []

    async def sleep(seconds: float) -> None:
        seen.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return seen


def asked(checks: Passwords, name: str, password: str) -> bool:
    return asyncio.run(checks.are_right(name, password))


def test_a_name_that_nobody_has_costs_a_hash_too(users: Users, hashed: list[str]) -> None:
    checks = Passwords(users)
    assert not asked(checks, "nobody", "guess")
    assert hashed == ["guess"]


def test_a_name_that_somebody_has_costs_no_second_hash(users: Users, hashed: list[str]) -> None:
    checks = Passwords(users)
    assert not asked(checks, "ada", "guess")
    assert asked(checks, "ada", "lovelace-1815")
    assert hashed == []


def test_wrong_passwords_are_answered_later_each_time_and_the_right_one_at_once(
    users: Users, slept: list[float]
) -> None:
    checks = Passwords(users)
    for _ in range(8):
        asked(checks, "ada", "guess")
    assert slept == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert asked(checks, "ada", "lovelace-1815")
    assert len(slept) == 8


def test_names_wait_for_their_own_mistakes_only(users: Users, slept: list[float]) -> None:
    checks = Passwords(users)
    for _ in range(5):
        asked(checks, "nobody", "guess")
    asked(checks, "ada", "typo")
    assert slept[-1] == 0.0


def test_guesses_at_one_name_leave_room_for_the_others(users: Users) -> None:
    users.gate.clear()

    async def scenario() -> None:
        checks = Passwords(users)
        guesses = [asyncio.create_task(checks.are_right("nobody", str(n))) for n in range(8)]
        await asyncio.sleep(0.01)
        with pytest.raises(Busy):
            await checks.are_right("nobody", "one more")
        ada = asyncio.create_task(checks.are_right("ada", "lovelace-1815"))
        await asyncio.sleep(0.01)
        users.gate.set()
        assert await ada
        for guess in guesses:
            guess.cancel()

    asyncio.run(scenario())


def test_so_many_wait_and_no_more(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MOST_WAITING", 5)
    users.gate.clear()

    async def scenario() -> None:
        checks = Passwords(users)
        guesses = [asyncio.create_task(checks.are_right(f"name-{n}", "guess")) for n in range(5)]
        await asyncio.sleep(0.01)
        with pytest.raises(Busy):
            await checks.are_right("ada", "lovelace-1815")
        users.gate.set()
        await asyncio.gather(*guesses)
        assert await checks.are_right("ada", "lovelace-1815")

    asyncio.run(scenario())


def test_a_login_that_was_right_before_is_sent_away_by_nobodys_guesses(users: Users) -> None:
    async def scenario() -> None:
        checks = Passwords(users)
        assert await checks.are_right("ada", "lovelace-1815")
        users.gate.clear()
        guesses = [asyncio.create_task(checks.are_right("ada", str(n))) for n in range(8)]
        await asyncio.sleep(0.01)
        with pytest.raises(Busy):
            await checks.are_right("ada", "one more")
        ada = asyncio.create_task(checks.are_right("ada", "lovelace-1815"))
        await asyncio.sleep(0.01)
        users.gate.set()
        assert await ada
        for guess in guesses:
            guess.cancel()

    asyncio.run(scenario())
