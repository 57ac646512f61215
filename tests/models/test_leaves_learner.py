"""Leaves of random trees as a learner of their own, with encoder, checkpoint and service around them."""

import numpy as np
import pytest

from models.examples import Examples, Label, Task
from tests.support.learning import (
    expect_the_same_after_a_restart,
    labelled,
    learner,
    microbatches,
    numbers,
    stream,
    trained,
)


@pytest.mark.parametrize("task", Task)
def test_it_learns_what_thresholds_can_tell(task: Task) -> None:
    """The expert of axis-aligned concepts would not know any."""
    made = learner(task, kind="leaves", window=640)
    for given in microbatches(task, 60, product=True):
        made.learn(given)
    scores = made.status().scores["window"]
    if task is Task.REGRESSION:
        assert scores["mae"] < 0.45 * scores["mean_mae"], scores
    else:
        assert scores["accuracy"] > scores["majority_accuracy"] + 0.25, scores
        assert scores["log_loss"] < 0.6, scores


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("size", [1, 64, 1100])
def test_what_is_restored_or_published_is_the_same_expert(task: Task, size: int) -> None:
    """After a restart other parameters would carry the same version; a server would answer other than the trainer."""
    made = trained(task, 7, kind="leaves")  # the next rows are those at which tests are renewed
    made.learn(stream(task, size, 50))
    rest = (stream(task, size, 51), stream(task, 640, 52))
    expect_the_same_after_a_restart(made, rest, stream(task, 300, 53).features)


def test_text_beside_numbers_does_no_harm() -> None:
    """What has no raw column must not be in the way of what has."""
    made = learner(Task.BINARY, kind="leaves", window=640)
    random = np.random.default_rng(1)
    for _ in range(20):
        values = random.random((64, 3))
        labels: list[Label] = (values[:, 0] > 0.5).tolist()
        made.learn(_with_words(labelled(numbers(values), labels)))
    assert made.status().scores["window"]["accuracy"] > 0.9


def _with_words(given: Examples) -> Examples:
    """Return examples with a bag of tokens each."""
    features = given.features
    words = {"words": [["one", f"w{row}"] for row in range(len(features))]}
    more = type(features)(features.rows, features.keys, features.numbers, {}, words)
    return Examples(more, given.labels, given.weights, given.timestamps)
