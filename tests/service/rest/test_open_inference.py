"""Tensors → rows → tensors, and who is to blame."""

from typing import Any

import numpy as np
import pytest

from models.learner import Predictions
from service.errors import RequestInvalid
from service.rest.open_inference import Tensor, metadata_of, outputs_of, rows_of


def tensor(name: str, shape: list[int], datatype: str, data: list[Any]) -> Tensor:
    return Tensor(name, shape, datatype, data)


def test_tensors_become_rows() -> None:
    """Without it, a client of the protocol gets predictions for other features than it sent."""
    rows = rows_of(
        [
            tensor("price", [2], "FP32", [1.5, None]),
            tensor("count", [2, 1], "INT64", [[3], [4]]),
            tensor("express", [2], "BOOL", [True, False]),
            tensor("city", [2], "BYTES", ["Oslo", "Rome"]),
            tensor("embedding", [2, 2], "FP64", [1, 2, 3, 4]),
            tensor("words", [2, 2], "BYTES", [["a", "b"], ["c", "d"]]),
        ]
    )
    assert rows == [
        {"price": 1.5, "count": 3, "express": True, "city": "Oslo", "embedding": [1, 2], "words": ["a", "b"]},
        {"price": None, "count": 4, "express": False, "city": "Rome", "embedding": [3, 4], "words": ["c", "d"]},
    ]


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ([], "inputs"),
        ([("a", [1], "FP99", [1])], "inputs[0].datatype"),
        ([("a", [1, 1, 1], "FP32", [1])], "inputs[0].shape"),
        ([("a", [-1], "FP32", [1])], "inputs[0].shape"),
        ([("a", [], "FP32", [])], "inputs[0].shape"),
        ([("a", [2], "FP32", [1])], "inputs[0].data"),
        ([("a", [2], "FP32", [1, "x"])], "inputs[0].data[1]"),
        ([("a", [1], "FP32", [True])], "inputs[0].data[0]"),
        ([("a", [1], "BOOL", [1])], "inputs[0].data[0]"),
        ([("a", [1], "FP32", [[[1]]])], "inputs[0].data[0]"),
        ([("a", [1], "FP32", [1]), ("a", [1], "FP32", [1])], "inputs"),
        ([("a", [1], "FP32", [1]), ("b", [2], "FP32", [1, 2])], "inputs[1].shape"),
    ],
)
def test_the_tensor_to_blame_is_named(inputs: list[tuple[str, list[int], str, list[Any]]], field: str) -> None:
    """Without it, a wrong tensor is a 500, or a riddle."""
    with pytest.raises(RequestInvalid) as refused:
        rows_of([tensor(*each) for each in inputs])
    assert (refused.value.status, refused.value.field) == (422, field)


@pytest.mark.parametrize(
    ("classes", "datatype", "label"),
    [(("a", "b"), "BYTES", "b"), ((0, 1), "INT64", 1), ((False, True), "BOOL", True), (("a", 1), "BYTES", "1")],
)
def test_classes_become_tensors(classes: tuple[Any, ...], datatype: str, label: object) -> None:
    """Without it, a typed client cannot read the labels."""
    predictions = Predictions(classes, np.array([[0.25, 0.75]], np.float32))
    first, second = outputs_of(predictions, 1, None)
    assert first == {"name": "label", "datatype": datatype, "shape": [1], "data": [label]}
    assert second["data"] == [0.25, 0.75]
    assert second["shape"] == [1, 2]
    assert second["parameters"]["classes"][1] == str(label).lower() if label is True else str(label)


def test_outputs_are_those_that_are_wanted() -> None:
    """Without it, a client gets tensors that it did not ask for, or a 500 for one that there is not."""
    predictions = Predictions(("a", "b"), np.array([[0.25, 0.75]], np.float32))
    assert [each["name"] for each in outputs_of(predictions, 1, ["probabilities"])] == ["probabilities"]
    with pytest.raises(RequestInvalid) as refused:
        outputs_of(predictions, 1, ["label", "nothing"])
    assert refused.value.field == "outputs[1].name"


def test_numbers_and_nothing_become_tensors() -> None:
    """Without it, regression, or a model that has learned nothing yet, cannot be asked this way."""
    assert outputs_of(Predictions(values=np.array([1.5, 2.5])), 2, None)[0]["data"] == [1.5, 2.5]
    assert outputs_of(Predictions(), 2, None)[0]["data"] == [None, None]


def test_metadata_names_the_features_once() -> None:
    """Without it, a client cannot find out what to send."""
    features = [
        {"name": "price", "kind": "number"},
        {"name": "price", "kind": "category"},
        {"name": "embedding[0]", "kind": "vector"},
        {"name": "embedding[1]", "kind": "vector"},
        {"name": "words", "kind": "tokens"},
    ]
    found = metadata_of(features, "binary", ["a", "b"])
    assert [(each["name"], each["datatype"], each["shape"]) for each in found["inputs"]] == [
        ("price", "FP64", [-1]),
        ("embedding", "FP64", [-1, -1]),
        ("words", "BYTES", [-1, -1]),
    ]
    assert [each["name"] for each in found["outputs"]] == ["label", "probabilities"]
    assert [each["name"] for each in metadata_of([], "regression", [])["outputs"]] == ["value"]
