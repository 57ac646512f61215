"""What nobody sends on purpose: whatever comes, parameters stay finite and answers sane, with every kind of learner."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from models.examples import Examples, FeatureKey, Features, Kind, Label, Task
from models.experts import EXPERTS
from models.learner import Learner, LearnerOptions
from models.networks import NETWORKS
from models.registry import LEARNERS, create_learner
from tests.support.learning import labelled, numbers, numbers_of

# What stands in a table under two names is not tested twice; those without a look at the features have nothing to lose.
TABLES = (*({made: kind for kind, made in table.items()} for table in (NETWORKS, EXPERTS, LEARNERS)),)
KINDS = sorted({kind for table in TABLES for kind in table.values()} - {"last", "prior"})
BLIND = {"bayes", "recall"}
"""Those that take no notice of numbers: no more than sound is asked of them where labels follow from numbers."""
REPEATS = {"batch"}
"""What learns again and again from all rows that it keeps: it is given fewer, for the time that it takes."""
ONE_BY_ONE = {"online"}
"""What sees the first rows one after the other, and cannot tell yet which of them are garbage."""
CLASSES = [Task.BINARY, Task.MULTICLASS]
ROWS = 1000

Values = NDArray[np.float64]


def learner(kind: str, task: Task) -> Learner:
    """Return a new learner."""
    return create_learner(LearnerOptions(kind=kind, device="cpu"), task)


def learn(made: Learner, given: Examples, rows: int = 50) -> None:
    """Have `given` learned in microbatches, looking at the parameters and at what is answered meanwhile."""
    for start in range(0, len(given), rows):
        made.learn(given.slice(start, start + rows))
    answer(made, given.features.take(np.arange(min(len(given), 100))))


def answer(made: Learner, features: Features) -> Values:
    """Return what is answered, having checked that it is sound, and all that it comes from finite."""
    trial = made.try_out(features)
    assert trial.finite
    answers = numbers_of(trial.predictions)
    assert np.isfinite(answers).all()
    if trial.predictions.probabilities is not None:
        assert (answers >= 0).all()
        np.testing.assert_allclose(answers.sum(1), 1.0, atol=1e-4)
    return answers


def share_right(made: Learner, given: Examples) -> float:
    """Return the accuracy on some rows."""
    predictions = made.try_out(given.features).predictions
    guesses = [predictions.classes[place] for place in numbers_of(predictions).argmax(1).tolist()]
    return float(np.mean([guess == label for guess, label in zip(guesses, given.labels, strict=True)]))


def expect_learned(
    kind: str, made: Learner, values: Values, labels: list[Label], *, right: float = 0.75, error: float = 0.6
) -> None:
    """Check that most of the last rows are answered rightly, or with an error below that share of what the mean has."""
    answers = answer(made, numbers(values[-300:]))
    if kind in BLIND:
        return
    if made.task is Task.REGRESSION:
        truth = np.array(labels, np.float64)
        assert np.abs(answers - truth[-300:]).mean() < error * np.abs(truth - truth.mean()).mean()
    else:
        assert share_right(made, labelled(numbers(values[-300:]), labels[-300:])) > right


def easy(task: Task, rows: int, seed: int = 0) -> tuple[Values, list[Label], Values]:
    """Return three features, labels that follow from the first two, and the score that they follow from."""
    values = np.random.default_rng([seed, rows]).normal(size=(rows, 3))
    score = values[:, 0] - values[:, 1]
    return values, labels_of(task, score), score


def labels_of(task: Task, score: Values) -> list[Label]:
    """Return labels that follow from a score."""
    if task is Task.REGRESSION:
        return list(score.tolist())
    return list(np.digitize(score, [0.0] if task is Task.BINARY else [-0.7, 0.7]).astype(str).tolist())


def mixed(task: Task, rows: int) -> tuple[list[Label], Values]:
    """Return labels that follow from nothing, and their shares or their mean."""
    random = np.random.default_rng(7)
    if task is Task.REGRESSION:
        found = 100 + 5 * random.normal(size=rows)
        return list(found.tolist()), np.array([found.mean()])
    shares = np.array([0.7, 0.3] if task is Task.BINARY else [0.6, 0.3, 0.1])
    return list(random.choice([str(place) for place in range(len(shares))], rows, p=shares).tolist()), shares


def expect_average(made: Learner, features: Features, labels: Sequence[Label], average: Values, off: float) -> None:
    """Check that answers are about the average of the labels: the shares of the classes, or the mean."""
    answers = answer(made, features)
    if made.task is Task.REGRESSION:
        assert np.abs(answers - average).max() < 4 * off * np.std(np.array(labels, np.float64))
        return
    classes = made.try_out(features).predictions.classes
    expected = [average[int(str(label))] for label in classes]
    assert np.abs(answers - expected).max() < off


@pytest.mark.parametrize("task", CLASSES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_single_class_so_far(kind: str, task: Task) -> None:
    """A stream that begins with one class would break the learner, or blind it to the second."""
    made = learner(kind, task)
    values, labels, _ = easy(task, ROWS)
    learn(made, labelled(numbers(values[:500]), ["0"] * 500))
    assert (answer(made, numbers(values[:50])) > 0.9).all()
    for _ in range(2):  # batch training begins anew only once there are twice as many rows
        learn(made, labelled(numbers(values), labels))
    expect_learned(kind, made, values, labels)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("kind", KINDS)
def test_constant_features(kind: str, task: Task) -> None:
    """Dividing by a deviation of zero would make everything NaN."""
    made = learner(kind, task)
    labels, average = mixed(task, ROWS)
    constant = numbers(np.tile([3.0, 0.0, -1e6], (ROWS, 1)))
    learn(made, labelled(constant, labels))
    expect_average(made, constant.take(np.arange(5)), labels, average, 0.25)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("kind", KINDS)
def test_all_features_missing(kind: str, task: Task) -> None:
    """A source that sends nulls, or nothing at all, would make everything NaN."""
    made = learner(kind, task)
    labels, average = mixed(task, ROWS)
    half = ROWS // 2
    nulls = Features(half, (FeatureKey("x", Kind.NUMBER),), np.full((half, 1), np.nan), {"city": [None] * half})
    learn(made, labelled(nulls, labels[:half]))
    learn(made, labelled(Features.empty(half), labels[half:]))
    for features in (nulls.take(np.arange(5)), Features.empty(5), numbers(np.ones((5, 2)), "unheard")):
        expect_average(made, features, labels, average, 0.25)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_contradict_each_other(kind: str, task: Task) -> None:
    """A learner would chase the last label with ever larger parameters, or be certain of one of two."""
    made = learner(kind, task)
    values = np.repeat(np.random.default_rng(3).normal(size=(20, 3)), 2, 0)[np.arange(ROWS) % 40]
    opposed: list[Label] = [-1.0, 1.0] if task is Task.REGRESSION else ["0", "1"]
    learn(made, labelled(numbers(values), opposed * (ROWS // 2)))
    answers = answer(made, numbers(values[:40]))
    if task is Task.REGRESSION:
        assert np.abs(answers).max() < 0.75
    else:
        assert answers.max() < 0.9


@pytest.mark.parametrize(("centre", "unit"), [(1e30, 1e29), (0.0, 1e30), (-3e30, 1e30), (5.0, 1e-9), (0.0, 1e-9)])
@pytest.mark.parametrize("kind", KINDS)
def test_targets_of_any_scale(kind: str, centre: float, unit: float) -> None:
    """Squares would overflow, or the whole range would count as rounding; the unit of a target is nobody's business."""
    made = learner(kind, Task.REGRESSION)
    values, _, score = easy(Task.REGRESSION, ROWS)
    labels: list[Label] = list((centre + unit * score).tolist())
    learn(made, labelled(numbers(values), labels))
    expect_learned(kind, made, values, labels)


