"""One event moves a model by no more than the configured bound, however heavy or wrong it is."""

from dataclasses import replace

import numpy as np
import pytest

from models.examples import Examples, Task
from models.influence import KeyShares
from models.learner import Learner, LearnerOptions
from models.registry import create_learner
from tests.support.learning import numbers_of, stream

LIAR = np.uint64(0xDEADBEEF12345678)
HONEST = np.arange(1, 31, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def learner(kind: str, task: Task, event_clip: float | None) -> Learner:
    """Return a learner that has learned a little."""
    made = create_learner(LearnerOptions(kind=kind, device="cpu", replay=0, gradient_clip=0), task, event_clip)
    for seed in range(10):
        made.learn(stream(task, 64, seed))
    return made


def crowd(task: Task, *, wild: bool) -> Examples:
    """Return rows of which the last may be heavy, with a label that is as wrong as can be."""
    right = stream(task, 64, 77)
    last = right.labels[-1]
    wrong = {Task.REGRESSION: 200.0, Task.BINARY: not last, Task.MULTICLASS: "low" if last == "high" else "high"}[task]
    weights = np.ones(64, np.float32)
    weights[-1] = 1e6 if wild else 1
    return replace(right, labels=[*right.labels[:-1], wrong if wild else last], weights=weights)


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("kind", ["linear", "mlp", "online"])
def test_a_wild_event_moves_a_model_less(kind: str, task: Task) -> None:
    """A single wrong label of great weight would undo what thousands of events have taught."""
    asked, moved = stream(task, 50, 99).features, []
    for event_clip in (None, 0.05):
        found = []
        for is_wild in (False, True):
            made = learner(kind, task, event_clip)
            made.learn(crowd(task, wild=is_wild))
            found.append(numbers_of(made.predictor().predict(asked)))
        moved.append(float(np.abs(found[1] - found[0]).mean()))
    assert moved[1] < 0.7 * moved[0]


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("kind", ["linear", "online"])
def test_a_bound_that_nothing_meets_changes_nothing(kind: str, task: Task) -> None:
    """Everybody's model would change by a setting that is to hold off a few events only."""
    asked = stream(task, 50, 99).features
    free, bounded = (numbers_of(learner(kind, task, clip).predictor().predict(asked)) for clip in (None, 1e6))
    np.testing.assert_array_equal(bounded, free)


@pytest.mark.parametrize("chunk", [0, 16])
def test_no_row_counts_more_than_its_bound(chunk: int) -> None:
    """Rows that are learned in chunks, or beside others, would be bounded otherwise than alone."""
    moved = []
    for clip in (None, 0.1):
        options = LearnerOptions(
            kind="linear", device="cpu", optimizer="sgd", learning_rate=1.0, replay=0, gradient_clip=0, chunk_size=chunk
        )
        made = create_learner(options, Task.BINARY, clip)
        made.learn(stream(Task.BINARY, 64, 0))
        bias = made.state().arrays["network/block"][0, 0, 0]
        moved.append(abs(float(bias)))
    assert moved[1] <= 0.1
    assert moved[0] != moved[1]


def accuracy_on_clean(share: float | None) -> float:
    """Return the accuracy on honest rows while three of five come from a liar, whose labels are all wrong."""
    random = np.random.default_rng(0)
    made = create_learner(LearnerOptions(kind="mlp", device="cpu"), Task.BINARY)
    shares = KeyShares(share, 2000) if share else None
    right: list[bool] = []
    for turn in range(60):
        honest, lies = stream(Task.BINARY, 64, turn), stream(Task.BINARY, 96, 1000 + turn)
        given = Examples.concatenate([honest, replace(lies, labels=[not label for label in lies.labels])])
        sources = np.concatenate([random.choice(HONEST, 64), np.full(96, LIAR)])
        answer = made.predictor().predict(honest.features)
        if turn >= 20 and answer.probabilities is not None:
            found = [answer.classes[place] for place in answer.probabilities.argmax(1)]
            right += [one == other for one, other in zip(found, honest.labels, strict=True)]
        if shares is not None:
            weights = shares.limited(sources, given.weights)
            shares.add(sources, weights)
            given = replace(given, weights=weights)
        made.learn(given)
    return float(np.mean(right))


def test_a_poisoner_is_held() -> None:
    """Who sends the most would decide what is right."""
    assert accuracy_on_clean(None) < 0.3
    assert accuracy_on_clean(0.1) > 0.85
