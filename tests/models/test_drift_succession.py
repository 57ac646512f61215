"""After a drift a newcomer learns beside, is heard as soon as it is right, and stays only where it is better."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from models.drift_duel import BETTER, LEAST, MOST, SOON, Duel
from models.drift_options import DriftOptions
from models.drift_succession import EARLY, FIRST_PAUSE, LONGEST_PAUSE, Succession
from models.encoder_layout import Layout
from models.examples import Examples, Task
from models.expert import Encoded, Space, Stateless
from models.learner import LearnerOptions
from models.registry import load_predictor
from models.torch_learner import TorchLearner
from tests.support.drifting import ROWS, cut, drifting, errors
from tests.support.learning import numbers_of

CPU = torch.device("cpu")
CONCEPT = 1500  # rows
SPACE = Space(Layout(), 2, 0, 0, 0)


def learner(react: str = "auto", task: Task = Task.BINARY, kind: str = "auto") -> TorchLearner:
    """Return a learner that watches for drift; a mixture of few experts, for the sake of time."""
    options = DriftOptions(react=react)  # type: ignore[arg-type] # tests know them
    network = {"experts": ["leaves", "knn", "prior"]} if kind == "auto" else {}
    return TorchLearner(LearnerOptions(kind=kind, device="cpu", network=network), task, None, options)


class Constant(Stateless):
    """Answers one number."""

    def __init__(self, value: float) -> None:
        self.value = value

    def answers(self, rows: Encoded, prior: Tensor) -> Tensor:
        """See :class:`models.expert.Expert`."""
        return prior.new_full((len(rows), 1), self.value)

    def learn(self, rows: Encoded, targets: Tensor, weights: Tensor, prior: Tensor, answered: Tensor | None) -> None:
        """See :class:`models.expert.Expert`: nothing."""


def succession(*values: float) -> Succession:
    """Return one whose experts answer these numbers, one after the other."""
    made = iter([*values, *[values[-1]] * 50])
    found = Succession(lambda: Constant(next(made)), "background", Task.REGRESSION, "auto", CPU)
    found.grow(SPACE)
    return found


def feed(found: Succession, rows: int, target: float, drifts: Sequence[int] = ()) -> list[bool]:
    """Have it learn rows whose target is a number; `drifts` are microbatches with one. Return who lived in each."""
    nothing, lived = torch.zeros(1), []
    for place in range(rows // ROWS):
        encoded = Encoded(torch.zeros((ROWS, 2)), torch.empty((ROWS, 0)))
        answered = found.answers(encoded, nothing)
        if found.react(int(place in drifts)):
            answered = found.answers(encoded, nothing)
        found.learn(encoded, torch.full((ROWS,), target), torch.ones(ROWS), nothing, answered)
        lived.append("duel" in found.state()[0]["beside"])
    return lived


def value(found: Succession) -> float:
    """Return what it answers."""
    return float(found.answers(Encoded(torch.zeros((1, 2)), torch.empty((1, 0))), torch.zeros(1))[0, 0])


def duel(task: Task, right: Sequence[float], rows: int) -> Duel:
    """Return a duel after some rows of the second of two classes, or of the number 1.

    `right`: the probability of that class that elder and newcomer give, or the number.
    """
    found = Duel(task, "auto", CPU)
    each = [
        torch.tensor([[share]]) if task is Task.REGRESSION else torch.tensor([[1 - share, share]]).log()
        for share in right
    ]
    targets = torch.ones(ROWS, dtype=torch.float32 if task is Task.REGRESSION else torch.int64)
    for _ in range(rows // ROWS):
        cleaned = found.clean([one.expand(ROWS, -1) for one in each], torch.zeros(each[0].shape[1]))
        found.learn(cleaned, targets, torch.ones(ROWS))
    return found


@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION])
def test_a_newcomer_that_is_right_is_heard_at_once_and_stays(task: Task) -> None:
    """After a drift the answers would be those of the concept that is gone for thousands of events."""
    assert float(duel(task, (0.1, 0.9), 2 * ROWS).shares[0, 1].exp()) > 0.5
    assert duel(task, (0.1, 0.9), LEAST - ROWS).newcomer_stays() is None
    assert duel(task, (0.1, 0.9), LEAST).newcomer_stays() is True


@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION])
def test_a_newcomer_that_is_no_better_is_not_heard_and_goes(task: Task) -> None:
    """A false alarm would cost what was learned, or spoil the answers meanwhile."""
    assert float(duel(task, (0.9, 0.5), 2 * ROWS).shares[0, 1].exp()) < 0.1
    assert duel(task, (0.9, 0.5), SOON).newcomer_stays() is False
    assert duel(task, (0.9, 0.885), SOON).newcomer_stays() is None
    assert duel(task, (0.9, 0.885), LEAST).newcomer_stays() is False
    assert duel(task, (0.9, 0.9), LEAST).newcomer_stays() is False


def test_a_little_better_has_to_be_so_for_long() -> None:
    """Chance would decide who stays."""
    elder = 0.5
    newcomer = elder ** ((1 + BETTER) / 2)  # its loss lies between what is clearly better and what is none
    assert duel(Task.BINARY, (elder, newcomer), LEAST).newcomer_stays() is None
    assert duel(Task.BINARY, (elder, newcomer), MOST).newcomer_stays() is None
    assert duel(Task.BINARY, (elder, newcomer), MOST + ROWS).newcomer_stays() is True


def test_one_in_vain_is_followed_by_pauses_that_grow() -> None:
    """A stream whose errors rise again and again without a new concept would have all things learned twice for ever."""
    found = succession(1.0, 0.0)
    lived = feed(found, 100_000, 1.0, range(3000))
    text = "".join("d" if duels else "." for duels in lived)
    pauses = [len(pause) * ROWS for pause in text.split("d") if pause]
    expected = [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    np.testing.assert_allclose(pauses[:5], expected, atol=2 * ROWS)
    assert text.count("d") < 0.05 * len(text)
    assert value(found) == 1.0


def test_a_drift_in_a_pause_is_answered_when_it_is_over() -> None:
    """A false alarm shortly before a real drift would leave a learner alone with it."""
    found = succession(1.0, 0.0)
    feed(found, 2 * LEAST, 1.0, [0])
    assert value(found) == 1.0
    assert not any(feed(found, 512, 0.0, [1]))
    feed(found, FIRST_PAUSE + LEAST + 4 * ROWS, 0.0)
    assert value(found) == 0.0


def test_a_second_drift_makes_the_newcomer_the_elder() -> None:
    """The concept of a while ago would be what the newest one is compared with."""
    found = succession(1.0, 0.0, 2.0)
    feed(found, EARLY + 2 * ROWS, 0.0, [0])
    feed(found, LEAST + ROWS, 2.0, [0])
    feed(found, 2 * ROWS, 2.0)
    assert value(found) == 2.0
    early = succession(1.0, 0.0, 2.0)
    feed(early, LEAST + 2 * ROWS, 0.0, [0, 1])
    assert value(early) == 0.0, "what follows at once is the same drift"


@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION])
def test_auto_is_soon_right_again_after_a_drift(task: Task) -> None:
    """A mixture alone is held up by what all its members remember of the concept that is gone."""
    examples = drifting("abrupt", task, CONCEPT)
    alone, found = (errors(learner(react, task), examples)[CONCEPT:] for react in ("none", "auto"))
    assert found.mean() < 0.8 * alone.mean()


def test_auto_learns_a_concept_that_returns_no_later_than_the_first_time() -> None:
    """A concept that comes back would be learned ever more slowly."""
    found = errors(learner(), drifting("recurring", Task.BINARY, 1000))
    first, second, third = (found[start : start + 500].mean() for start in (1000, 2000, 3000))
    assert second < first + 0.05
    assert third < first + 0.05


def amid(kind: str, task: Task = Task.BINARY) -> tuple[TorchLearner, list[Examples], Examples]:
    """Return a learner amid a duel, what comes next, and all rows."""
    examples = drifting("abrupt", task, 1000)
    made, rest = learner("background", task, kind), list(cut(examples))
    while not isinstance(made.expert, Succession) or "duel" not in made.expert.state()[0]["beside"]:
        made.learn(rest.pop(0))
    made.learn(rest.pop(0))
    return made, rest, examples


@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION])
def test_whoever_serves_hears_both(task: Task) -> None:
    """What is served would not be what is scored, as long as two answer together."""
    made, _, examples = amid("mlp", task)
    features = examples.slice(0, 20).features
    published = made.published()
    served = load_predictor(published.spec, published.arrays).predict(features)
    answered = made.try_out(features).predictions
    if task is Task.REGRESSION:
        np.testing.assert_array_equal(served.values, answered.values)
    else:
        np.testing.assert_array_equal(served.probabilities, answered.probabilities)
    assert "weight" in made.status().experts["newcomer"]


@pytest.mark.parametrize(("kind", "task"), [("auto", Task.BINARY), ("mlp", Task.REGRESSION)])
def test_a_restart_amid_a_duel_goes_on_exactly(kind: str, task: Task) -> None:
    """After a crash the same events would give other parameters under the same version."""
    left, rest, _ = amid(kind, task)
    right = learner("background", task, kind)
    right.restore(left.state())
    for given in rest[:8]:
        left.learn(given)
        right.learn(given)
    one, other = left.state(), right.state()
    assert one.meta == other.meta
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name], err_msg=name)


def test_a_false_alarm_leaves_what_was_learned_as_it_is() -> None:
    """An alarm without a cause would change the one that goes on, or be what it is judged by."""
    plain, alarmed = learner("none", kind="mlp"), learner("background", kind="mlp")
    for place, given in enumerate(cut(drifting("none", Task.BINARY, CONCEPT))):
        plain.learn(given)
        alarmed.learn(given)
        if place == 20:
            assert isinstance(alarmed.expert, Succession)
            assert alarmed.expert.react(1)
    assert "duel" not in alarmed.state().meta["expert"]["beside"]
    features = drifting("none", Task.BINARY, ROWS).features
    one, other = (numbers_of(made.try_out(features).predictions) for made in (plain, alarmed))
    np.testing.assert_allclose(one, other, atol=0.01)
