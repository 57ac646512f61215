"""Batch training: when it trains, over what, and what it forgets. The contract's tests are in tests/contract."""

from dataclasses import replace

import numpy as np
import pytest

from models.batch_learner import BatchLearner
from models.batch_past import PIECE, Past, epoch, grouped
from models.checks_data import examples, with_labels
from models.errors import LearnerOptionsInvalid
from models.examples import Examples, Task
from models.learner import LearnerOptions


def make(**network: int) -> BatchLearner:
    """Return a learner with settings of its own."""
    return BatchLearner(LearnerOptions(kind="batch", device="cpu", network=network), Task.MULTICLASS)


def test_it_trains_at_doublings_and_then_every_so_often() -> None:
    """Training would cost ever more, or what is answered would be old."""
    learner, trained = make(every=200, epochs=1), []
    before = learner.published().arrays
    for seed in range(14):
        learner.learn(examples(Task.MULTICLASS, 50, seed))
        after = learner.published(flush=True)
        if after.changed != {}:
            trained.append((seed + 1) * 50)
            before = after.arrays
        assert after.arrays is before
    assert trained == [50, 100, 200, 400, 600]


def test_the_past_is_bounded_and_classes_stay() -> None:
    """Memory would grow with the stream, or a class that was not met for long would vanish from the answers."""
    learner = make(past=100, every=100, epochs=1)
    learner.learn(with_labels(examples(Task.MULTICLASS, 10), ["rare"] * 10))
    for seed in range(6):
        learner.learn(examples(Task.MULTICLASS, 64, seed))
    kept = learner.state().arrays["past/rows"]
    learner.learn(examples(Task.MULTICLASS, 64, 9))
    assert abs(len(learner.state().arrays["past/rows"]) - len(kept)) < 0.1 * len(kept)
    assert learner.predictor().predict(examples(Task.MULTICLASS, 1).features).classes[0] == "rare"


def test_an_epoch_goes_through_all_rows_once_in_another_order() -> None:
    """Rows would be learned twice or never, or always in the order of the stream."""
    past = Past(1000)
    given = examples(Task.REGRESSION, 5 * PIECE + 7)
    for start in range(0, len(given), 3):
        past.add(given.slice(start, start + 3))
    rest, newest = past.held_out()
    assert (sum(map(len, rest)), newest) == (len(given), [])
    random = np.random.default_rng(0)
    orders = [Examples.concatenate(list(epoch(rest, 100, random))).labels for _ in range(2)]
    assert orders[0] != orders[1]
    assert sorted(map(float, orders[0])) == sorted(map(float, given.labels)) == sorted(map(float, orders[1]))
    assert all(len(minibatch) <= 100 for minibatch in epoch(rest, 100, random))


def test_the_newest_rows_are_held_out() -> None:
    """Training would not know when to stop, or would stop by rows that it has learned."""
    past = Past(10_000)
    given = examples(Task.REGRESSION, 20 * PIECE)
    past.add(given)
    rest, newest = past.held_out()
    assert [label for piece in newest for label in piece.labels] == given.labels[18 * PIECE :]
    assert sum(map(len, rest)) == 18 * PIECE


def test_garbage_in_the_past_lies_at_a_bound_and_all_else_is_as_it_was() -> None:
    """What comes again in every epoch would become what is usual, or sane rows would be changed with the others."""
    past, given = Past(1000), examples(Task.REGRESSION, 3 * PIECE)
    numbers, labels = given.features.numbers.copy(), list(given.labels)
    numbers[:20, 0], labels[7] = 1e300, -1e30
    spoilt = replace(given, features=replace(given.features, numbers=numbers), labels=labels)
    past.add(spoilt)
    (found,) = grouped(past.cleaned(numeric=True).held_out()[0], 1000)
    assert np.nanmax(found.features.numbers[:, 0]) < np.nanmax(given.features.numbers[:, 0]) + 500
    np.testing.assert_array_equal(found.features.numbers[20:], numbers[20:])
    np.testing.assert_array_equal(found.features.numbers[:, 1:], numbers[:, 1:])
    assert [*found.labels[:7], *found.labels[8:]] == [*labels[:7], *labels[8:]]
    assert 700 < float(found.labels[7]) < 1000
    # What is kept is kept as it came.
    (kept,) = grouped(past.held_out()[0], 1000)
    assert kept.labels[7] == -1e30


@pytest.mark.parametrize("wrong", [{"past": 0}, {"every": 1.5}, {"epochs": True}])
def test_wrong_settings_are_refused(wrong: dict[str, int]) -> None:
    """A setting would be taken for another one, or fail at the first training."""
    with pytest.raises(LearnerOptionsInvalid, match=r"network\.\w+: .* is not a whole number of at least 1"):
        make(**wrong)
