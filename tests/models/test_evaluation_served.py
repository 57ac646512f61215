"""Rows are scored by what was really answered, where that is known, and by the learner's own prediction elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.answered import UNANSWERED, Answered, class_name
from models.evaluation import BLOCK, Prequential
from models.examples import Examples, Label, Task
from models.learner import Learner, LearnerOptions
from models.registry import create_learner
from tests.support.learning import stream

CLASSES: tuple[Label, ...] = ("late", True, 3)
NAMES = ("late", "true", "3")


def asked(rows: int, seed: int = 0, *, current: int = 100) -> tuple[Answered, NDArray[np.bool_]]:
    """Return answers to two rows in three, the classes in another order than the learner's, and which they are."""
    random = np.random.default_rng(seed)
    there = np.arange(rows) % 3 > 0
    shares = random.dirichlet(np.ones(3), rows).astype(np.float32) * there[:, None]
    versions = np.where(there, random.integers(0, current, rows), UNANSWERED)
    values = np.where(there, random.normal(size=rows), np.nan)
    return Answered(versions, (NAMES[2], NAMES[0], NAMES[1]), shares, values, current), there


def own(task: Task, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a learner's own predictions, and the targets."""
    random = np.random.default_rng(7)
    if task is Task.REGRESSION:
        return torch.tensor(random.normal(size=rows)), torch.tensor(random.normal(size=rows))
    shares = random.dirichlet(np.ones(3), rows).astype(np.float32)
    return torch.tensor(shares), torch.tensor(random.integers(3, size=rows))


@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.REGRESSION])
@pytest.mark.parametrize("one_by_one", [False, True])
def test_what_was_answered_is_scored_and_the_rest_as_ever(task: Task, one_by_one: bool) -> None:
    """A model would be praised for what it would say by now, and nobody be told how good the answers were."""
    rows = 2 * BLOCK + 77
    predictions, targets = own(task, rows)
    answered, there = asked(rows)
    evaluation = Prequential(task, 900, "cpu", one_by_one=one_by_one, learned=True)
    evaluation.grow(3)
    weights = np.random.default_rng(8).choice([0.0, 0.5, 2.0], rows).astype(np.float32)
    for cut in (slice(0, 10), slice(10, 1500), slice(1500, rows)):
        given = answered.take(cut)
        evaluation.update(predictions[cut], targets[cut], weights[cut], answered=given, classes=CLASSES)
    scores, weight = evaluation.scores(), weights.astype(float)
    for scope, part in (("stream", slice(0, rows)), ("window", slice(rows - 900, rows))):
        inside, known, w = scores[scope], there[part], weight[part]
        if task is Task.REGRESSION:
            said = np.where(known, answered.values[part], predictions.numpy()[part])
            assert inside["mae"] == pytest.approx(np.average(abs(said - targets.numpy()[part]), weights=w), rel=1e-12)
        else:
            said = np.where(known[:, None], answered.columns_of(NAMES)[part], predictions.numpy()[part])
            right = said.argmax(1) == targets.numpy()[part]
            assert inside["accuracy"] == pytest.approx(np.average(right, weights=w), rel=1e-12)
            of_target = said[np.arange(len(said)), targets.numpy()[part]].astype(float)
            assert inside["log_loss"] == pytest.approx(np.average(-np.log(of_target), weights=w), rel=1e-12)
        assert inside["coverage"] == pytest.approx(np.average(known, weights=w), rel=1e-12)
        ages = 100 - answered.versions[part]
        assert inside["answer_age"] == pytest.approx(np.average(ages[known], weights=w[known]), rel=1e-12)


@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.REGRESSION])
def test_restored_goes_on_bit_for_bit(task: Task) -> None:
    """After a restart the scores would be those of other answers."""
    predictions, targets = own(task, 4000)
    answered, _ = asked(4000)
    whole, first, second = (Prequential(task, 700, "cpu") for _ in range(3))
    for evaluation, cut in ((whole, slice(0, 2500)), (first, slice(0, 2500))):
        evaluation.grow(3)
        weights = np.ones(2500, np.float32)
        evaluation.update(predictions[cut], targets[cut], weights, answered=answered.take(cut), classes=CLASSES)
    second.restore(*first.state())
    rest = slice(2500, 4000)
    for evaluation in (whole, second):
        weights = np.ones(1500, np.float32)
        evaluation.update(predictions[rest], targets[rest], weights, answered=answered.take(rest), classes=CLASSES)
    assert second.scores() == whole.scores()
    assert second.reliability() == whole.reliability()
    assert (second.state()[0], sorted(second.state()[1])) == (whole.state()[0], sorted(whole.state()[1]))


