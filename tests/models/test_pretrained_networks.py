"""Networks of a user's own that were trained before: they begin with what they know, and what is frozen stays."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from models.errors import LearnerOptionsInvalid, NetworkInvalid, StateMismatch
from models.examples import Examples, Task
from models.mixture import Mixture
from models.networks import create_network
from models.registry import load_predictor
from models.torch_learner import TorchLearner
from tests.models.user_networks import Body
from tests.support.learning import (
    answers,
    expect_the_same_after_a_restart,
    labelled,
    learner,
    microbatches,
    network,
    numbers,
    numbers_of,
    stream,
    trained,
)

FILE = Path(__file__).parent / "user_networks.py"
KIND = f"{FILE}:Body"


def tensors_of(made: TorchLearner) -> dict[str, Tensor]:
    """Return what the first copy of a learner's network has: parameters, buffers, and all that is frozen."""
    own = network(made)
    copies = {**own.parameters.views, **own.network.buffers()}
    return {**{name: held[0].clone() for name, held in copies.items()}, **own.network.frozen()}


def saved(folder: Path, tensors: Mapping[str, Tensor], name: str = "weights") -> str:
    """Write a file of weights and return its path."""
    path = folder / f"{name}.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return str(path)


def body_of(inputs: int = 5, hidden: int = 24) -> dict[str, Tensor]:
    """Return the body of a module, as it is when it is new."""
    torch.manual_seed(3)
    return {f"body.{name}": tensor for name, tensor in Body(inputs, 1, hidden).body.state_dict().items()}


def plain(rows: int, seed: int, columns: int = 5) -> Examples:
    """Return rows whose class follows from the product of the first two of some numbers."""
    values = np.random.default_rng([seed, rows]).normal(size=(rows, columns))
    return labelled(numbers(values), (values[:, 0] * values[:, 1] > 0).tolist())


@pytest.mark.parametrize("rate", ["auto", 0.01])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "adagrad"])
def test_what_is_frozen_stays_to_the_bit_while_the_head_learns(rate: float | str, optimizer: str) -> None:
    """Weight decay, or batch statistics, would wear away what was learned elsewhere."""
    options: dict[str, Any] = {"learning_rate": rate, "optimizer": optimizer, "weight_decay": 0.1}
    made = trained(kind=KIND, count=1, network={"freeze": "body"}, **options)
    assert len(network(made).parameters.block[0]) == (3 if rate == "auto" else 1)
    before = {name: tensor.clone() for name, tensor in tensors_of(made).items()}
    for given in microbatches(Task.BINARY, 40, first=1):  # beyond the guard's look back
        made.learn(given)
    after = tensors_of(made)
    assert {name for name in after if "body.1.running" in name} == {"body.1.running_mean", "body.1.running_var"}
    for name, tensor in before.items():
        same = tuple(slice(0, size) for size in tensor.shape)  # columns may have been added
        assert torch.equal(after[name][same], tensor) == name.startswith("body"), name


def test_a_constructor_may_freeze_too() -> None:
    """What a user made of the module himself would be passed over."""
    made = trained(kind=KIND, count=3, network={"frozen": True})
    assert set(network(made).parameters.shapes) == {"head.weight", "head.bias"}
    again = trained(kind=KIND, count=3, network={"freeze": ["body.*"]})
    np.testing.assert_array_equal(made.state().arrays["network/block"], again.state().arrays["network/block"])


def test_a_frozen_buffer_stays_in_a_module_that_learns() -> None:
    """A pattern would hold parameters only, whatever it matches."""
    held = trained(kind=f"{FILE}:Moving", count=3, network={"freeze": ["mean"]})
    free = trained(kind=f"{FILE}:Moving", count=3)
    assert tensors_of(held)["mean"] == 0 < tensors_of(free)["mean"]


def test_it_begins_with_its_weights_and_the_rest_is_new(tmp_path: Path) -> None:
    """A head that was not saved, because classes differ, would make the file of no use."""
    weights = body_of()
    made = learner(kind=KIND, network={"weights": saved(tmp_path, weights), "freeze": ["body.*"]})
    made.learn(plain(64, 0))
    found = tensors_of(made)
    for name, given in weights.items():
        torch.testing.assert_close(found[name][tuple(slice(0, size) for size in given.shape)], given, rtol=0, atol=0)


@pytest.mark.parametrize("frozen", [True, False])
def test_weights_of_columns_that_come_later_are_there_when_they_come(tmp_path: Path, frozen: bool) -> None:
    """A file of a network with more inputs than the first rows have would lose what it has for them."""
    weights = {name: tensor + 1.0 for name, tensor in body_of(inputs=40).items() if name == "body.0.weight"}
    arguments = {"weights": saved(tmp_path, weights), "freeze": ["body.*"] if frozen else []}
    made = learner(kind=KIND, replay=0, learning_rate=1e-6, network=arguments)
    made.learn(plain(64, 0, columns=3))
    few = tensors_of(made)["body.0.weight"].shape[1]
    made.learn(plain(64, 1, columns=9))
    found = tensors_of(made)["body.0.weight"]
    assert few < found.shape[1] <= 40
    torch.testing.assert_close(found, weights["body.0.weight"][:, : found.shape[1]], rtol=0, atol=0 if frozen else 1e-3)


