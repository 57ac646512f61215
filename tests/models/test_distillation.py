"""A teacher's answers in the loss: what is learned of them is exact, and every kind of learner is helped by it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.checks_data import examples
from models.distillation import NAMED, heard, in_sequence, lesson_in_classes, lesson_in_numbers
from models.examples import Examples, Task
from models.learner import Learner, LearnerOptions, Predictions
from models.registry import create_learner
from models.taught import Taught
from tests.support.training import same_state

KINDS = ("auto", "leaves", "rls", "knn", "linear", "mlp", "fm", "online", "batch")


def said(*rows: tuple[float, ...], weight: float = 0.5, temperature: float = 1.0) -> Taught:
    """Return what a teacher of the classes a, b and c says."""
    found = heard(Predictions(("a", "b", "c"), np.array(rows, np.float32)), weight, temperature)
    assert found is not None
    return found


def knows(task: Task, rows: Examples, weight: float = 0.5) -> Taught:
    """Return what a teacher says that knows the labels of rows, and is sure of them by 0.9."""
    if task is Task.REGRESSION:
        found = heard(Predictions(values=np.array(rows.labels, np.float64)), weight)
    else:
        classes = tuple(sorted(set(examples(task, 500, 99).labels), key=str))
        right = np.array([[label == known for known in classes] for label in rows.labels])
        found = heard(Predictions(classes, np.where(right, 0.9, 0.1 / (len(classes) - 1)).astype(np.float32)), weight)
    assert found is not None
    return found


def test_the_mixed_loss_is_that_of_weighted_rows() -> None:
    """If this fails, what is minimised is not the loss that the documentation names."""
    taught = said((0.7, 0.2, 0.1), (0.0, 1.0, 0.0), weight=0.4)
    lesson = lesson_in_classes(taught, np.array([1]), np.array([True, False]), np.array([0, 1, 2]))
    found = {(row, target): share for row, target, share in zip(*lesson[:3], strict=True)}
    assert found == pytest.approx({(0, 0): 0.28, (0, 1): 0.68, (0, 2): 0.04, (1, 1): 1.0}, abs=1e-3)
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).log_softmax(1)
    weighted = -sum(share * logits[row, target] for (row, target), share in found.items() if row == 0)
    mixed = -(0.6 * logits[0, 1] + 0.4 * (torch.tensor([0.7, 0.2, 0.1]) @ logits[0]))
    assert float(weighted) == pytest.approx(float(mixed), abs=2e-3)


def test_a_number_is_drawn_towards_the_teachers() -> None:
    """If this fails, a regression ignores its teacher, or its labels."""
    taught = heard(Predictions(values=np.array([4.0, 8.0])), 0.25)
    assert taught is not None
    lesson = lesson_in_numbers(taught, np.array([0.0]), np.array([False, True]))
    assert lesson.targets.tolist() == [4.0, 2.0]
    assert lesson.own.tolist() == [False, True]


def test_improbable_classes_cost_nothing_and_the_likeliest_is_always_named() -> None:
    """If this fails, each row of a stream with a thousand classes is learned a thousand times, or not at all."""
    sure, torn = said((0.98, 0.01, 0.01)), said((0.34, 0.33, 0.33))
    assert (sure.shares.shape, torn.shares.shape) == ((1, 1), (1, 3))
    many = heard(Predictions(tuple(map(str, range(1000))), np.full((2, 1000), 0.001, np.float32)), 0.5)
    assert many is not None
    assert many.shares.shape[1] <= NAMED
    assert (many.shares > 0).any(1).all()


def test_temperature_makes_answers_more_or_less_alike() -> None:
    """If this fails, `teacher.temperature` does nothing, or the opposite."""
    row = (0.64, 0.16, 0.2)
    softer, same, sharper = (said(row, temperature=each).shares[0].astype(float) for each in (2.0, 1.0, 0.5))
    assert softer.tolist() == pytest.approx((np.sqrt([0.64, 0.2, 0.16]) / np.sqrt(row).sum()).tolist(), abs=1e-3)
    assert sharper[0] > same[0] > softer[0]


def test_a_teacher_without_a_word_says_nothing() -> None:
    """If this fails, a teacher that has learned nothing, or has broken, teaches that."""
    assert heard(Predictions(probabilities=np.empty((3, 0), np.float32)), 0.5) is None
    assert heard(Predictions(("a",), np.array([[np.nan]], np.float32)), 0.5) is None
    assert heard(Predictions(values=np.array([1.0, np.inf])), 0.5) is None


def test_in_sequence_each_label_comes_first_and_weights_add_up() -> None:
    """If this fails, River's models are scored by what they were just taught."""
    given = replace(
        examples(Task.MULTICLASS, 2), labels=["b", "a"], weights=np.array([2.0, 1.0], np.float32), taught=None
    )
    given = replace(given, labelled=np.array([True, False]), taught=said((0.7, 0.2, 0.1), (0.5, 0.5, 0.0), weight=0.4))
    sequence, own = in_sequence(given)
    assert list(sequence.labels)[:1] == ["b"]
    assert own.tolist() == [True, False, False, False, False]
    assert sequence.weights[:3].sum() == pytest.approx(2.0, abs=1e-3)
    assert sequence.weights[3:].sum() == pytest.approx(0.4, abs=1e-3)


