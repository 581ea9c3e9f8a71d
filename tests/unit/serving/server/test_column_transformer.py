import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler

from modelyard.serving.server.columns import Columns, objects
from modelyard.serving.server.loading.column_transformer import without_frame
from modelyard.serving.server.predictors import frame
from modelyard.serving.server.signature import Column

WORDS = ["red", "green", "blue"]
TYPES = {"x": "double", "y": "double", "n": "long", "w": "string", "v": "string", "b": "boolean", "t": "string"}
COLUMNS = tuple(Column(name, kind, True) for name, kind in TYPES.items())


def data(rows: int = 60) -> Columns:
    random = np.random.default_rng(1)
    words = {name: objects(random.choice(WORDS, rows).tolist()) for name in ("w", "v")}
    texts = objects([" ".join(random.choice(WORDS, 3)) for _ in range(rows)])
    numbers = {name: random.normal(size=rows) for name in ("x", "y")}
    others = {"n": random.integers(0, 9, rows), "b": random.random(rows) < 0.5, "t": texts}
    found = words | numbers | others
    return Columns(rows, {name: found[name] for name in TYPES})


def missing(values, every: int = 3):
    if values.dtype.kind == "f":
        return np.where(np.arange(len(values)) % every, values, np.nan)
    return objects([one if at % every else None for at, one in enumerate(values)])


def fitted(*transformers, last=None, rows: Columns | None = None, **more):
    rows = rows or data()
    label = rows.values["x"] + (rows.values["w"] == "red") > 0
    return make_pipeline(make_column_transformer(*transformers, **more), last or LogisticRegression()).fit(
        frame(rows), label
    )


FORGIVING = OneHotEncoder(handle_unknown="ignore")
KNOWN = {
    "words and numbers": [(FORGIVING, ["w", "v"]), (StandardScaler(), ["x", "y"])],
    "whole numbers beside decimal ones": [(StandardScaler(), ["x", "n"]), (FORGIVING, ["w"])],
    "categories of whole numbers": [(FORGIVING, ["n"]), (OrdinalEncoder(), ["b"])],
    "a pipeline in it": [
        (make_pipeline(SimpleImputer(strategy="most_frequent"), FORGIVING), ["w", "v"]),
        (make_pipeline(SimpleImputer(), FeatureUnion([("a", StandardScaler()), ("b", MinMaxScaler())])), ["x", "y"]),
    ],
    "text, which is one column": [(TfidfVectorizer(), "t"), (StandardScaler(), ["x"])],
    "columns that pass through": [("passthrough", ["x", "n"]), ("drop", ["y"]), (FORGIVING, ["w"])],
    "columns chosen by their types": [(StandardScaler(), make_column_selector("x|y")), (FORGIVING, ["w"])],
}


@pytest.mark.parametrize("name", KNOWN)
@settings(max_examples=15)
@given(
    words=st.lists(st.sampled_from([*WORDS, "new", "", None]), min_size=1, max_size=5),
    numbers=st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=5),
)
def test_answers_are_those_to_a_dataframe(models, name, words, numbers):
    model, ask = models[name]
    count = len(words)
    rows = Columns(
        count,
        {
            "x": np.array(numbers[:count]),
            "y": np.array(numbers[:count]) / 3,
            "n": np.arange(count),
            "w": objects(words),
            "v": objects(words[::-1]),
            "b": np.arange(count) % 2 == 0,
            "t": objects([one or "" for one in words]),
        },
    )
    np.testing.assert_array_max_ulp(ask(rows), model.predict_proba(frame(rows)), 4)


@pytest.fixture(scope="module")
def models():
    made = {name: fitted(*parts) for name, parts in KNOWN.items()}
    found = {name: (model, without_frame(model, COLUMNS, "predict_proba")) for name, model in made.items()}
    assert all(ask for _, ask in found.values()), [name for name, (_, ask) in found.items() if ask is None]
    return found