def test_what_it_knows_is_worth_many_rows(tmp_path: Path) -> None:
    """All this would be for nothing."""
    known = learner(kind=KIND, learning_rate=0.01)
    for seed in range(70):
        known.learn(plain(64, seed))
    body = {name: tensor for name, tensor in tensors_of(known).items() if name.startswith("body")}
    arguments = {"weights": saved(tmp_path, body), "freeze": ["body.*"]}
    scores = []
    for network_arguments in (arguments, {}):
        made = learner(kind=KIND, network=network_arguments)
        for seed in range(1000, 1008):
            made.learn(plain(64, seed))
        asked = plain(2000, 77)
        scores.append(float(np.mean((answers(made, asked.features)[:, 1] > 0.5) == np.array(asked.labels))))
    assert scores[0] > scores[1] + 0.1, scores


def test_a_server_needs_no_file_and_gets_what_is_frozen_once(tmp_path: Path) -> None:
    """A serving process would need the file, and each update would copy what never changes."""
    weights = saved(tmp_path, body_of())
    made = learner(kind=KIND, network={"weights": weights, "freeze": ["body.*"]})
    made.learn(plain(64, 0))
    assert made.published().changed is None
    made.learn(plain(64, 0))
    published = made.published()
    assert published.changed is not None
    assert "network/parameters" in published.changed
    assert not any(name.startswith("frozen/") for name in published.changed)
    assert any(name.startswith("frozen/body") for name in published.arrays)
    Path(weights).unlink()
    asked = plain(30, 5).features
    predictor = load_predictor(published.spec, {name: array.copy() for name, array in published.arrays.items()})
    np.testing.assert_array_equal(numbers_of(predictor.predict(asked)), answers(made, asked))


def test_after_a_restart_it_goes_on_the_same(tmp_path: Path) -> None:
    """The file would be read again over what was learned."""
    made = learner(kind=KIND, network={"weights": saved(tmp_path, body_of()), "freeze": ["body.0.*"]})
    for seed in range(3):
        made.learn(plain(64, seed))
    expect_the_same_after_a_restart(made, [plain(64, seed) for seed in range(3, 6)], plain(9, 9).features)


def test_a_file_may_move_and_what_is_frozen_may_not_change() -> None:
    """A moved file would be a model begun anew; another set of parameters would be read as if they were these."""
    made = trained(kind=KIND, count=2, network={"freeze": ["body.*"]})
    changed = learner(kind=KIND, network={"freeze": ["body.0.*"]})
    with pytest.raises(StateMismatch, match="freeze"):
        changed.restore(made.state())


def test_weights_are_no_part_of_what_a_state_must_agree_with(tmp_path: Path) -> None:
    """A file that was moved would make the checkpoint of no use."""
    made = learner(kind=KIND, network={"weights": saved(tmp_path, body_of())})
    made.learn(plain(64, 0))
    moved = learner(kind=KIND, network={"weights": saved(tmp_path, body_of(), "moved")})
    moved.restore(made.state())


def test_an_expert_of_a_mixture_may_have_arguments_of_its_own(tmp_path: Path) -> None:
    """A network that was trained before could be asked alone only."""
    own = {"kind": KIND, "weights": saved(tmp_path, body_of()), "freeze": "body.*"}
    made = learner(kind="auto", network={"experts": ["linear", own]})
    before = [made.learn(given) for given in microbatches(Task.BINARY, 3)]
    assert len(before) == 3
    assert isinstance(made.expert, Mixture)
    assert "Body.frozen/body.0.weight" in made.state().arrays
    expect_the_same_after_a_restart(made, microbatches(Task.BINARY, 2, first=3), stream(Task.BINARY, 9, 9).features)


@pytest.mark.parametrize("experts", [["linear", {"hidden": 3}], ["linear", "linear"]])
def test_experts_without_a_kind_or_with_one_name_are_refused(experts: list[Any]) -> None:
    """One of two would be lost without a word."""
    with pytest.raises(LearnerOptionsInvalid, match=r"network\.experts"):
        learner(kind="auto", network={"experts": experts})


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"body.0.wieght": torch.zeros(24, 5)}, r"no such name; did you mean body\.0\.weight\?"),
        ({"tail": torch.zeros(2)}, r"no such name; it has .*body\.0\.weight"),
        ({"body.0.weight": torch.zeros(16, 5)}, r"\(16, 5\), in .*:Body of shape \(24, any\)"),
        ({"body.0.bias": torch.zeros(24, 1)}, r"\(24, 1\), in .* of shape \(24\)"),
        ({"body.0.bias": torch.zeros(24, dtype=torch.int64)}, r"int64"),
        ({"body.0.bias": torch.full((24,), torch.nan)}, r"not a finite number"),
        ({}, r"holds nothing"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, tensors: Mapping[str, Tensor], message: str) -> None:
    """A network would be served that is not the one that was trained."""
    with pytest.raises(NetworkInvalid, match=message):
        create_network(KIND, {"weights": saved(tmp_path, tensors)})


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    """A pickle could run anything."""
    path = tmp_path / "weights.pt"
    path.write_bytes(pickle.dumps({"body.0.bias": [0.0]}))
    with pytest.raises(NetworkInvalid, match=r"pickles are not read at all.*save_file"):
        create_network(KIND, {"weights": str(path)})
    with pytest.raises(NetworkInvalid, match=r"no such file .*relative to"):
        create_network(KIND, {"weights": "absent.safetensors"})


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["boby.*"], r"boby\.\* matches nothing; .* has .*body\.0\.weight"),
        (["*"], "all its parameters are frozen"),
        (3, r"network\.freeze: 3 is not a list"),
    ],
)
def test_patterns_that_mean_nothing_are_refused(patterns: Any, message: str) -> None:
    """What was meant to stay would be learned over."""
    with pytest.raises(NetworkInvalid, match=message):
        create_network(KIND, {"freeze": patterns})
