"""Mixes the answers of several experts into one, and learns how: :class:`Mixing`. The mixture's arithmetic.

Several *opinions* are formed of the experts' answers, each by a rule of its own: by shares, or by weights. They differ
in how fast they learn and forget. The answer is the opinions' own mean, by how right they have been.

*Shares* are fixed-share Hedge (Herbster and Warmuth 1998): each expert's share falls with its losses, exponentially,
and a little of every share is dealt out anew, so that an expert whose time has come is soon back. *Weights* are
stacking: for classes logistic mixing (Mattern 2012), softmax(Σ weight · log probability), for numbers Σ weight · value.
They are learned by Newton steps with forgetting, as in an extended Kalman filter, which needs no learning rate: on
small streams it is far ahead of the best fixed rate of Adam, and nowhere behind (docs/adr/0017). Opinions are mixed
as experts are by shares.

All of it learns from answers that were made before any row of the microbatch was learned, for these are what it will
be used on: with the label delay of the microbatch.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from models.examples import Task
from models.expert import Tensors
from models.fixed_share import dealt
from models.latest import Latest
from models.mixing_blend import Blend
from models.mixing_classes import ClassBlend
from models.mixing_numbers import NumberBlend


class Memory(NamedTuple):
    """How the weights of one opinion are learned.

    Attributes
    ----------
    half_life
        Rows after which what was learned counts half.
    inertia
        Rows, roughly, that equal weights, which it begins with, count as much as.
    """

    half_life: float
    inertia: float


class Formed(NamedTuple):
    """What is made of experts' answers, each of shape (rows, some, columns).

    Attributes
    ----------
    by_weights, opinions
        What the weighted opinions answer, and what all of them do.
    mixed
        The one answer.
    """

    by_weights: Tensor
    opinions: Tensor
    mixed: Tensor


MEMORIES = (Memory(2_000, 10), Memory(10_000, 30), Memory(20_000, 300))
"""The first is ahead on short or drifting streams, the last on long ones on which experts hardly differ."""

REPORTED = 1_000.0  # rows after which a loss counts half in what is reported
QUICK = 0  # of these, by which it is judged who would be missed:
MISSED = 5e-4  # mean loss,
SHARED = 0.05  # or share of the answer
STEP = 16  # rows a step of the weights,
LATER = 128  # and as many once
EARLY = 1_024  # so many rows were seen: then it makes no difference any more
FARTHEST = 0.3  # that a weight may move in one step: where experts are suddenly wrong, Newton's step is far too long


def create_blend(task: Task, loss: str, device: torch.device) -> Blend:
    """Return how answers are mixed for a task; `loss` as in :class:`models.learner.LearnerOptions`."""
    return NumberBlend(loss, device) if task is Task.REGRESSION else ClassBlend()


class Mixing:
    """Shares and weights of experts, and of the opinions formed by them.

    Parameters
    ----------
    experts
        How many.
    task
        What is predicted.
    loss
        As in :class:`models.learner.LearnerOptions`.
    device
        Where to.

    Attributes
    ----------
    shares
        Logarithms of the experts' shares, float32, shape (sets, experts).
    weights
        float32, shape (weighted opinions, experts).
    choice
        Logarithms of the opinions' shares, float32, shape (1, opinions): by shares first, then by weights.
    curvature
        Of the loss by the weights, float64, shape (weighted opinions, experts, experts).
    losses
        Running sums of the losses of experts and of the answers, and last the rows in them; float32, shape
        (experts + 2,).
    rows
        How many were learned, up to :data:`EARLY`.
    """

    def __init__(self, experts: int, task: Task, loss: str, device: torch.device) -> None:
        self._made_with = task, loss, device
        self.blend = create_blend(task, loss, device)
        memories = torch.tensor(MEMORIES, dtype=torch.float64, device=device)
        self._half_lives = memories[:, 0].view(-1, 1, 1)
        self._inertia = memories[:, 1].view(-1, 1, 1) * torch.eye(experts, dtype=torch.float64, device=device)
        self._rates = torch.tensor(self.blend.hedge_rates, device=device).unsqueeze(1)
        opinions = len(self._rates) + len(MEMORIES)
        self.shares = torch.full((len(self._rates), experts), 1 / experts, device=device).log_()
        self.weights = torch.full((len(MEMORIES), experts), 1 / experts, device=device)
        self.choice = torch.full((1, opinions), 1 / opinions, device=device).log_()
        self.curvature = self._inertia.clone()
        self.losses = torch.zeros(experts + 2, device=device)
        self.rows = 0
        self._latest = Latest[Formed]()
        self._passing: tuple[int, Tensor] | None = None

    def answer(self, answers: Tensor) -> Tensor:
        """Return the mixed answer, float32, shape (rows, columns).

        Parameters
        ----------
        answers
            The experts', as ``blend.clean`` returned them, shape (rows, experts, columns).
        """
        formed = self._formed(answers)
        self._latest.keep(answers, formed)
        return formed.mixed.squeeze(1)

    def _formed(self, answers: Tensor) -> Formed:
        """Return what is made of the experts' answers."""
        by_shares, by_weights = self.blend.by_shares(answers, self.shares), self.blend.by_weights(answers, self.weights)
        opinions = torch.cat([by_shares, by_weights], 1)
        return Formed(by_weights, opinions, self.blend.by_shares(opinions, self.choice))

    def learn(self, answers: Tensor, targets: Tensor, relative: Tensor, step: int = 1) -> None:
        """Learn from what experts answered before they learned the rows.

        Parameters
        ----------
        answers
            As for :meth:`answer`.
        targets, relative
            See :meth:`models.expert.Expert.learn`; `relative` is what is called ``weights`` there.
        step
            Times the rows that a step of the weights has otherwise.
        """
        blend, rows = self.blend, len(targets)
        targets = blend.bounded(targets)
        by_weights, opinions, mixed = self._latest.take(answers) or self._formed(answers)
        blend.settle(mixed, targets, relative)
        each = blend.losses(torch.cat([answers, mixed, opinions], 1), targets)
        losses, experts = relative @ each, answers.shape[1]
        self.shares = dealt(self.shares - self._rates * losses[:experts], rows)
        self.choice = dealt(self.choice - blend.choice_rate * losses[experts + 1 :], rows)
        self.losses.mul_(0.5 ** (rows / REPORTED)).add_(torch.cat([losses[: experts + 1], relative.sum().view(1)]))
        size = step * (STEP if self.rows < EARLY else LATER)
        if rows <= size:
            self._step(answers, targets, relative, by_weights)
        else:
            for start in range(0, rows, size):
                part = slice(start, start + size)
                self._step(answers[part], targets[part], relative[part])
        self.rows = min(self.rows + rows, EARLY)

    def _step(self, answers: Tensor, targets: Tensor, relative: Tensor, stacked: Tensor | None = None) -> None:
        """Take one Newton step of the weights; `stacked` is what they make of the answers, where that is known."""
        if stacked is None:
            stacked = self.blend.by_weights(answers, self.weights)
        gradient, curvature = self.blend.derivatives(answers, stacked, targets, relative)
        kept = self._kept(targets.shape[0])
        # What is forgotten is replaced by what it was in the beginning, so it can always be solved.
        self.curvature = torch.lerp(self._inertia, self.curvature, kept) + curvature
        moved, _ = torch.linalg.solve_ex(self.curvature, gradient.double().unsqueeze(2))
        self.weights = self.weights - moved.squeeze(2).clamp_(-FARTHEST, FARTHEST).float()

    def _kept(self, rows: int) -> Tensor:
        """Return what is kept of the curvature while so many rows pass, float64, shape (weighted opinions, 1, 1)."""
        if self._passing is None or self._passing[0] != rows:  # mostly, microbatches are of one size
            self._passing = rows, torch.pow(0.5, rows / self._half_lives)
        return self._passing[1]

    def rescale(self, factor: float) -> None:
        """Go on in other units of the target: a value that was v is now `factor` · v."""
        learned = self.curvature - self._inertia
        self.curvature = self._inertia + learned * self.blend.rescale(factor)

    def among(self, places: Sequence[int]) -> "Mixing":
        """Return a mixing of some of the experts, which goes on by itself.

        It is what this one would be if the others had not counted: their shares are divided, and their weights are 0,
        of which the remaining ones make the best that the curvature tells of.
        """
        made = Mixing(len(places), *self._made_with)
        device, experts = self.weights.device, self.weights.shape[1]
        kept = torch.tensor(places, device=device)
        gone = torch.tensor(
            [place for place in range(experts) if place not in places], dtype=torch.int64, device=device
        )
        rows = self.curvature.index_select(1, kept)
        made.curvature = rows.index_select(2, kept)
        missing = rows.index_select(2, gone) @ self.weights.index_select(1, gone).double().unsqueeze(2)
        moved, _ = torch.linalg.solve_ex(made.curvature, missing)
        made.weights = self.weights.index_select(1, kept) + moved.squeeze(2).clamp_(-1.0, 1.0).float()
        made.shares = self.shares.index_select(1, kept).log_softmax(1)
        made.choice, made.rows = self.choice.clone(), self.rows
        made.losses = torch.cat([self.losses[:experts].index_select(0, kept), self.losses[experts:]])
        made.blend.restore({name: tensor.clone() for name, tensor in self.blend.state().items()})
        return made

    def worth(self) -> Tensor:
        """Return how much of the answer each expert makes up, float32, shape (experts,); their sum is 1."""
        weights = self.weights.abs()
        parts = torch.cat([self.shares.exp(), weights / weights.sum(1, keepdim=True)])
        return (self.choice.exp() @ parts).squeeze(0)

    def standing(self) -> Tensor:
        """Return what tells who would be missed, and the level of the error: see :class:`mixture_sleep.Standing`.

        Both are in units of what is hardly missed: a mean loss of MISSED, and a share of SHARED. What the weights would
        lose, the answer loses as far as opinions by weights are heeded.
        """
        choice, sets = self.choice[0].exp(), self.shares.shape[0]
        unit = self.blend.in_losses(torch.ones((), device=self.weights.device)) * (
            math.log(2) / MEMORIES[QUICK].half_life / MISSED
        )
        share = (choice[:sets] @ self.shares.exp()) / SHARED
        heeded = unit * choice[sets:].sum()
        curvature, inertia = self.curvature[QUICK].flatten() * heeded, heeded * MEMORIES[QUICK].inertia
        parts = (curvature, self.weights[QUICK], share, self.level().view(1), inertia.view(1))
        return torch.cat([part.double() for part in parts])

    def running_losses(self) -> Tensor:
        """Return the recent mean loss of each expert and, last, of the mixed answer, shape (experts + 1,)."""
        return self.losses[:-1] / self.losses[-1].clamp(min=1.0)

    def level(self) -> Tensor:
        """Return how wrong the mixed answer has been lately, shape (), in units that stay the same."""
        return self.blend.level(self.running_losses()[-1])

    def published(self) -> dict[str, Tensor]:
        """Return what :meth:`answer` reads."""
        return {"shares": self.shares, "weights": self.weights, "choice": self.choice}

    def attach(self, tensors: Tensors) -> None:
        """Answer from published tensors."""
        self.shares, self.weights, self.choice = (tensors[name] for name in ("shares", "weights", "choice"))

    def state(self) -> dict[str, Tensor]:
        """Return all tensors that it is; its number of rows is beside them."""
        return {**self.published(), "curvature": self.curvature, "losses": self.losses, **self.blend.state()}

    def restore(self, tensors: Tensors, rows: int) -> None:
        """Become what :meth:`state` and :attr:`rows` were taken from."""
        self.attach(tensors)
        self.curvature, self.losses, self.rows = tensors["curvature"], tensors["losses"], rows
        self._latest.forget()
        self.blend.restore(tensors)

    def held(self) -> Sequence[Tensor]:
        """Return the tensors that are finite as long as it is sound."""
        return list(self.state().values())
