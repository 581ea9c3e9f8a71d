"""Every test is run by `make test`, or is said not to be."""

from tests import run


def test_every_folder_with_tests_is_in_a_tier():
    named = {word for tier in (*run.WITHOUT_CLUSTER, *run.WITH_CLUSTER, run.OF_ITS_OWN) for word in tier}
    tests = run.ROOT / "tests"
    folders = {f"tests/{file.relative_to(tests).parts[0]}" for file in tests.rglob("test_*.py")}
    assert folders <= named


def test_no_test_is_run_twice():
    named = [word for tier in (*run.WITHOUT_CLUSTER, *run.WITH_CLUSTER) for word in tier if word.startswith("tests/")]
    assert len(named) == len(set(named))
