"""The pure online learner: one event at a time whatever the microbatch, sane steps, and what it publishes."""

import os
import pickle
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.checks_data import examples
from models.checks_expect import expect_same_predictions, expect_same_state
from models.datasets import open_stream
from models.errors import LearnerOptionsInvalid, ModelError, StateMismatch
from models.examples import Examples, FeatureKey, Features, Kind, Label, Task
from models.learner import LearnerOptions
from models.online_learner import OnlineLearner
from models.online_predictor import BLOB, OnlinePredictor, pack
from models.online_rows import HASHED, RowEncoder, split_rows

OPTIONS = LearnerOptions(kind="online")


def numeric(numbers: np.ndarray, labels: list[Label], weight: float = 1.0) -> Examples:
    """Return examples with numbers only."""
    keys = tuple(FeatureKey(f"x{column}", Kind.NUMBER) for column in range(numbers.shape[1]))
    weights = np.full(len(labels), weight, np.float32)
    return Examples(Features(len(labels), keys, numbers), labels, weights, np.full(len(labels), np.nan))


def stream(name: str) -> Examples:
    """Return one of River's streams."""
    rows = list(open_stream(name))
    numbers = np.array([list(row.features.values()) for row in rows], np.float64)
    return numeric(numbers, [row.label for row in rows])


@pytest.mark.parametrize("task", list(Task))
def test_microbatches_do_not_matter(task: Task) -> None:
    """Rows of a microbatch would be predicted, or learned, together: it would not be the pure online path."""
    given = examples(task, 150)
    at_once, one_by_one = OnlineLearner(OPTIONS, task), OnlineLearner(OPTIONS, task)
    at_once.learn(given)
    for row in range(150):
        one_by_one.learn(given.slice(row, row + 1))
    expect_same_predictions(at_once.predictor(), one_by_one.predictor(), examples(task, 20, 1).features)
    scores, others = at_once.status().scores["stream"], one_by_one.status().scores["stream"]
    assert scores == pytest.approx(others)


@pytest.mark.parametrize(("name", "task"), [("phishing", Task.BINARY), ("image-segments", Task.MULTICLASS)])
def test_it_learns_real_classes(name: str, task: Task) -> None:
    """The fallback would be no better than guessing."""
    learner = OnlineLearner(OPTIONS, task)
    learner.learn(stream(name))
    scores = learner.status().scores["stream"]
    assert scores["accuracy"] > 0.85
    assert scores["accuracy"] > scores["majority_accuracy"] + 0.25
    assert scores["accuracy"] > scores["no_change_accuracy"] + 0.25


def test_it_learns_real_numbers() -> None:
    """The fallback would be no better than the mean of the labels."""
    learner = OnlineLearner(OPTIONS, Task.REGRESSION)
    learner.learn(stream("trump-approval"))
    scores = learner.status().scores["stream"]
    assert scores["mae"] < 0.5 * scores["mean_mae"]


def one_hot_arrivals(rows: int) -> Examples:
    """Return a regression in which ever more indicator columns and one wild number appear."""
    random = np.random.default_rng(0)
    kind = np.minimum(random.integers(0, 400, rows), np.arange(rows) // 10)
    numbers = np.zeros((rows, 401))
    numbers[np.arange(rows), kind] = 1
    numbers[:, 400] = random.standard_cauchy(rows)
    labels: list[Label] = (100 + 3.0 * (kind % 5) + random.normal(size=rows)).tolist()
    return numeric(numbers, labels)


@pytest.mark.parametrize("loss", ["auto", "mse", "mae"])
def test_late_indicator_columns_do_not_make_it_diverge(loss: str) -> None:
    """A plain gradient step over many standardised columns overshoots, more so each time."""
    learner = OnlineLearner(replace(OPTIONS, loss=loss), Task.REGRESSION)
    learner.learn(one_hot_arrivals(1500))
    scores = learner.status().scores["window"]
    assert scores["mae"] < 1.5 * scores["mean_mae"]
    values = learner.predictor().predict(one_hot_arrivals(1500).features).values
    assert values is not None
    assert np.abs(values - 106).max() < 20


@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION])
def test_a_heavy_row_goes_no_further_than_its_label(task: Task) -> None:
    """One row of enormous weight would throw the parameters to the other end of the world."""
    random = np.random.default_rng(0)
    numbers = random.normal(size=(300, 3))
    labels: list[Label] = (numbers[:, 0] > 0).tolist() if task is Task.BINARY else (5 * numbers[:, 0]).tolist()
    learner, heavy = OnlineLearner(OPTIONS, task), OnlineLearner(OPTIONS, task)
    for each in (learner, heavy):
        each.learn(numeric(numbers, labels))
    heavy.learn(numeric(numbers[:1], labels[:1], weight=1e30))
    before, after = (each.predictor().predict(numeric(numbers, labels).features) for each in (learner, heavy))
    if task is Task.BINARY:
        assert before.probabilities is not None
        assert after.probabilities is not None
        agree = before.probabilities.argmax(1) == after.probabilities.argmax(1)
        assert agree.mean() > 0.8
    else:
        assert before.values is not None
        assert after.values is not None
        assert np.abs(before.values - after.values).max() < 3


