"""Clicks are rare, and most of what nobody clicked need not be learned: the answers stay calibrated."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consumers.track import Track
from models.examples import Examples, FeatureKey, Features, Kind, Task
from models.learner import LearnerOptions
from models.registry import create_learner
from service.joining.join import Join
from service.settings.join import JoinSettings, thinned

KEYS = (FeatureKey("x", Kind.NUMBER), FeatureKey("y", Kind.NUMBER))
ROWS, BATCHES = 512, 160


def clicks(random: np.random.Generator, rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return features, and how probable a click is for each: 2 % as a rule."""
    values = random.normal(size=(rows, 2))
    return values, 1 / (1 + np.exp(4.2 - 0.8 * values[:, 0] + 0.4 * values[:, 1]))


def learned(folder: Path, sample: int) -> tuple[NDArray[np.float64], int]:
    """Learn impressions, a few of them clicked, and return probabilities of a click, and how many rows were learned."""
    settings = JoinSettings(wait=0.001, on_timeout="learn", default=False, sample=sample)
    options = thinned(LearnerOptions(kind="linear", device="cpu"), settings, "binary")
    join, learner = Join(settings, folder, default=False), create_learner(options, Task.BINARY)
    random, count, rows_learned = np.random.default_rng(0), 0, 0
    for batch in range(BATCHES):
        values, chances = clicks(random, ROWS)
        clicked = np.flatnonzero(random.random(ROWS) < chances)
        ids = random.integers(1, 2**63, (ROWS, 2)).astype(np.uint64)
        rows = ROWS + len(clicked)
        labels: list[Any] = [None] * ROWS + [True] * len(clicked)
        examples = Examples(
            Features(rows, KEYS, np.concatenate([values, np.full((len(clicked), 2), np.nan)])),
            labels,
            np.ones(rows, np.float32),
            np.full(rows, np.nan),
            np.concatenate([ids, ids[clicked]]),
            labelled=np.arange(rows) >= ROWS,
            featured=np.arange(rows) < ROWS,
        )
        zeros = np.zeros(rows, np.int32)
        offsets = np.arange(count, count + rows)
        count += rows
        found = join.take(examples, Track(zeros, offsets + 1, zeros, zeros, np.full(rows, 2 * batch)))
        if len(found):
            learner.learn(found)
        rows_learned += len(found)
    asked, _ = clicks(np.random.default_rng(1), 4000)
    predictions = learner.predictor().predict(Features(4000, KEYS, asked))
    assert predictions.probabilities is not None
    return predictions.probabilities[:, predictions.classes.index(True)].astype(np.float64), rows_learned


def test_probabilities_are_those_of_learning_everything(tmp_path: Path) -> None:
    """A click would be taken for ten times as probable where one default in ten is learned."""
    whole, all_rows = learned(tmp_path, 1)
    sampled, rows = learned(tmp_path, 10)
    assert rows < 0.15 * all_rows
    assert abs(sampled.mean() / whole.mean() - 1) < 0.1
    _, chances = clicks(np.random.default_rng(1), 4000)
    likely = chances > np.quantile(chances, 0.8)
    assert abs(sampled[likely].mean() / chances[likely].mean() - 1) < 0.15
