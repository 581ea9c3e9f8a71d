import pytest

from modelyard.errors import ExitCode, ModelyardError
from modelyard.registry.versions import Reference, choices, parse_reference


@pytest.mark.parametrize("prefix", ["", "models:/"])
@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("bike-demand", Reference("bike-demand")),
        ("bike-demand@champion", Reference("bike-demand", alias="champion")),
        ("bike-demand/3", Reference("bike-demand", version=3)),
        ("bike-demand/latest", Reference("bike-demand", alias="latest")),
        ("two words@a-b_c", Reference("two words", alias="a-b_c")),
    ],
)
def test_references_that_are_understood(prefix, text, reference):
    assert parse_reference(prefix + text) == reference


@pytest.mark.parametrize(
    "text", ["", " ", "@a", "/1", "a@", "a@b c", "a/", "a/x", "a/0", "a/-1", "a/1/2", "a/٣", "a:b", "a/9999999999"]
)
def test_what_names_no_version_is_wrong_use(text):
    with pytest.raises(ModelyardError, match="NAME@ALIAS") as caught:
        parse_reference(text)
    assert caught.value.exit_code == ExitCode.WRONG_USE


def test_the_nearest_choice_is_offered():
    assert choices("models", ["apple", "bike-demand"], "bike-demnad") == (
        "did you mean 'bike-demand'? models: bike-demand, apple"
    )


def test_many_choices_are_cut_short():
    assert choices("models", [f"m{number}" for number in range(25)], "zzz").endswith("and 5 more")
