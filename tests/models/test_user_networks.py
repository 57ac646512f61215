"""Networks of a user's own: what keeps the contract is served as it is learned, what does not is refused at once."""

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import network_user
from models.errors import NetworkInvalid
from models.examples import Task
from models.network_rates import several_rates
from models.networks import create_network
from models.registry import load_predictor
from tests.support.learning import answers, learner, network, numbers_of, stream, trained

FILE = Path(__file__).parent / "user_networks.py"


@pytest.mark.parametrize("task", Task)
def test_it_is_served_as_it_was_learned(task: Task) -> None:
    """A serving process would answer from the module as it was made, or with random layers at work."""
    made = trained(task, kind=f"{FILE}:Small", network={"hidden": 16, "dropout": 0.5})
    published = made.published()
    features = stream(task, 30, 77).features
    predictor = load_predictor(published.spec, {name: array.copy() for name, array in published.arrays.items()})
    np.testing.assert_array_equal(numbers_of(predictor.predict(features)), answers(made, features))
    assert any(name.startswith("buffers/") for name in published.arrays)


def test_the_same_seed_makes_the_same_module() -> None:
    """A journal learned again would lead to other parameters."""
    left, right = (trained(kind=f"{FILE}:Small").state() for _ in range(2))
    for name, array in left.arrays.items():
        np.testing.assert_array_equal(right.arrays[name], array, err_msg=name)
    other = trained(kind=f"{FILE}:Small", seed=5).state()
    assert (other.arrays["network/block"] != left.arrays["network/block"]).any()


@pytest.mark.parametrize("name", ["Plain", "Small"])
def test_copies_that_learn_at_several_rates_learn_what_each_would_alone(name: str) -> None:
    """Which rate is best would be found out about networks that are none of them."""
    options: dict[str, Any] = {"kind": f"{FILE}:{name}", "replay": 0, "optimizer": "sgd", "momentum": 0.0}
    options |= {"network": {"dropout": 0.0}} if name == "Small" else {}
    made = trained(Task.BINARY, 4, **options)
    assert network(made).network.side_by_side
    for copy, rate in enumerate(several_rates(0.01)):
        alone = trained(Task.BINARY, 4, learning_rate=rate, **options)
        torch.testing.assert_close(
            network(made).parameters.block[0, copy], network(alone).parameters.block[0, 0], rtol=1e-4, atol=1e-5
        )
        for name_of, buffer in network(alone).network.buffers().items():
            torch.testing.assert_close(network(made).network.buffers()[name_of][copy], buffer[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["Branching", "Counting"])
def test_a_network_that_cannot_be_mapped_learns_at_one_rate(name: str) -> None:
    """It would be refused, or copies would take the branch, or the buffers, of one."""
    made = trained(kind=f"{FILE}:{name}", count=4, replay=0)
    assert not network(made).network.side_by_side
    assert len(network(made).guard.rate_scale) == 1
    if name == "Counting":
        assert network(made).network.buffers()["seen"].item() == 4 * 64


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("WrongShape", r"forward must return shape \(4, 2\), it returned \(4,\)"),
        ("NoParameters", "no parameters"),
        ("Doubles", "not float32"),
        ("Detached", "depend on any parameter"),
        ("NoArguments", "inputs=3, outputs=2"),
        ("NoModule", "NoModule, not a torch.nn.Module"),
        ("not_a_class", "there is no class not_a_class"),
        ("Absent", "there is no class Absent"),
    ],
)
def test_what_does_not_keep_the_contract_is_refused(name: str, message: str) -> None:
    """A mistake in a network would show itself only with the first event."""
    with pytest.raises(NetworkInvalid, match=message):
        create_network(f"{FILE}:{name}", {})


def test_options_that_it_does_not_take_are_refused() -> None:
    """A misspelt option would be passed over."""
    with pytest.raises(NetworkInvalid, match="depth"):
        create_network(f"{FILE}:Plain", {"depth": 3})


def test_a_file_that_is_not_there_or_fails_is_refused(tmp_path: Path) -> None:
    """A wrong path would be a traceback."""
    with pytest.raises(NetworkInvalid, match="no such file"):
        create_network(f"{tmp_path}/absent.py:Plain", {})
    broken = tmp_path / "broken.py"
    broken.write_text("raise ZeroDivisionError('on import')")
    with pytest.raises(NetworkInvalid, match="on import"):
        create_network(f"{broken}:Plain", {})


def test_its_folder_is_not_put_on_the_path() -> None:
    """A user's file named as one of ours would be imported in its place."""
    before = list(sys.path)
    create_network(f"{FILE}:Plain", {})
    assert sys.path == before
    assert "user_networks" not in sys.modules


def test_it_may_come_from_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that was installed with a package could not be named."""
    found = EntryPoint("theirs", "torch.nn:Linear", network_user.GROUP)
    monkeypatch.setattr(network_user, "entry_points", lambda **_: EntryPoints([found]))
    made = trained(Task.REGRESSION, kind="theirs", count=20)
    assert made.status().scores["window"]["mae"] < made.status().scores["window"]["mean_mae"]


def test_it_fails_by_name_when_forward_fails_later(tmp_path: Path) -> None:
    """A shape that is wrong for real input only would be a riddle."""
    file = tmp_path / "narrow.py"
    file.write_text(
        "import torch\n"
        "class Narrow(torch.nn.Linear):\n"
        "    def forward(self, x):\n"
        "        assert x.shape[1] < 10, 'too many columns'\n"
        "        return super().forward(x)\n"
    )
    with pytest.raises(NetworkInvalid, match="too many columns"):
        learner(kind=f"{file}:Narrow").learn(stream(Task.BINARY, 64, 0))
