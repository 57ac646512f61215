"""The Open Inference Protocol's tensors → rows of features, and predictions → tensors.

On the path it stands where ``routes_predict.py`` has its own JSON: an input tensor is one feature, its first dimension
the rows. ``[n]`` and ``[n, 1]`` are numbers, booleans (``BOOL``) or categories (``BYTES``); a second dimension makes it
a vector, or a list of tokens. A null among the data is a missing value.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from models.answered import class_name
from models.examples import Label
from models.learner import Predictions
from service.errors import RequestInvalid
from service.rest.prediction_requests import Asked

_IDS = (str, int, type(None))
_NUMBERS = ("FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
_TYPES: Mapping[str, tuple[type, ...]] = {"BOOL": (bool,), "BYTES": (str,)} | dict.fromkeys(_NUMBERS, (int, float))

MAXIMUM_EMPTY = 100_000
"""Rows of a tensor that holds no values."""

DATATYPES = tuple(_TYPES)
"""What a tensor may be of."""

_DATATYPES = {"number": "FP64", "vector": "FP64", "boolean": "BOOL", "category": "BYTES", "tokens": "BYTES"}
"""Kind of a feature → the datatype in which a client should send it."""


class Tensor(msgspec.Struct):
    """A named tensor, its data row after row, flat or nested."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] | None = None


class InferenceRequest(msgspec.Struct):
    """What a client sends; the outputs that it names, all where it names none."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[dict[str, Any]] | None = None


def rows_of(inputs: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Return one mapping of features a row.

    Raises
    ------
    RequestInvalid
        422, with the tensor to blame.
    """
    if not inputs:
        raise RequestInvalid("send at least one input tensor", 422, "inputs")
    columns = {tensor.name: _column(tensor, f"inputs[{index}]") for index, tensor in enumerate(inputs)}
    if len(columns) != len(inputs):
        raise RequestInvalid("two tensors have the same name", 422, "inputs")
    rows = len(columns[inputs[0].name])
    for index, tensor in enumerate(inputs):
        if len(columns[tensor.name]) != rows:
            message = f"its first dimension must be {rows}, as that of {inputs[0].name!r} is"
            raise RequestInvalid(message, 422, f"inputs[{index}].shape")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def named_rows(asked: InferenceRequest, rows: Sequence[dict[str, Any]]) -> Asked:
    """Return what is asked, with what each row is called: by ``parameters.ids``, or a single one by the request's id.

    Raises
    ------
    RequestInvalid
        422 where the parameters that are looked at are none.
    """
    parameters = asked.parameters or {}
    ids, remember = parameters.get("ids"), parameters.get("remember")
    if remember is not None and type(remember) is not bool:
        raise RequestInvalid("must be true or false", 422, "parameters.remember")
    if ids is None:
        ids = [asked.id if len(rows) == 1 else None] * len(rows)
    if type(ids) is not list or len(ids) != len(rows) or any(type(each) not in _IDS for each in ids):
        raise RequestInvalid(
            f"must be a list of {len(rows)} texts, integers or nulls, one a row", 422, "parameters.ids"
        )
    return Asked(rows, ids, "parameters.ids[{}]", [None] * len(rows), remember)


def _column(tensor: Tensor, where: str) -> Sequence[Any]:
    """Return one value a row: scalars, or lists where there is a second dimension other than 1."""
    if tensor.datatype not in _TYPES:
        raise RequestInvalid(f"must be one of {', '.join(_TYPES)}", 422, f"{where}.datatype")
    if not 1 <= len(tensor.shape) <= 2 or min(tensor.shape) < 0:
        raise RequestInvalid("must be [rows] or [rows, width]", 422, f"{where}.shape")
    rows, width = tensor.shape[0], tensor.shape[1] if len(tensor.shape) == 2 else 1
    data = _flat(tensor.data)
    if len(data) != rows * width:
        raise RequestInvalid(f"holds {len(data)} values, but its shape says {rows * width}", 422, f"{where}.data")
    for place, value in enumerate(data):
        if value is not None and type(value) not in _TYPES[tensor.datatype]:
            raise RequestInvalid(f"is not of datatype {tensor.datatype}", 422, f"{where}.data[{place}]")
    if width == 1:
        return data
    if width == 0 and rows > MAXIMUM_EMPTY:
        # Rows without a value cost no bytes, so that nothing else bounds their number.
        raise RequestInvalid(f"more than {MAXIMUM_EMPTY} rows without a value", 422, f"{where}.shape")
    return [data[row * width : (row + 1) * width] for row in range(rows)]


def _flat(data: list[Any]) -> list[Any]:
    """Return nested data row after row; the protocol takes both."""
    if not any(type(value) is list for value in data):
        return data
    return [value for row in data for value in (row if type(row) is list else [row])]


def outputs_of(predictions: Predictions, rows: int, wanted: Sequence[str] | None) -> list[dict[str, Any]]:
    """Return the output tensors that are `wanted`, all where that is None.

    Raises
    ------
    RequestInvalid
        422 where an output is wanted that there is not.
    """
    made = {each["name"]: each for each in _all_outputs(predictions, rows)}
    for index, name in enumerate(wanted or ()):
        if name not in made:
            raise RequestInvalid(
                f"there is no output {name[:100]!r}; there is {', '.join(made)}", 422, f"outputs[{index}].name"
            )
    return [made[name] for name in (made if wanted is None else dict.fromkeys(wanted))]


def _all_outputs(predictions: Predictions, rows: int) -> list[dict[str, Any]]:
    if predictions.values is not None:
        return [_tensor("value", "FP64", [rows], predictions.values.tolist())]
    if predictions.probabilities is None or not predictions.classes:
        return [_tensor("label", "BYTES", [rows], [None] * rows)]
    best = predictions.probabilities.argmax(axis=1).tolist()
    datatype = _datatype_of(predictions.classes)
    names = list(map(class_name, predictions.classes))
    labels = [names[column] if datatype == "BYTES" else predictions.classes[column] for column in best]
    shape = list(predictions.probabilities.shape)
    probabilities = _tensor("probabilities", "FP32", shape, predictions.probabilities.ravel().tolist())
    return [_tensor("label", datatype, [rows], labels), probabilities | {"parameters": {"classes": names}}]


def _tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def _datatype_of(classes: Sequence[Label]) -> str:
    """Return the datatype that holds all classes: text where they are of several types."""
    kinds = {type(label) for label in classes}
    if kinds == {bool}:
        return "BOOL"
    return "INT64" if kinds == {int} else "BYTES"


def metadata_of(features: Sequence[Mapping[str, Any]], task: str | None, classes: Sequence[Label]) -> dict[str, Any]:
    """Return the inputs and outputs of a model: the features seen so far, and what it predicts."""
    inputs: dict[str, dict[str, Any]] = {}
    for feature in features:
        name, kind = str(feature["name"]), str(feature["kind"])
        if kind == "vector":
            name = name.rpartition("[")[0]
        shape = [-1, -1] if kind in ("vector", "tokens") else [-1]
        inputs.setdefault(name, {"name": name, "datatype": _DATATYPES.get(kind, "FP64"), "shape": shape})
    if task == "regression":
        return {"inputs": list(inputs.values()), "outputs": [{"name": "value", "datatype": "FP64", "shape": [-1]}]}
    label = {"name": "label", "datatype": _datatype_of(classes), "shape": [-1]}
    probabilities = {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(classes)]}
    return {"inputs": list(inputs.values()), "outputs": [label, probabilities]}
