"""A history is learned in order as a stream is; what networks go through again spoils nothing that is measured."""

from collections.abc import Iterator

import numpy as np
import pytest

from models.examples import Examples, Task
from models.history import EPOCHS, learn_history
from models.learner import Learner, LearnerOptions
from models.registry import create_learner
from service.settings import learner_kinds
from tests.support.learning import learner, network, stream

ROWS, SIZE = 1600, 64


def blocks(task: Task, *, product: bool = True) -> Iterator[Examples]:
    """Yield a history."""
    rows = stream(task, ROWS, 1, product=product)
    for start in range(0, ROWS, SIZE):
        yield rows.slice(start, start + SIZE)


def error(made: Learner, task: Task) -> float:
    """Return the loss over rows that were not learned."""
    asked = stream(task, 1000, 99, product=True)
    predictions = made.try_out(asked.features).predictions
    if predictions.values is not None:
        return float(np.abs(predictions.values - np.array(asked.labels, float)).mean())
    assert predictions.probabilities is not None
    places = [predictions.classes.index(label) for label in asked.labels]
    return float(-np.log(predictions.probabilities[np.arange(1000), places]).mean())


@pytest.mark.parametrize("kind", ["auto", "leaves", "online", "batch"])
def test_what_is_no_network_learns_it_once_as_a_stream(kind: str) -> None:
    """If this fails, rows are answered from their own labels, and mixing, statistics and scores are told lies."""
    made, other = (create_learner(LearnerOptions(kind=kind, device="cpu"), Task.BINARY) for _ in range(2))
    steps = list(learn_history(made, blocks(Task.BINARY), ROWS, 5))
    for block in blocks(Task.BINARY):
        other.learn(block)
    assert [step.rows for step in steps] == [*range(SIZE, ROWS + 1, SIZE)]
    assert steps[-1].share == 1.0
    left, right = made.state(), other.state()
    for name, array in left.arrays.items():
        np.testing.assert_array_equal(array, right.arrays[name], err_msg=name)


@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION])
def test_a_network_gains_from_more_epochs(task: Task) -> None:
    """If this fails, a network learns no more of a history than of a stream that passes by."""
    found = {}
    for epochs in (1, 12):
        made = learner(task, kind="mlp", replay=0)
        shares = [step.share for step in learn_history(made, blocks(task), ROWS, epochs)]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
        found[epochs] = error(made, task)
    assert found[12] < 0.9 * found[1], found


def test_epochs_change_the_network_and_nothing_else() -> None:
    """If this fails, statistics, the scale or the scores have met rows more than once."""
    states = []
    for epochs in (1, 4):
        made = learner(kind="mlp", replay=0)
        for step in learn_history(made, blocks(Task.BINARY), ROWS, epochs):
            last = step
        assert last.rows == ROWS
        assert network(made).past is None, "what was kept for epochs is let go"
        states.append(made.state())
        assert made.status().scores["stream"]["count"] == ROWS
    left, right = states
    for name, array in left.arrays.items():
        own = name.startswith(("network/", "table/", "guard/", "rates/", "evaluation/", "drift/"))
        assert own or np.array_equal(array, right.arrays[name], equal_nan=True), name
    assert left.meta["counters"] == right.meta["counters"]


def test_epochs_that_make_it_worse_are_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a network that overfits its history goes into the stream."""
    once, harmed = (learner(kind="mlp") for _ in range(2))
    list(learn_history(once, blocks(Task.BINARY), ROWS, 1))
    monkeypatch.setattr(type(network(harmed)), "rehearse", lambda self, *_: self.parameters.block.mul_(-3.0))
    list(learn_history(harmed, blocks(Task.BINARY), ROWS, 4))
    for name, array in once.state().arrays.items():
        np.testing.assert_array_equal(array, harmed.state().arrays[name], err_msg=name)


def test_a_history_gives_the_same_bits_each_time() -> None:
    """If this fails, a history that is learned again after a crash makes another model."""
    left, right = (learner(Task.MULTICLASS, kind="linear") for _ in range(2))
    for made in (left, right):
        list(learn_history(made, blocks(Task.MULTICLASS), ROWS))
    for name, array in left.state().arrays.items():
        np.testing.assert_array_equal(array, right.state().arrays[name], err_msg=name)


def test_a_history_shorter_than_what_is_held_out_is_learned_all_the_same() -> None:
    """If this fails, a handful of rows ends the start with an error, or is not learned."""
    made = learner(kind="mlp")
    rows = stream(Task.BINARY, 7, 0)
    assert list(learn_history(made, [rows], 7))[-1] == (1.0, 7)
    assert made.status().scores["stream"]["count"] == 7


def test_the_usual_number_of_epochs_is_the_one_that_help_shows() -> None:
    """If this fails, ``headrace train --help`` names another number than the one that is used."""
    assert learner_kinds.EPOCHS == EPOCHS
