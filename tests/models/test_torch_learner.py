"""The microbatch learner learns, whatever it is made of; what is saved, split or broken leaves it the same."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import LearnerOptionsInvalid, StateMismatch
from models.examples import Examples, FeatureKey, Features, Kind, Task
from models.guard import INTERVAL
from models.learner import LearnerState
from models.losses import LOSSES
from models.optimizers import OPTIMIZERS
from models.parameters import named_views
from models.torch_learner import TorchLearner
from tests.support.learning import answers, labelled, learner, microbatches, network, numbers, stream, trained

USER = f"{Path(__file__).parent / 'user_networks.py'}:"
KINDS = ("linear", "mlp", "fm", f"{USER}Plain")
NAMED = [pytest.param(kind, id=kind.rpartition(":")[2]) for kind in KINDS]
COMBINATIONS = [
    pytest.param(kind, task, loss, optimizer, id=f"{kind.rpartition(':')[2]}-{task}-{loss}-{optimizer}")
    for kind in KINDS
    for loss, made in LOSSES.items()
    for task in made.tasks
    for optimizer in OPTIMIZERS
]


@pytest.mark.parametrize(("kind", "task", "loss", "optimizer"), COMBINATIONS)
def test_every_combination_learns(kind: str, task: Task, loss: str, optimizer: str) -> None:
    """A network, loss or optimizer would be there without working beside the others."""
    made = learner(task, kind=kind, loss=loss, optimizer=optimizer, window=640)
    for given in microbatches(task, 60, product=kind in ("mlp", "fm")):
        made.learn(given)
    scores = made.status().scores["window"]
    if task is Task.REGRESSION:
        assert scores["mae"] < 0.6 * scores["mean_mae"], scores
    else:
        assert scores["accuracy"] > scores["majority_accuracy"] + 0.2, scores
    assert made.status().skipped == {}


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("chunk", [5, 48])
def test_chunks_learn_what_the_whole_step_learns(kind: str, task: Task, chunk: int) -> None:
    """A microbatch split for memory would be another update, and a restart with other memory another model."""
    # One rate, a small one: Adam makes large differences of the rounding of gradients that are nearly zero.
    sizes = {"step_size": 0, "learning_rate": 1e-3}
    whole, split = (learner(task, kind=kind, chunk_size=size, **sizes) for size in (0, chunk))
    for given in microbatches(task, 3):
        whole.learn(given)
        split.learn(given)
        left, right = network(whole).parameters, network(split).parameters
        torch.testing.assert_close(right.block, left.block, rtol=1e-5, atol=1e-6)
        if left.table is not None and right.table is not None:
            torch.testing.assert_close(right.table, left.table, rtol=1e-5, atol=1e-6)
    features = stream(task, 40, 99).features
    np.testing.assert_allclose(answers(split, features), answers(whole, features), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", [*NAMED, pytest.param(f"{USER}Small", id="Small")])
def test_a_restored_learner_goes_on_bit_for_bit_across_growth(kind: str) -> None:
    """A restart would lead to other parameters under the same version numbers."""
    made, other = trained(Task.MULTICLASS, kind=kind), learner(Task.MULTICLASS, kind=kind)
    other.restore(made.state())
    for given in grown_stream():
        made.learn(given)
        other.learn(given)
    assert made.state().meta == other.state().meta
    for name, array in made.state().arrays.items():
        np.testing.assert_array_equal(other.state().arrays[name], array, err_msg=name, strict=True)
    assert made.status().scores == other.status().scores


def grown_stream() -> list[Examples]:
    """Return microbatches with features and classes that were not there before, and gaps."""
    random = np.random.default_rng(0)
    grown = []
    for seed in range(3):
        given = stream(Task.MULTICLASS, 32, 100 + seed)
        more = random.normal(size=(32, 9))
        more[random.random(more.shape) < 0.2] = np.nan
        keys = (*given.features.keys, *(FeatureKey(f"late{place}", Kind.NUMBER) for place in range(9)))
        categories = {**given.features.categories, "colour": ["red", None, "blue", "green"] * 8}
        features = Features(32, keys, np.hstack([given.features.numbers, more]), categories, given.features.tokens)
        grown.append(labelled(features, [f"class {seed} {row % 5}" for row in range(32)]))
    return grown


@pytest.mark.parametrize("kind", NAMED)
def test_growth_leaves_the_answers_for_earlier_rows(kind: str) -> None:
    """A feature or class that appears would make the model forget what it had learned."""
    # One rate, for copies that learn at several take unlike shares for a new class.
    made = trained(Task.MULTICLASS, kind=kind, learning_rate=0.01)
    earlier = stream(Task.MULTICLASS, 50, 9).features
    before, kept = answers(made, earlier), memories(made)
    # Of its numbers and categories, only the new ones: known ones move what they are standardised by.
    given = grown_stream()[0].features
    late = Features(32, given.keys[4:], given.numbers[:, 4:], {"colour": given.categories["colour"]})
    made.model.encoder.observe(made.model.encoder.prepare(late))
    assert made.grow()
    np.testing.assert_allclose(answers(made, earlier), before, atol=1e-6)
    made.model.targets.read([f"class {place}" for place in range(20)])
    made.grow()
    after = answers(made, earlier)
    # What the new classes take, they take from all others alike.
    np.testing.assert_allclose(after[:, :3] / after[:, :3].sum(1, keepdims=True), before, atol=1e-6)
    assert after[:, 3:].sum(1).mean() < 0.05
    grown = memories(made)
    for name, values in kept.items():
        region = tuple(slice(0, size) for size in values.shape)
        np.testing.assert_array_equal(grown[name][region], values, err_msg=name)
        grown[name][region] = 0
        assert not grown[name].any(), f"{name}: what is new has a memory"


def memories(made: TorchLearner) -> dict[str, np.ndarray]:
    """Return what the optimizer remembers, by name, copied."""
    parameters = network(made).parameters
    found = {
        f"{name} {row}": view.numpy().copy()
        for row in range(1, len(parameters.block))
        for name, view in named_views(parameters.block[row], parameters.shapes).items()
    }
    if parameters.table is not None:
        found["table"] = parameters.table[1:].numpy().copy()
    return found


HARD: dict[str, Examples] = {
    "constants": labelled(numbers(np.full((64, 3), 7.25)), [True, False] * 32),
    "one class": labelled(stream(Task.BINARY, 64, 0).features, ["only"] * 64),
    "enormous features": labelled(numbers(np.random.default_rng(0).normal(size=(64, 3)) * 1e12), [True, False] * 32),
    "one outlier": labelled(numbers(np.eye(64, 3) * 1e300), [True, False] * 32),
    "nothing but gaps": labelled(numbers(np.full((64, 3), np.nan)), [True, False] * 32),
    "no columns": labelled(Features.empty(64), [True, False] * 32),
    "weights of nothing": labelled(stream(Task.BINARY, 64, 0).features, [True, False] * 32, np.zeros(64, np.float32)),
    "extreme weights": labelled(
        stream(Task.BINARY, 64, 0).features, [True, False] * 32, np.array([1e-30, 1e30] * 32, np.float32)
    ),
    "offsets": labelled(numbers(1.7e9 + np.random.default_rng(0).normal(size=(64, 3))), [True, False] * 32),
}
TARGETS = {"enormous": 1e30, "tiny": 1e-9, "constant": 0.0}


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("name", HARD)
def test_hard_input_leaves_parameters_finite_and_learning_intact(kind: str, name: str) -> None:
    """One odd microbatch would be the end of a model that never stops."""
    made = learner(Task.BINARY, kind=kind, window=320)
    labels = [label == "only" or bool(label) for label in HARD[name].labels]
    odd = Examples(HARD[name].features, labels, HARD[name].weights, HARD[name].timestamps)
    for given in (odd, odd, *microbatches(Task.BINARY, 30), odd):
        made.learn(given)
        assert_finite(made)
    scores = made.status().scores["window"]
    assert scores["accuracy"] > 0.75, scores


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("scale", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_targets_of_any_size_are_learned(kind: str, scale: float, loss: str) -> None:
    """A unit of measurement would decide whether anything can be learned."""
    made = learner(Task.REGRESSION, kind=kind, loss=loss, window=320)
    for given in microbatches(Task.REGRESSION, 30):
        labels = [scale * float(label) for label in given.labels]
        made.learn(Examples(given.features, labels, given.weights, given.timestamps))
    assert_finite(made)
    scores = made.status().scores["window"]
    assert scores["mae"] <= 0.6 * scores["mean_mae"], scores


def test_one_label_gone_wrong_does_not_spoil_the_rest() -> None:
    """A sensor's single 1e30 would drown all other labels for as long as the stream lasts."""
    made = learner(Task.REGRESSION, window=640)
    for number, given in enumerate(microbatches(Task.REGRESSION, 60)):
        labels = [1e30, *given.labels[1:]] if number == 20 else given.labels
        made.learn(Examples(given.features, labels, given.weights, given.timestamps))
    window = made.status().scores["window"]
    assert window["mae"] < 0.5 * window["no_change_mae"], window
    values = made.predictor().predict(stream(Task.REGRESSION, 9, 0).features).values
    assert values is not None
    assert values.max() < 1000
    assert made.status().skipped == {}