def taught_by(learner: Learner, rows: Examples, labelled: np.ndarray) -> None:
    """Have a learner learn rows of which some have a label, with a teacher that knows."""
    learner.learn(replace(rows, labelled=labelled, taught=knows(learner.task, rows)))


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("kind", KINDS)
def test_observations_teach_every_kind_of_learner(kind: str, task: Task) -> None:
    """If this fails, `teacher:` does nothing for some learner, or scores it by what its teacher said."""
    alone, student = (create_learner(LearnerOptions(kind=kind, device="cpu"), task) for _ in range(2))
    random = np.random.default_rng(3)
    for seed in range(10):
        rows = examples(task, 64, seed)
        labelled = random.random(64) < 0.04 if seed else np.arange(64) < 6
        alone.learn(rows.take(np.flatnonzero(labelled)))
        taught_by(student, rows, labelled)
    for learner in (alone, student):
        assert learner.status().scores["stream"]["count"] == student.status().scores["stream"]["count"]
    assert error(student, task) < error(alone, task)


def error(learner: Learner, task: Task) -> float:
    """Return how wrong a learner is about new rows: its log loss, or mean squared error."""
    rows = examples(task, 400, 77)
    predictions = learner.predictor().predict(rows.features)
    if task is Task.REGRESSION:
        assert predictions.values is not None
        return float(np.square(predictions.values - np.array(rows.labels, np.float64)).mean())
    assert predictions.probabilities is not None
    place = {label: column for column, label in enumerate(predictions.classes)}
    columns = np.array([place.get(label, -1) for label in rows.labels])
    found = np.where(columns < 0, 1e-6, predictions.probabilities[np.arange(400), columns])
    return float(-np.log(found.clip(1e-6)).mean())


@pytest.mark.parametrize("kind", ["auto", "online"])
@pytest.mark.parametrize("task", list(Task))
def test_what_was_taught_is_taught_again_bit_for_bit(kind: str, task: Task) -> None:
    """If this fails, a restart makes other parameters of the same words."""
    first, again = (create_learner(LearnerOptions(kind=kind, device="cpu"), task) for _ in range(2))
    random = np.random.default_rng(5)
    for seed in range(6):
        rows, labelled = examples(task, 40, seed), random.random(40) < (0.0 if seed == 2 else 0.3)
        taught_by(first, rows, labelled)
        if seed == 3:
            again.restore(first.state())
        elif seed > 3:
            taught_by(again, rows, labelled)
    assert same_state(first.state(), again.state())


def test_rows_without_a_label_that_nobody_teaches_change_nothing() -> None:
    """If this fails, a label that is not there is learned."""
    for kind in ("auto", "online", "batch"):
        learner = create_learner(LearnerOptions(kind=kind, device="cpu"), Task.BINARY)
        learner.learn(examples(Task.BINARY, 30))
        before = answers_of(learner)
        learner.learn(replace(examples(Task.BINARY, 20, 1), labelled=np.zeros(20, np.bool_)))
        assert answers_of(learner) == before
        assert learner.status().scores["stream"]["count"] <= 30


def answers_of(learner: Learner) -> list[list[float]]:
    """Return what a learner answers, and of which classes."""
    found = learner.predictor().predict(examples(Task.BINARY, 5, 9).features)
    assert found.probabilities is not None
    return [*found.probabilities.tolist(), [float(len(found.classes))]]


def test_a_row_of_no_weight_is_not_learned_from_its_teacher_either() -> None:
    """If this fails, a source that has had its share goes on teaching through the teacher."""
    rows = examples(Task.BINARY, 40)
    nothing = replace(rows, weights=np.zeros(40, np.float32), taught=knows(Task.BINARY, rows))
    learner, plain = (create_learner(LearnerOptions(kind="rls", device="cpu"), Task.BINARY) for _ in range(2))
    learner.learn(nothing)
    plain.learn(replace(nothing, taught=None))
    assert answers_of(learner) == answers_of(plain)
