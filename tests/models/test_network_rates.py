"""Several rates beside each other: the one that suits the stream is heeded, and a bad one does no harm."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from models.examples import Task
from models.fixed_share import SHARE
from models.network_rates import RateShares, several_rates
from tests.support.learning import answers, learner, microbatches, network, stream, trained

USER = f"{Path(__file__).parent / 'user_networks.py'}:"


def test_rates_lie_around_the_default() -> None:
    """The default would not be among those that are tried."""
    assert several_rates(0.01) == pytest.approx([0.01 / math.sqrt(10), 0.01, 0.01 * math.sqrt(10)])


def test_the_copy_that_is_right_is_heeded_and_soon_again_after_a_change() -> None:
    """The answers would stay those of a rate that suited the stream long ago."""
    shares = RateShares.equal(3, torch.device("cpu"))
    targets, weights = torch.zeros(64, dtype=torch.int64), torch.ones(64)
    right, wrong = torch.tensor([0.9, 0.1]), torch.tensor([0.4, 0.6])
    for best in (0, 2):
        given = torch.stack([right if copy == best else wrong for copy in range(3)]).unsqueeze(1).expand(-1, 64, -1)
        for _ in range(10):
            shares.learn(given, targets, weights)
        found = shares.mixed(given, probabilities=True).exp()
        assert float(shares.shares[best].exp()) > 0.9
        assert float(found[0, 0]) == pytest.approx(0.9, abs=0.05)
        assert float(shares.shares.exp().min()) >= SHARE / 3
        assert float(shares.shares.exp().sum()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("probabilities", [True, False])
def test_a_copy_that_answers_no_number_is_passed_over(probabilities: bool) -> None:
    """One rate that is too high would be the end of the other ones."""
    shares = RateShares.equal(3, torch.device("cpu"))
    given = torch.full((3, 4, 2), 0.5)
    given[2, 1] = torch.nan
    found = shares.mixed(given, probabilities=probabilities)
    assert found.flatten().tolist() == pytest.approx([math.log(0.5) if probabilities else 0.5] * 8)
    given[:, 2] = torch.nan
    found = shares.mixed(given, probabilities=probabilities)
    assert not torch.isfinite(found[2]).any()
    assert torch.isfinite(found[[0, 1, 3]]).all()
    targets = torch.zeros(4, dtype=torch.int64) if probabilities else torch.zeros(4)
    shares.learn(given, targets, torch.ones(4))
    assert torch.isfinite(shares.shares).all()
    assert shares.shares.argmin() == 2


def test_several_rates_are_better_than_one_that_is_wrong() -> None:
    """A user would have to bring a learning rate after all."""
    found = {}
    for rate in (3e-5, "auto", 30.0):
        made = learner(kind="mlp", learning_rate=rate, window=1280)
        for given in microbatches(Task.BINARY, 40, product=True):
            made.learn(given)
        found[rate] = made.status().scores["window"]["accuracy"]
    assert found["auto"] > max(found[3e-5], found[30.0]) + 0.2, found


def test_only_one_copy_is_made_for_a_rate_that_is_given() -> None:
    """What a user asks for would cost three times as much as it has to."""
    assert len(network(learner(kind="mlp", learning_rate=0.01)).guard.rate_scale) == 1
    assert len(network(learner(kind="mlp")).guard.rate_scale) == 3


def test_a_copy_that_breaks_is_undone_without_the_others() -> None:
    """A rate that explodes would stop those that do not from learning, or be heeded all the same."""
    made = learner(kind="mlp", replay=0, step_size=0)
    for given in microbatches(Task.BINARY, 8):
        made.learn(given)
    parameters = network(made).parameters
    parameters.block[0, 2].fill_(torch.nan)
    before = parameters.block[0, :2].clone()
    made.learn(stream(Task.BINARY, 64, 99))
    assert not torch.equal(parameters.block[0, :2], before)
    assert made.status().skipped == {"non_finite": 1}
    assert np.isfinite(answers(made, stream(Task.BINARY, 20, 100).features)).all()


@pytest.mark.parametrize("kind", ["linear", "mlp", f"{USER}Small"])
def test_a_rate_that_is_changed_goes_on_from_what_was_learned(kind: str) -> None:
    """Whoever sets a smaller rate, as operators are told to, or takes it back, could not start again."""
    several = trained(kind=kind)
    one, again = learner(kind=kind, learning_rate=1e-3), learner(kind=kind)
    one.restore(several.state())
    features = stream(Task.BINARY, 64, 99).features
    best = int(network(several)._shares.shares.argmax())
    for row in range(len(network(one).parameters.block)):
        assert torch.equal(network(one).parameters.block[row, 0], network(several).parameters.block[row, best])
    again.restore(one.state())
    np.testing.assert_allclose(answers(again, features), answers(one, features), rtol=0, atol=1e-6)
    for made in (one, again):
        for given in microbatches(Task.BINARY, 40, first=50):  # the guard looks back once in 32
            made.learn(given)
        assert made.status().skipped == {}
        assert np.isfinite(answers(made, features)).all()


def test_with_nothing_to_go_by_the_default_rate_is_the_best() -> None:
    """A backlog from the first event on would be learned at a rate that rounding has chosen."""
    shares = RateShares.equal(3, torch.device("cpu"))
    shares.shares[0] += 1e-6
    assert shares.best() == 1
    shares.shares[2] += 1.0
    assert shares.best() == 2
