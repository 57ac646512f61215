"""Predictions as columns → the JSON that a client gets: one object an instance, in the order of the request."""

from collections.abc import Sequence

import msgspec

from models.answered import class_name
from models.examples import Label
from models.learner import Predictions
from service.predictor import Served

InstanceId = str | int | None


class Reasons(msgspec.Struct):
    """Why a row was answered as it was; see :class:`models.explanation.Explanation`."""

    contributions: dict[str, float]
    baseline: float
    output: float
    scale: str
    method: str


class ClassPrediction(msgspec.Struct, omit_defaults=True):
    """The most probable class; what there is not (`probabilities`, `id`, `arm`, `explanation`) is left out."""

    label: Label | None
    probabilities: dict[str, float] | None = None
    id: InstanceId = None
    arm: str | None = None
    explanation: Reasons | None = None


class NumberPrediction(msgspec.Struct, omit_defaults=True):
    """The expected number."""

    value: float
    id: InstanceId = None
    arm: str | None = None
    explanation: Reasons | None = None


class Answer(msgspec.Struct):
    """The whole answer; field by field what ``schemas.PredictionAnswer`` documents."""

    model: str
    model_version: int
    model_age_seconds: float
    learner: str
    predictions: Sequence[ClassPrediction | NumberPrediction]


_encoder = msgspec.json.Encoder()


def encode_answer(model: str, served: Served, made: Sequence[ClassPrediction | NumberPrediction]) -> bytes:
    """Return the body of the answer that consists of what :func:`answer_rows` made."""
    return _encoder.encode(Answer(model, served.version, served.age(), served.learner, made))


def answer_rows(predictions: Predictions, ids: Sequence[InstanceId]) -> Sequence[ClassPrediction | NumberPrediction]:
    """Return one prediction for each of `ids`."""
    made = _rows(predictions, ids)
    if predictions.contenders is not None:
        for row, contender in zip(made, predictions.contenders, strict=True):
            row.arm = contender
    return made


def _rows(predictions: Predictions, ids: Sequence[InstanceId]) -> Sequence[ClassPrediction | NumberPrediction]:
    if predictions.values is not None:
        return [NumberPrediction(value, key) for value, key in zip(predictions.values.tolist(), ids, strict=True)]
    if predictions.probabilities is None or not predictions.classes:
        return [ClassPrediction(None, None, key) for key in ids]
    names = list(map(class_name, predictions.classes))
    best = predictions.probabilities.argmax(axis=1).tolist()
    return [
        ClassPrediction(predictions.classes[column], dict(zip(names, row, strict=True)), key)
        for column, row, key in zip(best, predictions.probabilities.tolist(), ids, strict=True)
    ]
