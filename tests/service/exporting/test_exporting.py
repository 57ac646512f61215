"""Exports: what is read back answers alike, bit for bit, and another model can begin with it."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.examples import Features, Task
from models.learner import LearnerOptions
from models.registry import create_learner, load_predictor
from service.checkpoints import Checkpoint, CheckpointStore
from service.durability.pins import Pin
from service.errors import CheckpointInvalid, ConfigurationInvalid, ExportInvalid
from service.exporting.export_file import Export, encode_export, read_export, write_export
from service.exporting.exporting import export_of
from service.restart.warm_start import find_checkpoint
from tests.support.learning import microbatches, numbers_of, stream
from tests.support.training import same_state


def kept(folder: Path, kind: str, task: Task = Task.BINARY, version: int = 7) -> tuple[CheckpointStore, Features]:
    """Return a store with a checkpoint of a learner of some kind, and rows to ask it about."""
    learner = create_learner(LearnerOptions(kind=kind, device="cpu"), task)
    for given in microbatches(task, 4):
        learner.learn(given)
    service = {
        "model": "default",
        "task": task.value,
        "learner": learner.name,
        "options": {"kind": kind, "device": "cpu"},
        "lane": {"learned": 256},
    }
    store = CheckpointStore(folder / "checkpoints")
    store.save(Checkpoint(version, 1, {}, learner.state(), service, 1.5))
    return store, stream(task, 100, seed=99).features


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        ("linear", Task.BINARY),
        ("mlp", Task.REGRESSION),
        ("auto", Task.MULTICLASS),
        ("rls", Task.REGRESSION),
        ("knn", Task.BINARY),
        ("leaves", Task.BINARY),
        ("batch", Task.BINARY),
        ("online", Task.BINARY),
    ],
)
def test_what_is_exported_answers_alike(tmp_path: Path, kind: str, task: Task) -> None:
    """A program that was given the file would answer otherwise than the service that it is from."""
    store, asked = kept(tmp_path, kind, task)
    export = export_of(store, None, with_state=True)
    write_export(tmp_path / "model.safetensors", encode_export(export))
    read = read_export(tmp_path / "model.safetensors")
    assert (read.about["version"], read.about["task"], read.about["model"]) == (7, task.value, "default")
    assert {"name": "city", "kind": "category"} in read.about["features"]
    learner = create_learner(LearnerOptions(kind=kind, device="cpu"), task)
    loaded = store.load()
    assert loaded is not None
    learner.restore(loaded.learner)
    expected = numbers_of(learner.predictor().predict(asked))
    found = load_predictor(read.spec, read.arrays).predict(asked)
    np.testing.assert_array_equal(numbers_of(found), expected)
    assert list(found.classes) == read.about["classes"]
    again = find_checkpoint(tmp_path / "model.safetensors", "default")
    assert same_state(again.learner, loaded.learner)
    assert json.loads(json.dumps(again.learner.meta)) == json.loads(json.dumps(loaded.learner.meta))


def test_a_version_is_exported_by_its_name_too(tmp_path: Path) -> None:
    """Of the version that was kept for it, another one would be handed on."""
    store, _ = kept(tmp_path, "linear")
    kept(tmp_path, "linear", version=8)
    store.pins.put(Pin("good", 7, 0.0, "ann", 1, "table"))
    assert [export_of(store, which).about["version"] for which in (None, "good", 7)] == [8, 7, 7]
    with pytest.raises(CheckpointInvalid, match="no checkpoint of version 9"):
        export_of(store, 9)


def test_what_cannot_be_begun_with_says_so(tmp_path: Path) -> None:
    """A warm start would begin with nothing, or end in a traceback."""
    store, _ = kept(tmp_path, "linear")
    path = tmp_path / "model.safetensors"
    write_export(path, encode_export(export_of(store, None)))
    with pytest.raises(ConfigurationInvalid, match="--with-state"):
        find_checkpoint(path, "default")
    with pytest.raises(ExportInvalid, match="cannot be read"):
        read_export(tmp_path / "nothing.safetensors")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ConfigurationInvalid, match="cannot be read as an export"):
        find_checkpoint(path, "default")
    newer = encode_export(Export({}, {}, {}, {})).replace(b'"schema":"1"', b'"schema":"9"')
    path.write_bytes(newer)
    with pytest.raises(ExportInvalid, match="newer version"):
        read_export(path)