def assert_finite(made: TorchLearner) -> None:
    """Fail unless all parameters and what they answer are finite."""
    assert bool(network(made).parameters.block.isfinite().all())
    table = network(made).parameters.table
    assert table is None or bool(table.isfinite().all())
    assert np.isfinite(answers(made, stream(made.task, 20, 5).features)).all()


def test_a_step_that_is_not_finite_is_undone_and_counted() -> None:
    """One bad gradient would turn every parameter into NaN, for ever."""
    made = learner(kind=f"{USER}Fragile", replay=0, step_size=0)
    usual = np.random.default_rng(0).uniform(-1, 1, (64, 3))
    for _ in range(4):
        made.learn(labelled(numbers(usual), [True, False] * 32))
    broken = usual.copy()
    broken[5, 0] = 1e3
    before = network(made).parameters.block.clone()
    made.learn(labelled(numbers(broken), [True, False] * 32))
    torch.testing.assert_close(network(made).parameters.block, before, rtol=0, atol=0)
    assert made.status().skipped == {"non_finite": 1}
    made.learn(labelled(numbers(usual), [True, False] * 32))
    assert not torch.equal(network(made).parameters.block, before)


def test_after_several_bad_steps_the_last_good_parameters_come_back() -> None:
    """A model that can only overflow any more would stay so until somebody noticed."""
    made = trained(Task.BINARY, INTERVAL, kind="mlp", replay=0)
    good = network(made).parameters.block[0].clone()
    for number, given in enumerate(microbatches(Task.BINARY, INTERVAL, first=INTERVAL)):
        if number == 3:
            network(made).parameters.block[0].fill_(torch.nan)
        made.learn(given)
    torch.testing.assert_close(network(made).parameters.block[0], good, rtol=0, atol=0)
    status = made.status()
    assert status.restorations == 1
    assert status.skipped == {"non_finite": INTERVAL - 3}
    assert network(made).guard.rate_scale.tolist() == [0.5] * 3
    for given in microbatches(Task.BINARY, 20, first=99):
        made.learn(given)
    assert made.status().skipped == status.skipped
    assert made.status().scores["window"]["accuracy"] > 0.6