def test_missing_words_were_learnt_as_nan():
    rows = data()
    rows.values |= {"w": missing(rows.values["w"]), "x": missing(rows.values["x"])}
    model = fitted(
        (OneHotEncoder(handle_unknown="error"), ["w"]), (SimpleImputer(add_indicator=True), ["x", "y"]), rows=rows
    )
    ask = without_frame(model, COLUMNS, "predict")
    assert (ask(rows) == model.predict(frame(rows))).all()
    nothing = Columns(2, rows.part(0, 2).values | {"w": objects([None, None])})
    with pytest.raises(ValueError, match="unknown categories"):
        model.predict(frame(nothing))
    with pytest.raises(ValueError, match="unknown categories"):
        ask(nothing)


def test_the_rest_goes_where_it_went():
    model = fitted((FORGIVING, ["w", "v"]), ("drop", ["t"]), remainder="passthrough")
    assert without_frame(model, COLUMNS, "predict") is None, "numbers beside booleans are objects in a DataFrame"
    four = tuple(Column(name, TYPES[name], True) for name in ("x", "y", "n", "w"))
    rows = Columns(60, {column.name: data().values[column.name] for column in four})
    model = fitted((FORGIVING, ["w"]), remainder=StandardScaler(), rows=rows)
    ask = without_frame(model, four, "predict_proba")
    np.testing.assert_array_max_ulp(ask(rows), model.predict_proba(frame(rows)), 4)


def test_several_steps_follow():
    first = ColumnTransformer([("w", FORGIVING, ["w"]), ("x", "passthrough", ["x", "y"])], sparse_threshold=0)
    steps = [("columns", first), ("scale", StandardScaler()), ("answer", LogisticRegression())]
    rows = data()
    model = Pipeline(steps).fit(frame(rows), rows.values["x"] > 0)
    ask = without_frame(model, COLUMNS, "predict_proba")
    np.testing.assert_array_max_ulp(ask(rows), model.predict_proba(frame(rows)), 4)


class Own(StandardScaler):
    """Could ask for columns by name."""


OTHERS = {
    "a function": fitted((FunctionTransformer(np.abs), ["x", "y"])),
    "code of somebody else": fitted((Own(), ["x", "y"])),
    "somebody else's deep inside": fitted((make_pipeline(SimpleImputer(), Own()), ["x", "y"])),
    "mixed categories": fitted((FORGIVING, ["n", "x"])),
    "words beside numbers": fitted((FORGIVING, ["w", "n"])),
    "columns by position": fitted((StandardScaler(), slice(0, 2))),
    "columns by mask": fitted((StandardScaler(), [True, True, *[False] * 5])),
    "a part that makes frames": fitted((StandardScaler().set_output(transform="pandas"), ["x", "y"])),
    "no pipeline": LogisticRegression().fit([[0], [1]], [0, 1]),
    "a pipeline of numbers": make_pipeline(StandardScaler(), LogisticRegression()).fit([[0], [1]], [0, 1]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_may_need_a_dataframe_gets_one(name):
    assert without_frame(OTHERS[name], COLUMNS, "predict") is None


def test_a_pipeline_that_makes_frames_gets_one():
    model = fitted((StandardScaler(), ["x", "y"]))
    model[0].set_output(transform="pandas")
    assert without_frame(model, COLUMNS, "predict") is None


def test_a_column_that_may_be_missing_needs_a_dataframe():
    optional = tuple(Column(name, kind, name != "x") for name, kind in TYPES.items())
    assert without_frame(fitted((StandardScaler(), ["x", "y"])), optional, "predict") is None


def test_what_the_model_cannot_do_is_not_asked_of_it():
    from sklearn.svm import LinearSVC

    model = fitted((StandardScaler(), ["x", "y"]), last=LinearSVC())
    assert without_frame(model, COLUMNS, "predict_proba") is None
    assert len(without_frame(model, COLUMNS, "predict")(data())) == 60
