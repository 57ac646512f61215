"""Members of a mixture that carry no weight sleep, and are back when they are needed."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.encoder_layout import Layout
from models.examples import Task
from models.expert import Encoded, Space, Stateless
from models.mixing import Mixing
from models.mixture import Mixture
from models.mixture_sleep import FIRST_NAP, LONGEST_NAP, LOOK, PATIENCE, TRIAL, Sleep, Standing

CPU = torch.device("cpu")
ROWS = 256
SPACE = Space(Layout(), 3, 0, 0, 0)


def _standing(use: tuple[float, ...] = (9.0, 2.0, 0.0), alike: float = 0.0, level: float = 1.0) -> Tensor:
    """Return what is measured of members that would be missed so much each if they had nothing to do with each other.

    By default the last one is of no use. `alike` is how much the first two have to do with each other.
    """
    members = len(use)
    curvature = np.eye(members)
    curvature[0, 1] = curvature[1, 0] = alike
    parts = (curvature.flatten(), np.sqrt(2.0 * np.array(use)), np.zeros(members), [level])
    return torch.from_numpy(np.concatenate(parts))


class Column(Stateless):
    """Answers a column of its rows; counts what it is asked and told."""

    def __init__(self, column: int) -> None:
        self.column = column
        self.asked = self.told = 0
        self.scales: list[float] = []

    def rescale(self, factor: float, shift: float) -> None:
        """See :class:`models.expert.Expert`."""
        self.scales.append(factor + shift)

    def answers(self, rows: Encoded, prior: Tensor) -> Tensor:  # noqa: ARG002 - it needs no more
        """See :class:`models.expert.Expert`."""
        self.asked += 1
        return rows.dense[:, self.column : self.column + 1]

    def learn(self, rows: Encoded, targets: Tensor, weights: Tensor, prior: Tensor, answered: Tensor | None) -> None:  # noqa: ARG002 - it needs no more
        """See :class:`models.expert.Expert`."""
        assert answered is not None
        self.told += 1


def _mixture() -> Mixture:
    return Mixture({name: Column(place) for place, name in enumerate("abc")}, Task.REGRESSION, "auto", CPU)


def _learn(mixture: Mixture, looks: int, right: int, seed: int = 0) -> float:
    """Have a mixture learn; one column is right, the others know nothing. Return the last error."""
    generator = torch.Generator().manual_seed(seed)
    error = 0.0
    for _ in range(looks * LOOK // ROWS):
        rows = Encoded(torch.randn((ROWS, 3), generator=generator), torch.empty((ROWS, 0)))
        targets = rows.dense[:, right] + 0.1 * torch.randn(ROWS, generator=generator)
        answered = mixture.answers(rows, torch.zeros(1))
        error = float((answered[:, 0] - targets).abs().mean())
        mixture.learn(rows, targets, torch.ones(ROWS), torch.zeros(1), answered)
    return error


def test_who_is_worth_nothing_sleeps_longer_and_longer() -> None:
    """A mixture would cost as much as all its members together, though hardly any of them is of use."""
    sleep = Sleep([False] * 3)
    slept = []
    for _ in range(1000):
        sleep.count(LOOK, _standing)
        slept.append(sleep.asleep)
    assert not any(first or second for first, second, _ in slept)
    last = [third for *_, third in slept]
    assert not any(last[:PATIENCE])
    assert sum(last) > 900
    naps = "".join("z" if third else "." for third in last).strip(".").split("." * TRIAL)
    assert [len(nap) for nap in naps if nap][:5] == [FIRST_NAP, 2 * FIRST_NAP, 4 * FIRST_NAP, LONGEST_NAP, LONGEST_NAP]


def test_of_two_that_answer_alike_one_stays() -> None:
    """Neither would be missed while the other is there, and the mixture would be left without both."""
    sleep = Sleep([False] * 3)
    for _ in range(PATIENCE + 1):
        sleep.count(LOOK, lambda: _standing((2.0, 2.0, 9.0), alike=0.95))
    assert sum(sleep.asleep[:2]) == 1
    for _ in range(PATIENCE + 1):
        sleep.count(LOOK, lambda: _standing((2.0, 2.0, 9.0), alike=0.95))
    assert sum(sleep.asleep[:2]) == 1, "the other one is missed now, whatever its weight was"


def test_many_of_no_use_fall_asleep_together() -> None:
    """A mixture of many would cost as much as all of them for thousands of rows."""
    sleep = Sleep([False] * 4)
    for _ in range(PATIENCE + 1):
        sleep.count(LOOK, lambda: _standing((9.0, 0.1, 0.2, 0.3)))
    assert sleep.asleep == [False, True, True, True]
    sleep = Sleep([False] * 4)
    for _ in range(PATIENCE + 1):
        sleep.count(LOOK, lambda: _standing((9.0, 0.6, 0.6, 0.6)))
    assert sum(sleep.asleep) == 1, "all of these together would be missed"


def test_who_is_missed_is_whose_absence_costs() -> None:
    """The wrong ones would sleep."""
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(200, 4))
    inputs[:, 3] += inputs[:, 2]
    curvature, weights = inputs.T @ inputs, np.array([1.0, -0.3, 0.5, 0.2])
    found = Standing(curvature, weights, np.zeros(4), 1.0).missed([False, True, False, False])
    target = inputs @ weights

    def loss(kept: list[int]) -> float:
        best = np.linalg.lstsq(inputs[:, kept], target, rcond=None)[0]
        return float(0.5 * ((inputs[:, kept] @ best - target) ** 2).sum())

    assert found[1] == 0
    for place in (0, 2, 3):
        assert found[place] == pytest.approx(loss([x for x in (0, 2, 3) if x != place]) - loss([0, 2, 3]))


def test_who_only_holds_weights_where_they_began_is_not_missed() -> None:
    """A twin would stay awake for ever: without it the other's weight moves from where it began, and no answer does."""
    inertia, generator = 10.0, np.random.default_rng(1)
    inputs = generator.normal(size=(200, 3))
    inputs[:, 2] = inputs[:, 1]
    curvature, weights = inputs.T @ inputs + inertia * np.eye(3), np.array([1.0, -0.5, -0.5])
    found = Standing(curvature, weights, np.zeros(3), 1.0, inertia).missed([False] * 3)
    assert found[0] > 50
    assert found[1:] == pytest.approx([0.0, 0.0], abs=0.1)
    assert Standing(curvature, weights, np.zeros(3), 1.0).missed([False] * 3)[1] > 1.0