def test_weights_count() -> None:
    """Rows would be learned alike whatever their weight."""
    made = learner(replay=0)
    features = stream(Task.BINARY, 64, 0).features
    weights = np.array([3.0, 1.0] * 32, np.float32)
    for _ in range(200):
        made.learn(labelled(Features.empty(64), [True, False] * 32, weights))
    assert answers(made, Features.empty(1))[0] == pytest.approx([0.75, 0.25], abs=0.02)
    assert len(features) == 64


def test_the_clip_bounds_the_first_step_of_sgd() -> None:
    """A single step could throw parameters anywhere."""
    made = learner(kind="linear", optimizer="sgd", learning_rate=1.0, gradient_clip=0.01, replay=0, step_size=0)
    made.learn(stream(Task.BINARY, 64, 0))
    moved = network(made).parameters.block[0].square().sum()
    table = network(made).parameters.table
    assert table is not None
    # The table's rate is three times the others'.
    norm = torch.sqrt(moved + (table[0] / 3).square().sum())
    assert float(norm) == pytest.approx(0.01, rel=1e-3)


def test_a_third_class_is_refused_by_a_binary_learner() -> None:
    """A label that the task gate should have held back would be learned as another."""
    made = trained()
    with pytest.raises(ValueError, match="two classes"):
        made.learn(labelled(stream(Task.BINARY, 3, 0).features, ["third"] * 3))


def test_a_state_of_other_arrays_is_refused() -> None:
    """A damaged checkpoint would be half restored without a word."""
    state = trained(kind="mlp").state()
    arrays = {name: array for name, array in state.arrays.items() if name != "network/block"}
    with pytest.raises(StateMismatch, match="network/block"):
        learner(kind="mlp").restore(LearnerState(state.meta, arrays))


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "transformer"},
        {"kind": "mlp", "network": {"depth": 3}},
        {"kind": "mlp", "network": {"hidden": []}},
        {"kind": "fm", "network": {"factors": 0}},
        {"loss": "mse"},
        {"loss": "hinge"},
        {"optimizer": "lion"},
        {"learning_rate": 0.0},
        {"learning_rate": "fast"},
        {"replay": -1},
        {"device": "abacus"},
        {"device": "cuda:99"},
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object]) -> None:
    """A wrong setting would show itself only after hours, if at all."""
    with pytest.raises(LearnerOptionsInvalid, match=str(next(reversed(options))).split("_")[0]):
        learner(Task.BINARY, **options)
