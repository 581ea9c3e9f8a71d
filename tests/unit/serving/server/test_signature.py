import pytest

from modelyard.serving.server.signature import Column, Param, Tensor, read


def test_a_column_based_signature_has_columns():
    found = read({"signature": {"inputs": '[{"type": "double", "name": "x", "required": false}]', "outputs": None}})
    assert found.columns == (Column("x", "double", required=False),)


def test_columns_without_names_or_of_nested_types_are_left_to_mlflow():
    assert read({"signature": {"inputs": '[{"type": "double"}]'}}).columns == ()
    assert read({"signature": {"inputs": '[{"type": "array", "items": {"type": "long"}, "name": "x"}]'}}).columns == ()


def test_a_tensor_based_signature_has_tensors():
    inputs = '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]'
    assert read({"signature": {"inputs": inputs}}).tensors == (Tensor(None, "float32", (-1, 4)),)


def test_parameters_have_defaults():
    params = '[{"name": "t", "type": "double", "default": 0.5, "shape": null}]'
    assert read({"signature": {"inputs": "[]", "params": params}}).params == (Param("t", "double", 0.5),)


@pytest.mark.parametrize(
    "document", [{}, {"signature": None}, {"signature": {"inputs": "[]"}, "is_signature_from_type_hint": True}]
)
def test_without_a_signature_nothing_is_known(document):
    assert read(document).inputs == ()


@pytest.mark.parametrize("inputs", ["{", "[1]", '[{"name": "x"}]', '[{"type": "tensor"}]'])
def test_a_signature_in_another_format_is_an_error(inputs):
    with pytest.raises(ValueError, match="not in MLflow's format"):
        read({"signature": {"inputs": inputs}})
