"""A mixture is as good as the best of its members on each stream, and learns from what they knew before the labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.baseline_experts import LastExpert, PriorExpert
from models.encoder_layout import Layout
from models.errors import LearnerOptionsInvalid, StateMismatch
from models.examples import Examples, Label, Task
from models.expert import Encoded, Space
from models.mixture import Mixture
from models.torch_learner import TorchLearner
from tests.support.learning import (
    answers,
    expect_the_same_after_a_restart,
    labelled,
    learner,
    microbatches,
    numbers,
    stream,
    trained,
)

CPU = torch.device("cpu")
USER = f"{Path(__file__).parent / 'user_networks.py'}:Plain"
FEW = {"experts": ["linear", "mlp", "last", "prior"]}


def _rows(values: Sequence[float]) -> Encoded:
    """Return rows of one column."""
    return Encoded(torch.tensor(values).unsqueeze(1), torch.empty((len(values), 0)))


class Peeking(PriorExpert):
    """Knows the label of each row that it has learned, and answers it; 0 for other rows. Notes what it was told."""

    def __init__(self) -> None:
        self.known: dict[float, float] = {}
        self.priors: list[list[float]] = []
        self.told: list[Tensor | None] = []

    def answers(self, rows: Encoded, prior: Tensor) -> Tensor:
        """See :class:`models.expert.Expert`."""
        self.priors.append(prior.tolist())
        return torch.tensor([[self.known.get(value, 0.0)] for value in rows.dense[:, 0].tolist()])

    def learn(self, rows: Encoded, targets: Tensor, weights: Tensor, prior: Tensor, answered: Tensor | None) -> None:  # noqa: ARG002 - it needs no more
        """See :class:`models.expert.Expert`."""
        self.told.append(answered)
        self.known |= dict(zip(rows.dense[:, 0].tolist(), targets.tolist(), strict=True))


class Noisy(PriorExpert):
    """Answers what is in the row."""

    def answers(self, rows: Encoded, prior: Tensor) -> Tensor:  # noqa: ARG002 - it needs no more
        """See :class:`models.expert.Expert`."""
        return rows.dense[:, :1]


@pytest.mark.parametrize("encoded_anew", [False, True])
def test_what_members_know_after_the_labels_counts_for_nothing(encoded_anew: bool) -> None:
    """An expert that learns by heart would get all the weight, and be of no use for rows to come."""
    peeking = Peeking()
    mixture = Mixture({"peeking": peeking, "noisy": Noisy()}, Task.REGRESSION, "auto", CPU)
    random = np.random.default_rng(1)
    for _ in range(30):
        values = random.normal(size=64).astype(np.float32)
        rows, targets = _rows(values.tolist()), torch.from_numpy(values + 0.3)
        answered = mixture.answers(rows, torch.zeros(1))
        mixture.learn(rows, targets, torch.ones(64), torch.zeros(1), None if encoded_anew else answered)
    reports = mixture.reports()
    assert reports["weight.noisy"] > 0.8, reports
    assert reports["loss.noisy"] < reports["loss.peeking"]
    assert all((told is None) is encoded_anew for told in peeking.told)


def test_the_prior_gives_no_label_away() -> None:
    """A microbatch's labels are in the prior that it is learned with; an expert that adds the prior would look wise."""
    peeking = Peeking()
    mixture = Mixture({"peeking": peeking, "prior": PriorExpert()}, Task.MULTICLASS, "auto", CPU)
    mixture._mixing.blend.clean = lambda answers, prior: torch.zeros((len(answers[0]), 2, len(prior)))  # type: ignore[method-assign] # what it answers is not what this is about
    shares = [torch.tensor(found).log() for found in ([0.9, 0.1], [0.5, 0.5], [0.3, 0.3, 0.4])]
    for prior in shares:
        mixture.learn(_rows([1.0, 2.0]), torch.tensor([0, 1]), torch.ones(2), prior, None)
    first, second, third = peeking.priors
    assert first == pytest.approx([np.log(0.5)] * 2)
    assert second == shares[0].tolist()
    assert third[:2] == shares[1].tolist()
    assert third[2] < -5, "that there is a third class was not known"


@pytest.mark.parametrize("task", Task)
def test_a_mixture_learns_every_task(task: Task) -> None:
    """The default learner would not learn."""
    made = learner(task, kind="auto", network=FEW, window=640)
    for given in microbatches(task, 50, product=True):
        made.learn(given)
    status = made.status()
    scores = status.scores["window"]
    if task is Task.REGRESSION:
        assert scores["mae"] < 0.6 * scores["mean_mae"], scores
    else:
        assert scores["accuracy"] > scores["majority_accuracy"] + 0.2, scores
    assert set(status.experts) >= {"linear", "mlp", "last", "prior", "mixture"}
    weights = {name: report["weight"] for name, report in status.experts.items()}
    assert weights["mlp"] > weights["linear"], f"only the first can learn a product: {weights}"
    assert sum(weights.values()) == pytest.approx(2.0, abs=1e-4), "shares of one, and the mixture itself"


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("size", [1, 64, 700])
def test_what_is_restored_or_published_is_the_same_mixture(task: Task, size: int) -> None:
    """After a restart other parameters would carry the same version; a server would answer other than the trainer."""
    made = trained(task, 3, kind="auto", network=FEW)
    made.learn(stream(task, size, 50))
    rest = (stream(task, size, 51), stream(task, 64, 52))
    expect_the_same_after_a_restart(made, rest, stream(task, 40, 53).features)


