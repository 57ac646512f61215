"""Members of a mixture that carry no weight sleep, and are back when they are needed."""

import pytest
import torch
from torch import Tensor

from models.encoder_layout import Layout
from models.examples import Task
from models.expert import Encoded, Space, Stateless
from models.mixture import Mixture
from models.mixture_sleep import FIRST_NAP, LONGEST_NAP, LOOK, PATIENCE, TRIAL, Sleep

CPU = torch.device("cpu")
ROWS = 256
SPACE = Space(Layout(), 3, 0, 0, 0)
USE = torch.tensor([9.0, 2.0, 0.0, 1.0])
"""Of three members, how much they would be missed: the last one not at all; and the level of the error."""


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
    for _ in range(400):
        sleep.count(LOOK, lambda: USE)
        slept.append(sleep.asleep)
    assert not any(first or second for first, second, _ in slept)
    last = [third for *_, third in slept]
    assert not any(last[:PATIENCE])
    assert sum(last) > 300
    naps = "".join("z" if third else "." for third in last).strip(".").split("." * TRIAL)
    assert [len(nap) for nap in naps if nap][:5] == [FIRST_NAP, 2 * FIRST_NAP, 4 * FIRST_NAP, LONGEST_NAP, LONGEST_NAP]


def test_all_are_woken_when_errors_rise() -> None:
    """After a drift the one that is right from now on would sleep on, for as long as 65,536 rows."""
    sleep = Sleep([False] * 3)
    for _ in range(20):
        sleep.count(LOOK, lambda: USE)
    assert sleep.asleep == [False, False, True]
    for _ in range(2):  # what was measured at one look is read at the next
        sleep.count(LOOK, lambda: USE * torch.tensor([1.0, 1.0, 1.0, 2.0]))
    assert sleep.asleep == [False] * 3


def test_who_costs_nothing_never_sleeps() -> None:
    """The baselines would be missed, and nothing gained."""
    sleep = Sleep([False, False, True])
    for _ in range(50):
        sleep.count(LOOK, lambda: USE)
    assert not any(sleep.asleep)


def test_who_sleeps_is_neither_asked_nor_told() -> None:
    """Sleep would save nothing, or a member would be told of answers that it never gave."""
    mixture = _mixture()
    _learn(mixture, 3 * FIRST_NAP, 0)
    reports = mixture.reports()
    assert reports["asleep.a"] == 0
    assert reports["asleep.b"] == reports["asleep.c"] == 1
    first, second, third = (member for member in mixture._members.values() if isinstance(member, Column))
    assert second.asked < 0.7 * first.asked
    assert second.told <= second.asked
    assert first.told == first.asked == 3 * FIRST_NAP * LOOK // ROWS
    mixture.rescale(2.0, 1.0)
    assert first.scales == second.scales == third.scales == [3.0], "units change for those asleep as well"


def test_a_sleeper_is_back_after_a_drift() -> None:
    """What was learned of members' weights before a drift would last for ever."""
    mixture = _mixture()
    _learn(mixture, 3 * FIRST_NAP, 0)
    assert mixture.reports()["asleep.b"] == 1
    assert _learn(mixture, 6, 1, seed=1) < 0.3, "knowing nothing costs 0.8"
    assert mixture.reports()["asleep.b"] == 0


def test_sleep_is_restored_and_published() -> None:
    """After a restart, or in a serving process, other members would be asked, and the answers differ."""
    mixture = _mixture()
    _learn(mixture, 3 * FIRST_NAP, 0)
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
