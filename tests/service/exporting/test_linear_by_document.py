"""The document on exports, followed to the letter by a program that knows nothing of Headrace."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.examples import Examples, Label, Task
from models.learner import LearnerOptions
from models.registry import create_learner, load_predictor
from service.checkpoints import Checkpoint, CheckpointStore
from service.decoding.columns import features_from_rows
from service.exporting.export_file import encode_export, read_export, write_export
from service.exporting.exporting import export_of
from service.settings.event_options import EventOptions
from tests.service.exporting.linear_by_document import Linear
from tests.support.learning import numbers_of

CITIES = ("Oslo", "Rome", "Lima")


def row_of(random: np.random.Generator) -> dict[str, Any]:
    """Return features of every kind: a number that may be missing, one with a heavy tail, one with few values."""
    return {
        "price": None if random.random() < 0.2 else float(random.normal()),
        "amount": float(random.standard_t(2)),
        "floor": float(random.integers(4)),
        "express": bool(random.random() < 0.5),
        "city": None if random.random() < 0.1 else CITIES[random.integers(3)],
        "words": ["big", "red", "old"][: random.integers(4)],
    }


def label_of(row: dict[str, Any], task: Task) -> Label:
    """Return what follows from a row."""
    score = (row["price"] or 0.0) + row["floor"] * row["express"] + (row["city"] == "Rome") - len(row["words"])
    if task is Task.REGRESSION:
        return float(100 + 7 * score)
    if task is Task.MULTICLASS:
        return ("low", "mid", "high")[int(np.digitize(score, [-1.0, 1.0]))]
    return bool(score > 0)


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS, Task.REGRESSION])
def test_numpy_alone_answers_as_the_service_does(tmp_path: Path, task: Task) -> None:
    """Somebody who followed the document would get other answers, and could not tell why."""
    random = np.random.default_rng(1)
    learner = create_learner(LearnerOptions(kind="linear", device="cpu"), task)
    for _ in range(30):
        rows = [row_of(random) for _ in range(64)]
        features = features_from_rows(rows, EventOptions())
        labels = [label_of(row, task) for row in rows]
        learner.learn(Examples(features, labels, np.ones(64, np.float32), np.full(64, np.nan)))
    service = {"model": "default", "task": task.value, "learner": learner.name, "options": {"kind": "linear"}}
    store = CheckpointStore(tmp_path / "checkpoints")
    store.save(Checkpoint(30, 1, {}, learner.state(), service, 1.5))
    path = tmp_path / "model.safetensors"
    write_export(path, encode_export(export_of(store, 30)))

    export = read_export(path)
    asked = [row_of(random) for _ in range(200)]
    asked += [{}, {"price": 1e9, "city": "Nara", "unheard-of": 3.0}, {"price": "3", "words": []}]
    asked = [{name: value for name, value in row.items() if value != []} for row in asked]
    expected = numbers_of(load_predictor(export.spec, export.arrays).predict(features_from_rows(asked, EventOptions())))
    document = Linear(path)
    found = np.array([document.predict(row) for row in asked])
    layout = export.spec["layout"]
    assert min(max(layout["tails"]), max(layout["marks"]), layout["hashed"]) >= 0, "all is tried"
    assert layout["levels"]
    assert (layout["lags"] >= 0) is (task is not Task.MULTICLASS)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=2e-5, atol=2e-6)
