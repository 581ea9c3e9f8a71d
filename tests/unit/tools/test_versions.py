from __future__ import annotations

import pytest

from toolbox import versions


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("v3.259.0", (3, 259, 0)),
        ("go1.26.8", (1, 26, 8)),
        ("1:2.42.0+ds-5+deb12u1", (2, 42, 0)),
        ("1.5.1-2+b5", (1, 5, 1)),
    ],
)
def test_a_version_is_read_as_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert versions.parse(text) == numbers


def test_text_without_numbers_is_no_version() -> None:
    with pytest.raises(ValueError, match="no version number in 'norev'"):
        versions.parse("norev")


def test_numbers_are_compared_as_numbers() -> None:
    assert versions.serves("3.100.0", minimum="3.99.1")


def test_a_short_version_equals_one_with_zeros() -> None:
    assert versions.serves("2.42", minimum="2.42.0")


def test_an_older_version_does_not_serve() -> None:
    assert not versions.serves("2.41.9", minimum="2.42.0")


def test_another_major_version_serves_only_where_allowed() -> None:
    assert versions.serves("4.0.0", minimum="3.0.0")
    assert not versions.serves("4.0.0", minimum="3.0.0", major_of="3.259.0")