@pytest.mark.parametrize("kind", KINDS)
def test_single_targets_of_1e30(kind: str) -> None:
    """A broken sensor would stretch the scale so that nothing else is told apart, or have everybody answered 1e28."""
    made = learner(kind, Task.REGRESSION)
    values, _, score = easy(Task.REGRESSION, 3 * ROWS)
    labels = 20 + score
    labels[[200, 201, 700, 1200]] = 1e30, -1e30, 1e30, 1e30
    learn(made, labelled(numbers(values), list(labels.tolist())))
    fresh, _, score = easy(Task.REGRESSION, 400, 1)
    assert np.abs(answer(made, numbers(fresh)) - 20).max() < 30
    expect_learned(kind, made, fresh, list((20 + score).tolist()), error=0.8)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("kind", KINDS)
def test_duplicate_rows_by_the_thousand(kind: str, task: Task) -> None:
    """A producer that sends one event for ever would ruin what was learned, or what is to be learned after it."""
    made = learner(kind, task)
    values, labels, _ = easy(task, ROWS)
    learn(made, labelled(numbers(values), labels))
    same = np.zeros(2_000 if kind in REPEATS else 20_000, np.intp)
    learn(made, labelled(numbers(values[same]), [labels[0]] * len(same)), rows=500)
    for _ in range(2):  # against twenty thousand
        learn(made, labelled(numbers(values), labels))
    expect_learned(kind, made, values, labels, error=0.8)