def test_any_number_of_categories_takes_bounded_memory() -> None:
    """A stream of identifiers would fill the memory."""
    rows = 300
    features = Features(
        rows,
        (),
        np.empty((rows, 0)),
        {"id": [f"user {row}" for row in range(rows)]},
        {"words": [[f"w{row}", "the", "the"] for row in range(rows)]},
    )
    encoder = RowEncoder(0)
    places = {place for numbers, items in split_rows(features) for place in encoder.encode(numbers, items)}
    assert all(isinstance(place, int) and 0 <= place < HASHED for place in places)
    assert len(places) > 580


def test_a_category_is_not_the_number_of_the_same_name() -> None:
    """Kinds that share a name would share a weight."""
    features = Features(
        1, (FeatureKey("a", Kind.NUMBER), FeatureKey("a", Kind.BOOLEAN)), np.ones((1, 2)), {"a": ["1"]}, {"a": [["1"]]}
    )
    numbers, items = next(split_rows(features))
    assert (len(numbers), len(items)) == (2, 2)


def test_absence_can_be_learned() -> None:
    """That a value is missing would say no more than that it is average."""
    random = np.random.default_rng(0)
    numbers = random.normal(size=(600, 2))
    missing = random.random(600) < 0.3
    numbers[missing, 0] = np.nan
    learner = OnlineLearner(OPTIONS, Task.BINARY)
    learner.learn(numeric(numbers, missing.tolist()))
    assert learner.status().scores["window"]["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("options", "task", "message"),
    [
        ({"optimizer": "adam"}, Task.BINARY, "sgd and adagrad"),
        ({"loss": "ce"}, Task.REGRESSION, "huber"),
        ({"loss": "mse"}, Task.MULTICLASS, "ce"),
    ],
)
def test_options_it_does_not_know_are_refused(options: dict[str, Any], task: Task, message: str) -> None:
    """A setting would be ignored in silence."""
    with pytest.raises(LearnerOptionsInvalid, match=message):
        OnlineLearner(replace(OPTIONS, **options), task)


def test_a_learning_rate_is_used() -> None:
    """A setting would be ignored in silence."""
    slow, fast = (OnlineLearner(replace(OPTIONS, learning_rate=rate), Task.BINARY) for rate in (1e-6, 0.1))
    for learner in (slow, fast):
        learner.learn(stream("phishing"))
    assert slow.status().scores["stream"]["log_loss"] > 2 * fast.status().scores["stream"]["log_loss"]


def test_a_third_class_in_a_binary_task_says_what_to_do() -> None:
    """It would be learned as one of the other two."""
    learner = OnlineLearner(OPTIONS, Task.BINARY)
    with pytest.raises(ModelError, match="multiclass"):
        learner.learn(numeric(np.ones((3, 1)), ["a", "b", "c"]))


