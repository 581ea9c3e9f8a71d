import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelyard.serving.server.columns import ColumnInputs, Columns, convert, joined, objects
from modelyard.serving.server.errors import RequestError
from modelyard.serving.server.signature import PLAIN_TYPES, Column
from modelyard.serving.server.tensors import InputTensor

BIKE = ColumnInputs([Column("temp", "double"), Column("hour", "long"), Column("weather", "string", required=False)])
SENT = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
]


def enforced(column: Column, values: np.ndarray) -> np.ndarray | None:
    """What MLflow makes of a column; None: it refuses."""
    from mlflow.exceptions import MlflowException
    from mlflow.models.utils import _enforce_mlflow_datatype
    from mlflow.types.schema import DataType

    try:
        return _enforce_mlflow_datatype(column.name, pd.Series(values), DataType[column.type]).to_numpy()
    except MlflowException:
        return None


@settings(max_examples=300)
@given(st.data(), st.sampled_from(sorted(PLAIN_TYPES)), st.sampled_from(SENT))
def test_numbers_are_converted_exactly_as_by_mlflow(data, kind, sent):
    values = data.draw(
        hnp.arrays(
            sent,
            st.integers(1, 5),
            elements=data.draw(
                st.sampled_from(
                    [
                        None,
                        hnp.from_dtype(np.dtype(sent), **({"min_value": 0, "max_value": 1} if sent != "bool" else {})),
                    ]
                )
            ),
        )
    )
    column = Column("x", kind)
    want = enforced(column, values)
    if want is None or kind in ("string", "binary", "datetime"):
        with pytest.raises(RequestError, match="'x'"):
            convert(column, values)
    else:
        got = convert(column, values)
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    "texts", [["2026-01-31T09:30:00.123456789"], ["2026-01-31"], ["1970-01"], ["2026-01-31 09:30", None]]
)
def test_datetimes_are_those_of_pandas(texts):
    got = convert(Column("at", "datetime"), objects(texts))
    want = pd.to_datetime(pd.Series(texts, dtype="str"), format="ISO8601").astype("datetime64[ns]").to_numpy()
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    "text", ["today", "2026-01-31T09:30:00Z", "2026-01-31T09:30:00+01:00", "2026-13-01", "3000-01-01", "", "31.1.2026"]
)
def test_other_datetimes_are_refused(text):
    with pytest.raises(RequestError, match="'at'"):
        convert(Column("at", "datetime"), objects([text]))


def test_columns_come_in_the_order_of_the_signature():
    found = BIKE.from_tensors([InputTensor("hour", "INT64", [1], [7]), InputTensor("temp", "FP64", [1], [0.5])])
    assert list(found.values) == ["temp", "hour"]


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ([("temp", "FP64", [1], [0.5])], "required inputs are missing: 'hour'"),
        ([("temp", "FP64", [1], [0.5]), ("hours", "INT64", [1], [7])], "did you mean 'hour'"),
        ([("temp", "FP64", [1], [0.5]), ("temp", "FP64", [1], [0.5])], "there twice"),
        ([("temp", "FP64", [1], [0.5]), ("hour", "INT64", [2], [7, 8])], "'hour' has 2 rows, 'temp' has 1"),
        ([("temp", "FP64", [0], []), ("hour", "INT64", [0], [])], "no row"),
        ([("temp", "FP64", [1, 2], [0.5, 1]), ("hour", "INT64", [1], [7])], "shape [rows]"),
        ([("temp", "INT64", [1], [7]), ("hour", "INT64", [1], [7])], "send it as FP64"),
        ([("temp", "BYTES", [1], ["7"]), ("hour", "INT64", [1], [7])], "BYTES can't become double"),
        ([("temp", "FP64", [1], [0.5]), ("hour", "FP64", [1], [7.0])], "send it as INT64"),
    ],
)
def test_wrong_inputs_are_refused_by_name(tensors, said):
    with pytest.raises(RequestError) as refused:
        BIKE.from_tensors([InputTensor(*one) for one in tensors])
    assert said in str(refused.value)


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(RequestError, match="'weather': a value is not valid UTF-8"):
        convert(Column("weather", "string"), objects([b"\xff"]))


def test_joined_columns_can_be_cut_again():
    parts = [Columns(1, {"a": np.array([1.0])}), Columns(2, {"a": np.array([2.0, 3.0])})]
    assert joined(parts).part(1, 3).values["a"].tolist() == [2.0, 3.0]
