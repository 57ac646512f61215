"""What ``checks.py`` expects, said in one place: shapes, dtypes, finite numbers, equality bit for bit."""

from collections.abc import Callable

import numpy as np

from models.examples import Features, Task
from models.learner import Array, Learner, LearnerState, Predictions, Predictor

Factory = Callable[[], Learner]


def expect(condition: bool, message: str) -> None:
    """Raise AssertionError with `message` unless `condition` holds (``assert`` is stripped by ``python -O``)."""
    if not condition:
        raise AssertionError(message)


def expect_same_predictions(left: Predictor, right: Predictor, features: Features) -> None:
    """Raise AssertionError unless two predictors answer alike, bit for bit."""
    one, other = left.predict(features), right.predict(features)
    expect(one.classes == other.classes, f"classes {one.classes} and {other.classes}")
    np.testing.assert_array_equal(answers(one), answers(other))


def expect_same_state(left: LearnerState, right: LearnerState) -> None:
    """Raise AssertionError unless two states are equal, bit for bit."""
    expect(left.meta == right.meta, f"states differ: {left.meta} and {right.meta}")
    expect(left.arrays.keys() == right.arrays.keys(), "states have different arrays")
    for name, array in left.arrays.items():
        np.testing.assert_array_equal(array, right.arrays[name], err_msg=name, strict=True)


def answers(predictions: Predictions) -> Array:
    """Return the probabilities or the values."""
    found = predictions.values if predictions.probabilities is None else predictions.probabilities
    if found is None:
        raise AssertionError("a prediction has neither probabilities nor values")
    return found


def expect_sound(predictions: Predictions, rows: int, task: Task) -> None:
    """Raise AssertionError unless predictions have the shapes and dtypes promised, are finite, and sum to 1."""
    if task is Task.REGRESSION:
        expect(predictions.probabilities is None and predictions.classes == (), "regression predicts values only")
        expect(answers(predictions).shape == (rows,), f"{answers(predictions).shape} for {rows} rows")
        expect(answers(predictions).dtype == np.float64, f"values are {answers(predictions).dtype}")
    else:
        expect(predictions.values is None, "classes have no values")
        expect(answers(predictions).shape == (rows, len(predictions.classes)), f"{answers(predictions).shape}")
        expect(answers(predictions).dtype == np.float32, f"probabilities are {answers(predictions).dtype}")
        if predictions.classes:
            np.testing.assert_allclose(answers(predictions).sum(1), 1, atol=1e-5)
            expect(bool((answers(predictions) >= 0).all()), "a probability is negative")
    expect(bool(np.isfinite(answers(predictions)).all()), "a prediction is not finite")