def test_classes_that_come_late_are_learned() -> None:
    """A class that was not there in the beginning would never be answered."""
    made = learner(Task.MULTICLASS, kind="auto", network=FEW, window=640)
    for given in microbatches(Task.MULTICLASS, 40):
        made.learn(_without("high", given))
    for given in microbatches(Task.MULTICLASS, 30, first=40):
        made.learn(given)
    assert made.status().scores["window"]["accuracy"] > 0.8


def _without(label: str, given: Examples) -> Examples:
    return given.take(np.flatnonzero([known != label for known in given.labels]))


def test_a_network_of_the_users_own_can_be_a_member() -> None:
    """Whoever has a good network would have to choose between it and the mixture."""
    made = learner(Task.REGRESSION, kind="auto", network={"experts": ["linear", USER]})
    for given in microbatches(Task.REGRESSION, 3):
        made.learn(given)
    assert set(made.status().experts) == {"linear", "Plain", "mixture"}
    assert all(name.startswith(("mixing.", "linear.", "Plain.")) for name in made.expert.published())


def test_what_was_saved_by_another_mixture_is_refused() -> None:
    """Weights of one expert would be given to another."""
    mixture = Mixture({"last": LastExpert(CPU, numeric=True)}, Task.REGRESSION, "auto", CPU)
    other = Mixture({"prior": PriorExpert()}, Task.REGRESSION, "auto", CPU)
    space = Space(Layout(), 8, 0, 0, 0)
    with pytest.raises(StateMismatch, match="mixture of last"):
        other.restore(*mixture.state(), space)
    with pytest.raises(StateMismatch, match="mixture of last"):
        other.attach(mixture.describe(), mixture.published())
    with pytest.raises(LearnerOptionsInvalid, match="members"):
        learner(Task.REGRESSION, kind="auto", network={"members": ["last"]})


def _one_of(classes: int, rows: int = 640, stay: float = 0.9) -> list[Label]:
    """Return labels that mostly stay what they were."""
    random = np.random.default_rng(2)
    moves = np.where(random.random(rows) < stay, 0, random.integers(1, classes, rows))
    return [f"c{place}" for place in (moves.cumsum() % classes).tolist()]


@pytest.mark.parametrize("classes", [2, 5])
def test_the_last_label_is_answered_as_surely_as_it_was_right(classes: int) -> None:
    """Where labels depend on those before them the mixture would not know, or overrate it."""
    made = learner(Task.MULTICLASS, kind="last", window=512)
    labels = _one_of(classes)
    for place, label in enumerate(labels):
        made.learn(labelled(numbers(np.zeros((1, 1))), [label]))
        assert place < 5 or _sum(made) == pytest.approx(1.0, abs=1e-5)
    scores = made.status().scores["window"]
    assert scores["accuracy"] == pytest.approx(scores["no_change_accuracy"], abs=0.01)
    assert scores["accuracy"] > 0.8
    probable = answers(made, numbers(np.zeros((1, 1))))[0]
    assert probable.max() == pytest.approx(0.9, abs=0.06)
    assert list(made.model.targets.classes)[int(probable.argmax())] == labels[-1]


def _sum(made: TorchLearner) -> float:
    return float(answers(made, numbers(np.zeros((1, 1)))).sum())


def test_the_last_number_counts_by_its_correlation_with_the_next() -> None:
    """Without correlation the last number would be answered, which is worse than the mean."""
    random = np.random.default_rng(3)
    noise = random.normal(size=600)
    walk = noise.cumsum()
    for values, followed in ((walk, True), (noise, False)):
        made = learner(Task.REGRESSION, kind="last")
        for value in values.tolist():
            made.learn(labelled(numbers(np.zeros((1, 1))), [value]))
        answered = float(answers(made, numbers(np.zeros((1, 1))))[0])
        reference = values[-1] if followed else values.mean()
        assert answered == pytest.approx(reference, abs=0.3 * values.std()), followed


def test_the_prior_is_the_average() -> None:
    """The floor beneath all experts would not be one."""
    made = learner(Task.REGRESSION, kind="prior")
    made.learn(labelled(numbers(np.zeros((4, 1))), [1.0, 2.0, 3.0, 6.0]))
    assert float(answers(made, numbers(np.zeros((1, 1))))[0]) == pytest.approx(3.0)
    shares = learner(Task.MULTICLASS, kind="prior")
    shares.learn(labelled(numbers(np.zeros((40, 1))), [*["a"] * 30, *["b"] * 10]))
    np.testing.assert_allclose(answers(shares, numbers(np.zeros((1, 1))))[0], [0.744, 0.256], atol=0.01)
