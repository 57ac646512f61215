"""Members of a mixture that stay away at less effort: who answers meanwhile, what is served, and how they come back."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from models.baseline_experts import PriorExpert
from models.effort import FULL, LEVELS, Cost
from models.examples import Task
from models.expert import Encoded
from models.mixing import Mixing
from models.mixture import Mixture
from models.mixture_attendance import REHEARSAL, Attendance
from models.torch_learner import TorchLearner
from tests.support.learning import learner, microbatches

CPU = torch.device("cpu")
LEAST = LEVELS[-1]
NETWORK = {"experts": ["linear", {"kind": "leaves", "trees": 20}, "rls", "prior"]}
ROWS = 64


class Shifted(PriorExpert):
    """Answers what is right, and so much more; notes how many rows it learned."""

    def __init__(self, shift: float, cost: Cost) -> None:
        self.shift, self.cost, self.learned = shift, cost, 0

    def answers(self, rows: Encoded, prior: Tensor) -> Tensor:  # noqa: ARG002 - it needs no more
        """See :class:`models.expert.Expert`."""
        return rows.dense[:, :1] + self.shift

    def learn(self, rows: Encoded, targets: Tensor, weights: Tensor, prior: Tensor, answered: Tensor | None) -> None:  # noqa: ARG002 - it needs no more
        """See :class:`models.expert.Expert`."""
        self.learned += len(targets)


def go_on(mixture: Mixture, efforts: Sequence[int]) -> list[float]:
    """Have a mixture learn a microbatch at each of some levels; return the mean absolute error of each answer."""
    generator, prior, errors = torch.Generator().manual_seed(1), torch.zeros(1), []
    for level in efforts:
        rows = Encoded(torch.randn((ROWS, 1), generator=generator), torch.empty((ROWS, 0))).at(LEVELS[level])
        answered = mixture.answers(rows, prior)
        errors.append(float((answered - rows.dense).abs().mean()))
        mixture.learn(rows, rows.dense[:, 0], torch.ones(ROWS), prior, answered)
    return errors


def test_dear_members_stay_away_at_less_effort_and_come_back_heard_only_after_a_while() -> None:
    """A backlog would be learned by all; or who was away would be heeded before it has caught up."""
    right, near = Shifted(0.0, Cost.MUCH), Shifted(0.2, Cost.LITTLE)
    mixture = Mixture({"right": right, "near": near}, Task.REGRESSION, "auto", CPU)
    before = go_on(mixture, [0] * 40)
    assert right.learned == near.learned == 40 * ROWS
    assert before[-1] < 0.1
    away = go_on(mixture, [3] * 40)
    assert right.learned == 40 * ROWS
    assert near.learned == 80 * ROWS
    assert mixture.reports()["asleep.right"] == 1.0
    assert mixture.reports()["weight.right"] == 0.0
    assert max(away[1:]) < 0.4, "the other is heeded at once"
    back = go_on(mixture, [0] * 40)
    assert right.learned == 80 * ROWS
    assert back[2] == pytest.approx(away[-1], abs=0.05), "who comes back is not heeded yet"
    assert back[REHEARSAL // ROWS + 2] < 0.1
    assert mixture.reports()["asleep.right"] == 0.0


def test_the_cheapest_that_learn_are_always_there() -> None:
    """A mixture of dear experts alone would answer the mean under a backlog."""
    mixing = Mixing(3, Task.REGRESSION, "auto", CPU)
    attendance = Attendance.of_all([Cost.NOTHING, Cost.MUCH, Cost.SOME], mixing)
    assert attendance.follow(LEAST, ROWS)
    assert attendance.current.members == (0, 2)


def test_levels_that_change_before_all_are_back() -> None:
    """Experts would be heeded that have not caught up, or never come back."""
    costs = [Cost.LITTLE, Cost.SOME, Cost.MUCH]
    attendance = Attendance.of_all(costs, Mixing(3, Task.REGRESSION, "auto", CPU))
    seen = []
    for level in (0, 3, 2, 2, 3, 2, 0, 0, 1):
        attendance.follow(LEVELS[level], REHEARSAL // 2)
        seen.append((attendance.current.members, attendance.present))
    everybody, some, least = (0, 1, 2), (0, 1), (0,)
    assert seen == [
        (everybody, everybody),
        (least, least),
        (least, some),
        (least, some),
        (least, least),
        (least, some),
        (least, everybody),
        (least, everybody),
        (everybody, everybody),
    ]


@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION])
def test_what_is_served_is_what_was_scored(task: Task) -> None:
    """Servers would ask experts that are away, or mix those that are there by weights that are for all."""
    made = learner(task, kind="auto", network=NETWORK)
    given = microbatches(task, 30, product=True)
    for number, each in enumerate(given):
        # At the end all learn again, and only those that were there are heeded.
        made.learn(each, FULL if number < 10 or number > 27 else LEAST)
        served, own = made.predictor().predict(each.features), made.try_out(each.features).predictions
        for left, right in ((served.values, own.values), (served.probabilities, own.probabilities)):
            if left is not None and right is not None:
                np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stop", [12, 29])
def test_a_mixture_goes_on_exactly_whoever_is_away(stop: int) -> None:
    """A restart in the middle of a backlog, or just after it, would learn other parameters under the same numbers."""
    made, other = (learner(Task.BINARY, kind="auto", network=NETWORK) for _ in range(2))
    for number, each in enumerate(microbatches(Task.BINARY, 45, product=True)):
        effort = LEVELS[(0, 3, 2, 0)[min(number // 10, 3)]]
        made.learn(each, effort)
        if number == stop:
            other.restore(made.state())
        elif number > stop:
            other.learn(each, effort)
    left, right = made.state(), other.state()
    assert left.meta == right.meta
    for name, array in left.arrays.items():
        np.testing.assert_array_equal(array, right.arrays[name], err_msg=name)


def test_accuracy_returns_with_the_calm() -> None:
    """A backlog that is over would be felt for ever."""

    def window(efforts: Sequence[int]) -> float:
        made = learner(Task.REGRESSION, kind="auto", network=NETWORK, window=1500)
        assert isinstance(made, TorchLearner)
        for level, each in zip(efforts, microbatches(Task.REGRESSION, len(efforts), product=True), strict=True):
            made.learn(each, LEVELS[level])
        return float(made.status().scores["window"]["mae"])

    quiet, disturbed = window([0] * 120), window([0] * 30 + [3] * 40 + [0] * 50)
    assert disturbed < 1.1 * quiet
