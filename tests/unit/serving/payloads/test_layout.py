import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.serving.payloads.layout import decoded, partition_value


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_a_name_survives_the_way_through_a_path(name):
    encoded = partition_value(name)
    assert decoded(encoded) == name
    assert not set(encoded) & set("/=:\\\0")


@pytest.mark.parametrize("name", ["x" * 300, "漢" * 256, "/" * 256, "é/" * 128])
def test_a_long_name_fits_into_a_files_name_and_stays_unique(name):
    assert len(f"version={partition_value(name)}".encode()) <= 255
    assert partition_value(name) != partition_value(name + "x")
