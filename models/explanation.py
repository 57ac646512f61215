"""Why rows are answered as they are: what each feature contributes to the answer. Stands behind a predictor.

What is explained is one number for each row: the predicted value, or the logarithm of the odds of the class that is
answered. Any predictor is explained by occlusion: a feature's contribution is the difference that leaving it out makes
(Zeiler and Fergus, ECCV 2014), all others being there. A linear model is explained exactly (``explanation_sums.py``).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from models.examples import Features, Label
from models.explanation_sums import Shared, Sums, shared_out
from models.explanation_variants import Variants
from models.learner import Predictions, Predictor, SharingPredictor

Method = Literal["exact", "occlusion"]
Scale = Literal["value", "log_odds"]
Keys = NDArray[np.uint64]

CELLS = 1 << 20
"""Values among all variants that are computed at once: 8 MiB as a matrix."""

LEAST = 1e-12
"""Probabilities below are this one, so that contributions stay finite: float32 hardly tells 1 from what is nearer."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a row was answered as it was.

    Attributes
    ----------
    contributions
        Feature → what it contributes; those that the row has.
    baseline
        The same model's output for a row without any feature. If `method` is exact, it and the contributions add up to
        `output`; if not, the difference is what features do only together, or each as well without the others.
    output
        What is explained.
    scale
        What it is: a predicted value, or the logarithm of the odds of the class that is answered.
    method
        How it was found.
    """

    contributions: Mapping[str, float]
    baseline: float
    output: float
    scale: Scale
    method: Method


@runtime_checkable
class SummingPredictor(Protocol):
    """One that may be a sum over features."""

    def sums(self, features: Features) -> Sums | None:
        """Return what is summed; None where the model is no sum over features, or has learned nothing yet."""


def explain(
    predictor: Predictor, features: Features, keys: Keys | None = None
) -> tuple[Predictions, Sequence[Explanation]]:
    """Return what is predicted, and why: an explanation a row, or none at all where nothing is answered yet.

    Parameters
    ----------
    predictor
        What answers.
    features
        Of the rows.
    keys
        Where several learners share the rows, by what; see :class:`models.learner.SharingPredictor`.
    """
    predictions = _ask(predictor, features, keys)
    if not len(features) or (predictions.values is None and not predictions.classes):
        return predictions, []
    variants, answered = Variants(features), _answered(predictions)
    found = _exactly(predictor, variants, predictions, answered) if keys is None else None
    return predictions, _by_occlusion(predictor, variants, answered, keys) if found is None else found


def _ask(predictor: Predictor, features: Features, keys: Keys | None) -> Predictions:
    if keys is None or not isinstance(predictor, SharingPredictor):
        return predictor.predict(features)
    return predictor.predict_by(features, keys)


def _answered(predictions: Predictions) -> Sequence[Label] | None:
    """Return the class that is answered for each row; None for numbers."""
    if predictions.probabilities is None:
        return None
    return [predictions.classes[place] for place in predictions.probabilities.argmax(axis=1).tolist()]


def _pieces(variants: Variants) -> Iterator[tuple[int, int]]:
    """Yield first and end of variants to be computed at once."""
    size = max(1, CELLS // (variants.columns + 1))
    for start in range(0, len(variants), size):
        yield start, min(start + size, len(variants))


def _by_occlusion(
    predictor: Predictor, variants: Variants, answered: Sequence[Label] | None, keys: Keys | None
) -> list[Explanation]:
    outputs = []
    for start, stop in _pieces(variants):
        rows = variants.rows[start:stop]
        found = _ask(predictor, variants.take(start, stop), None if keys is None else keys[rows])
        outputs.append(_outputs_of(found, None if answered is None else [answered[row] for row in rows.tolist()]))
    output = np.concatenate(outputs)
    count = int(variants.rows.max()) + 1
    contributions = output[variants.rows[2 * count :]] - output[2 * count :]
    scale: Scale = "value" if answered is None else "log_odds"
    shared = Shared(contributions, output[count : 2 * count], output[:count])
    return _explanations(variants, shared, scale, "occlusion")


def _outputs_of(predictions: Predictions, answered: Sequence[Label] | None) -> NDArray[np.float64]:
    """Return values, or logarithms of the odds of some classes, one for each row; float64, shape (rows,)."""
    if answered is None or predictions.probabilities is None:
        return np.asarray(predictions.values, np.float64)
    probabilities = predictions.probabilities.astype(np.float64)
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities))  # there is nothing to be decided
    # Among several learners one may not know a class that others do: a column of zeros stands for it.
    places = {label: place for place, label in enumerate(predictions.classes)}
    columns = np.array([places.get(label, len(places)) for label in answered])
    probabilities = np.pad(probabilities, ((0, 0), (0, 1)))
    rows = np.arange(len(probabilities))
    of_answered = probabilities[rows, columns]
    probabilities[rows, columns] = 0.0
    odds: NDArray[np.float64] = np.maximum(of_answered, LEAST) / np.maximum(probabilities.sum(axis=1), LEAST)
    return np.log(odds)


def _exactly(
    predictor: Predictor, variants: Variants, predictions: Predictions, answered: Sequence[Label] | None
) -> list[Explanation] | None:
    """Return explanations of what is a sum over features; None where it is not."""
    undecided = answered is not None and len(predictions.classes) < 2  # odds against nothing are no number
    if undecided or not isinstance(predictor, SummingPredictor):
        return None
    found = []
    for start, stop in _pieces(variants):
        sums = predictor.sums(variants.take(start, stop))
        if sums is None:
            return None
        found.append(sums)
    places = {label: place for place, label in enumerate(predictions.classes)}
    columns = None if answered is None else np.array([places[label] for label in answered])
    sums = Sums(np.concatenate([each.outputs for each in found]), found[0].shares)
    shared = shared_out(sums, variants.rows, columns)
    if shared is None:
        return None
    scale: Scale = "value" if answered is None else "log_odds"
    return _explanations(variants, shared, scale, "exact")


def _explanations(variants: Variants, shared: Shared, scale: Scale, method: Method) -> list[Explanation]:
    """Return one explanation a row."""
    contributions, baseline, output = shared
    each: list[dict[str, float]] = [{} for _ in output]
    rows = variants.rows[2 * len(output) :].tolist()
    for row, name, contribution in zip(rows, variants.names(), contributions.tolist(), strict=True):
        each[row][name] = each[row].get(name, 0.0) + contribution  # a feature may be called `city=Oslo` by its client
    return [
        Explanation(one, of_nothing, whole, scale, method)
        for one, of_nothing, whole in zip(each, baseline.tolist(), output.tolist(), strict=True)
    ]