def test_weights_are_missed_as_far_as_they_are_heeded() -> None:
    """An expert would be asked for every row because of an opinion that makes up a hundredth of the answer."""
    mixing = Mixing(2, Task.BINARY, "auto", CPU)
    generator = torch.Generator().manual_seed(1)
    for _ in range(8):
        answers = torch.randn((ROWS, 2, 2), generator=generator).log_softmax(2)
        mixing.learn(answers, answers[:, 0].argmax(1), torch.ones(ROWS))
    opinions, sets = mixing.choice.shape[1], mixing.shares.shape[0]
    mixing.shares = torch.full_like(mixing.shares, 1e-9).log_()
    found = {}
    for heeded in (0.9, 0.01):
        by_weights = heeded / (opinions - sets)
        mixing.choice = torch.tensor([[(1 - heeded) / sets] * sets + [by_weights] * (opinions - sets)]).log_()
        found[heeded] = Standing.read(mixing.standing().numpy()).missed([False, False])[0]
    assert found[0.9] > 1.0
    assert found[0.01] == pytest.approx(found[0.9] / 90, rel=1e-3)


def test_all_are_woken_when_errors_rise() -> None:
    """After a drift the one that is right from now on would sleep on, for as long as 65,536 rows."""
    sleep = Sleep([False] * 3)
    for _ in range(PATIENCE + 2):
        sleep.count(LOOK, _standing)
    assert sleep.asleep == [False, False, True]
    for _ in range(2):  # what was measured at one look is read at the next
        sleep.count(LOOK, lambda: _standing(level=2.0))
    assert sleep.asleep == [False] * 3


def test_who_costs_nothing_never_sleeps() -> None:
    """The baselines would be missed, and nothing gained."""
    sleep = Sleep([False, False, True])
    for _ in range(50):
        sleep.count(LOOK, _standing)
    assert not any(sleep.asleep)


def test_who_sleeps_is_neither_asked_nor_told() -> None:
    """Sleep would save nothing, or a member would be told of answers that it never gave."""
    mixture = _mixture()
    _learn(mixture, 3 * PATIENCE, 0)
    reports = mixture.reports()
    assert reports["asleep.a"] == 0
    assert reports["asleep.b"] == reports["asleep.c"] == 1
    first, second, third = (member for member in mixture._members.values() if isinstance(member, Column))
    assert second.asked < 0.7 * first.asked
    assert second.told <= second.asked
    assert first.told == first.asked == 3 * PATIENCE * LOOK // ROWS
    mixture.rescale(2.0, 1.0)
    assert first.scales == second.scales == third.scales == [3.0], "units change for those asleep as well"


def test_a_sleeper_is_back_after_a_drift() -> None:
    """What was learned of members' weights before a drift would last for ever."""
    mixture = _mixture()
    _learn(mixture, 3 * PATIENCE, 0)
    assert mixture.reports()["asleep.b"] == 1
    assert _learn(mixture, 24, 1, seed=1) < 0.3, "knowing nothing costs 0.8"
    assert mixture.reports()["asleep.b"] == 0


def test_sleep_is_restored_and_published() -> None:
    """After a restart, or in a serving process, other members would be asked, and the answers differ."""
    mixture = _mixture()
    _learn(mixture, 3 * PATIENCE, 0)
    again, served = _mixture(), _mixture()
    meta, tensors = mixture.state()
    again.restore(meta, {name: tensor.clone() for name, tensor in tensors.items()}, SPACE)
    rows = Encoded(torch.randn((5, 3)), torch.empty((5, 0)))
    served.attach(mixture.describe(), mixture.published())
    assert torch.equal(served.answers(rows, torch.zeros(1)), mixture.answers(rows, torch.zeros(1)))
    asked = [member.asked for member in served._members.values() if isinstance(member, Column)]
    assert asked == [1, 0, 0]
    for one in (mixture, again):
        _learn(one, 2 * FIRST_NAP, 0, seed=2)
    other, restored = mixture.state(), again.state()
    assert restored[0] == other[0]
    for name, tensor in other[1].items():
        assert torch.equal(tensor, restored[1][name]), name
    assert mixture.reports() == pytest.approx(again.reports())