def test_answers_of_nobody_here_are_not_scored() -> None:
    """A model that learns an old topic anew would be given the score of the one that answered then.

    An answer that says nothing, or names no class that is known, is none either.
    """
    predictions, targets = own(Task.MULTICLASS, 4)
    shares = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], np.float32)
    alien = Answered(np.array([5, 6, 5, 5]), ("late", "unheard of"), shares, np.full(4, np.nan), 5)
    found, expected = (Prequential(Task.MULTICLASS, 10, "cpu", learned=True) for _ in range(2))
    for evaluation, answered in ((found, alien), (expected, replace(alien.take(slice(0, 1)), current=5))):
        evaluation.grow(3)
        cut = slice(0, len(answered))
        weights = np.ones(len(answered), np.float32)
        evaluation.update(predictions[cut], targets[cut], weights, answered=answered, classes=CLASSES)
    expected.update(predictions[1:], targets[1:], np.ones(3, np.float32))
    for score in ("accuracy", "log_loss", "balanced_accuracy", "coverage", "answer_age"):
        assert found.scores()["stream"][score] == expected.scores()["stream"][score]
    assert found.scores()["stream"]["coverage"] == 0.25


@pytest.mark.parametrize("task", list(Task))
def test_a_state_of_before_is_taken_on(task: Task) -> None:
    """An upgrade would end every model that has learned."""
    evaluation = Prequential(task, 50, "cpu", learned=True)
    evaluation.grow(3)
    predictions, targets = own(task, 40)
    if task is Task.BINARY:
        predictions, targets = predictions[:, :2], targets.clamp(max=1)
    evaluation.update(predictions, targets, np.ones(40, np.float32))
    meta, arrays = evaluation.state()
    before = {name: array for name, array in arrays.items() if name != "total_answered"}
    before["recent"] = arrays["recent"][:-1]
    former = {**{key: value for key, value in meta.items() if key != "answered"}, "schema": 2}
    taken = Prequential(task, 50, "cpu")
    taken.restore(former, before)
    scores, expected = taken.scores(), evaluation.scores()
    if task is Task.MULTICLASS:  # how sure answers were was not kept then
        assert expected["window"].pop("calibration_error") > 0
    assert scores == expected
    assert "coverage" not in scores["stream"]


def answers_to(examples: Examples, task: Task, classes: tuple[Label, ...]) -> Answered:
    """Return an answer to each row that is far from what anybody would learn: always wrong."""
    rows, names = len(examples), tuple(class_name(label) for label in classes)
    if task is Task.REGRESSION:
        return Answered(np.zeros(rows, np.int64), (), np.zeros((rows, 0), np.float32), np.full(rows, 1e6))
    wrong = [(classes.index(label) + 1) % len(classes) for label in examples.labels]
    return Answered(np.zeros(rows, np.int64), names, np.eye(len(classes), dtype=np.float32)[wrong], np.full(rows, 0.0))


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("kind", ["online", "linear", "leaves", "batch"])
def test_every_learner_scores_what_was_answered_and_learns_the_same(kind: str, task: Task) -> None:
    """One kind of learner would be scored on answers and another on afterthoughts; or answers would change learning."""
    asked_one, other = (create_learner(LearnerOptions(kind=kind), task) for _ in range(2))
    classes = tuple(dict.fromkeys(stream(task, 512, 0).labels)) if task is not Task.REGRESSION else ()
    for turn in range(4):
        examples = stream(task, 64, turn)
        other.learn(examples)
        asked_one.learn(replace(examples, answered=answers_to(examples, task, classes)) if turn else examples)
    scores = asked_one.status().scores["window"]
    if task is Task.REGRESSION:
        assert scores["mae"] > 1e5
    else:
        assert scores["accuracy"] <= (63 / 255 if kind == "online" else 0)
    # The first microbatch is not scored, but by the one that learns each event before the next.
    assert scores["coverage"] == pytest.approx(192 / 255 if kind == "online" else 1)
    assert_same(asked_one, other, task)


def assert_same(one: Learner, other: Learner, task: Task) -> None:
    """Assert that two learners answer alike, bit for bit."""
    features = stream(task, 50, 99).features
    predicted = [each.predictor().predict(features) for each in (one, other)]
    for name in ("probabilities", "values"):
        found = [getattr(each, name) for each in predicted]
        assert found[0] is None or np.array_equal(found[0], found[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.REGRESSION])
def test_answers_are_scored_without_waiting_for_the_device(task: Task) -> None:
    """Every microbatch with an answer in it would wait until the device has caught up."""
    predictions, targets = own(task, 4000)
    answered, _ = asked(4000)
    on_device, on_host = Prequential(task, 1500, "cuda", learned=True), Prequential(task, 1500, "cpu", learned=True)
    for evaluation in (on_device, on_host):
        evaluation.grow(3)
    there = predictions.cuda(), targets.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for start in range(0, 4000, 500):
            cut = slice(start, start + 500)
            weights, given = np.ones(500, np.float32), answered.take(cut)
            on_device.update(there[0][cut], there[1][cut], weights, answered=given, classes=CLASSES)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    weights = np.ones(4000, np.float32)
    on_host.update(predictions, targets, weights, answered=answered, classes=CLASSES)
    assert on_device.scores()["stream"]["coverage"] == on_host.scores()["stream"]["coverage"]
    name = "mae" if task is Task.REGRESSION else "log_loss"
    assert on_device.scores()["stream"][name] == pytest.approx(on_host.scores()["stream"][name], rel=1e-6)