class Clock:
    """Seconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_publishing_is_limited_and_can_be_forced() -> None:
    """Pickling at every microbatch would take more time than learning; or the last updates would never be served."""
    clock = Clock()
    learner = OnlineLearner(OPTIONS, Task.BINARY, publish_interval=0.5, clock=clock)
    learner.learn(examples(Task.BINARY, 64))
    first = learner.published()
    assert first.changed is None
    learner.learn(examples(Task.BINARY, 64, 1))
    clock.now += 0.49
    soon = learner.published()
    assert soon.changed == {}
    assert soon.arrays[BLOB] is first.arrays[BLOB]
    flushed = learner.published(flush=True)
    assert flushed.changed
    learner.learn(examples(Task.BINARY, 64, 2))
    clock.now += 0.5
    due = learner.published()
    assert due.changed
    clock.now += 10
    assert learner.published(flush=True).changed == {}
    features = examples(Task.BINARY, 9, 9).features
    expect_same_predictions(OnlinePredictor.from_published(due.spec, due.arrays), learner.predictor(), features)


def test_the_layout_changes_seldom() -> None:
    """Serving processes would have to map new files at every publication."""
    learner = OnlineLearner(OPTIONS, Task.MULTICLASS, publish_interval=0)
    specs = set()
    for seed in range(60):
        learner.learn(examples(Task.MULTICLASS, 16, seed))
        specs.add(id(learner.published().spec))
    assert len(specs) <= 4


def test_half_replaced_bytes_are_noticed_and_survived() -> None:
    """A server would unpickle a mixture of two models."""
    learner, other = OnlineLearner(OPTIONS, Task.BINARY), OnlineLearner(OPTIONS, Task.BINARY)
    learner.learn(examples(Task.BINARY, 64))
    other.learn(examples(Task.BINARY, 65, 1))
    features = examples(Task.BINARY, 9, 9).features
    mapped, new = learner.published().arrays[BLOB].copy(), other.published().arrays[BLOB]
    predictor = OnlinePredictor.from_published(learner.published().spec, {BLOB: mapped})
    expect_same_predictions(predictor, learner.predictor(), features)
    half = len(new) // 8
    mapped[:half] = new[:half]
    with pytest.raises(StateMismatch, match="checksum"):
        predictor.predict(features)
    mapped[:] = new
    expect_same_predictions(predictor, other.predictor(), features)


def test_bytes_of_something_else_are_refused() -> None:
    """An object of any kind would be asked for predictions."""
    learner = OnlineLearner(OPTIONS, Task.BINARY)
    blob, _ = pack(OnlineLearner(OPTIONS, Task.BINARY)._model)
    pickled = pickle.dumps(["not", "a", "model"])
    header = np.frombuffer(
        len(pickled).to_bytes(8, "little") + bytes(8) + zlib.crc32(pickled).to_bytes(4, "little"), np.uint8
    )
    blob[: len(header)] = header
    blob[24 : 24 + len(pickled)] = np.frombuffer(pickled, np.uint8)
    state = learner.state()
    with pytest.raises(StateMismatch, match="list"):
        learner.restore(replace(state, arrays={**state.arrays, BLOB: blob}))
    expect_same_state(state, learner.state())


def test_other_settings_are_refused_on_restoring() -> None:
    """The configuration would show one optimizer while another one learns."""
    learner = OnlineLearner(OPTIONS, Task.BINARY)
    with pytest.raises(StateMismatch, match="adagrad"):
        OnlineLearner(replace(OPTIONS, optimizer="adagrad"), Task.BINARY).restore(learner.state())


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from models.checks_data import examples
from models.examples import Task
from models.learner import LearnerOptions
from models.online_model import OnlineModel
for task in Task:
    model = OnlineModel(LearnerOptions(kind="online"), task)
    model.learn(examples(task, 200))
    found = model.predict(examples(task, 20, 1).features)
    print((found.values if found.probabilities is None else found.probabilities).tobytes().hex())
"""


def test_another_process_learns_the_same() -> None:
    """A restart would give other parameters under the same version numbers: Python seeds its hashes anew."""
    root = str(Path(__file__).parents[2])
    found = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, root],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1]
    assert len(found[0].split()) == 3