@pytest.mark.parametrize("scaled", [1, 2])
@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("kind", KINDS)
def test_one_feature_on_a_scale_of_1e12(kind: str, task: Task, scaled: int) -> None:
    """A feature in nanoseconds would drown all others, or make parameters overflow; be it of use (1) or not (2)."""
    made = learner(kind, task)
    values, labels, _ = easy(task, ROWS)
    values[:, scaled] = 1e12 * (values[:, scaled] + 3)
    learn(made, labelled(numbers(values), labels))
    expect_learned(kind, made, values, labels)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("kind", KINDS)
def test_single_values_beyond_all_bounds(kind: str, task: Task) -> None:
    """One row with 1e300 in it would be the end of a model."""
    made = learner(kind, task)
    values, labels, score = easy(task, ROWS)
    spoilt = values.copy()
    spoilt[300, 0], spoilt[301, 1], spoilt[302] = 1e300, -1e300, 1e200
    learn(made, labelled(numbers(spoilt), labels))
    answers = answer(made, numbers(spoilt[295:305]))
    assert np.abs(answers).max() <= 3 * np.abs(score).max()
    expect_learned(kind, made, values, labels)


@pytest.mark.parametrize(
    ("task", "spoilt", "wild"),
    [
        (Task.BINARY, "features", slice(0, 50, 3)),
        (Task.REGRESSION, "features", slice(0, 50)),
        (Task.REGRESSION, "targets", slice(0, 50, 3)),
        (Task.REGRESSION, "targets", slice(0, 50)),
    ],
)
@pytest.mark.parametrize("kind", sorted(set(KINDS) - ONE_BY_ONE))
def test_garbage_at_the_very_beginning(kind: str, task: Task, spoilt: str, wild: slice) -> None:
    """A source that warms up would set the scale for good: nothing of what is sane would be told apart any more."""
    made = learner(kind, task)
    values, labels, _ = easy(task, 2 * ROWS)
    random = np.random.default_rng(1)
    given, targets = values.copy(), list(labels)
    if spoilt == "features":
        given[wild] = 1e12 * random.normal(size=given[wild].shape)
    else:
        targets[wild] = (1e30 * random.normal(size=len(targets[wild]))).tolist()
    learn(made, labelled(numbers(given), targets))
    expect_learned(kind, made, values, labels)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("kind", KINDS)
def test_each_row_comes_eight_times(kind: str, task: Task) -> None:
    """A sensor that changes slower than it is read would make steps that add up in one direction, and diverge."""
    made = learner(kind, task)
    values, labels, _ = easy(task, ROWS // 2)
    again = np.repeat(np.arange(ROWS // 2), 8)
    learn(made, labelled(numbers(values[again]), [labels[place] for place in again.tolist()]), rows=64)
    expect_learned(kind, made, values, labels)
