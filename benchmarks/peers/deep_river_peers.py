"""deep-river's classifier and regressor around a small network, on standardised numbers and hashed categories.

It learns row by row, as its documentation shows; features and classes may appear at any time.
"""

from typing import Any
from zlib import crc32

import torch
from deep_river.classification import Classifier
from deep_river.regression import Regressor
from river import compose, preprocessing

from benchmarks.learning.streams import Stream
from benchmarks.peers.river_peers import River, one_hot
from benchmarks.peers.rows import Row
from models.examples import Task

HIDDEN = 64
HASHED = 64
"""Columns that categories and words are hashed into: growing a network by each of thousands would take hours."""


def _hashed(row: Row) -> dict[str, float]:
    """Return the columns that a row's categories or words fall into."""
    places: dict[str, float] = {}
    for name, value in one_hot(row).items():
        place = f"hash={crc32(name.encode()) % HASHED}"
        places[place] = places.get(place, 0.0) + value
    return places


def network(inputs: int, outputs: int) -> torch.nn.Module:
    """Return a network of 64×2."""
    return torch.nn.Sequential(
        torch.nn.Linear(inputs, HIDDEN),
        torch.nn.ReLU(),
        torch.nn.Linear(HIDDEN, HIDDEN),
        torch.nn.ReLU(),
        torch.nn.Linear(HIDDEN, outputs),
    )


def _prepared(stream: Stream) -> Any:
    """Return what stands before the network."""
    hashed: Any = compose.FuncTransformer(_hashed)
    if stream.text:
        return hashed
    numbers: Any = compose.SelectType(float) | preprocessing.StandardScaler()
    return numbers + (compose.SelectType(str) | hashed) if stream.examples.features.categories else numbers


def create(name: str, stream: Stream, seed: int) -> River:  # noqa: ARG001 - there is one kind
    """Return deep-river's learner for a task, at its default rate with Adam."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    inputs = len(stream.examples.features.keys) + (HASHED if stream.examples.features.categories else 0)
    shared = {"optimizer_fn": "adam", "lr": 1e-3, "is_feature_incremental": True, "seed": seed}
    if stream.task is Task.REGRESSION:
        model: Any = Regressor(module=network(inputs, 1), loss_fn="mse", **shared)
    else:
        outputs = len(set(stream.examples.labels))
        model = Classifier(module=network(inputs, outputs), loss_fn="cross_entropy", **shared)
    return River(_prepared(stream) | model, stream)
