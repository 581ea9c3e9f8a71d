import re

from hypothesis import given
from hypothesis import strategies as st

from modelyard.serving.kubernetes import names

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def test_a_plain_name_stays_as_it_is():
    assert names.short("bike-demand") == "bike-demand"
    assert names.of_version("bike-demand", 3) == "model-bike-demand-v3"


def test_names_that_look_alike_stay_apart():
    alike = ["bike_demand", "bike-demand", "Bike-demand", "bike demand", "bike--demand"]
    assert len({names.short(name) for name in alike}) == len(alike)


@given(st.text(min_size=1, max_size=200), st.integers(1, 10**9))
def test_every_name_is_one_that_kubernetes_takes(model, version):
    assert LABEL.fullmatch(names.short(model))
    assert LABEL.fullmatch(names.of_version(model, version))
    assert LABEL.fullmatch(names.of_model(model))


@given(st.text(min_size=1, max_size=200), st.integers(1, 99_999))
def test_kserve_has_room_for_what_it_adds(model, version):
    assert len(f"isvc.{names.of_version(model, version)}-predictor") <= 63
