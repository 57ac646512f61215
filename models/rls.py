"""Recursive least squares as an expert: ridge regression on random Fourier features, in closed form.

Nothing is stepped towards, so there is no rate to be set: sums over rows are kept, and solved now and then
(``rls_solutions.py``). Classes are regressed on as numbers that are 1 for the class that it is and 0 for the others.
Several solutions, which differ in how fast they forget and in their ridge, and the prior are mixed and calibrated
as experts are (``mixing.py``).

What a row costs is bounded at every size of microbatches: rows wait until there is a block of them, and no block has
more than two solutions solved.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from models.examples import Task
from models.expert import Encoded, Space, Tensors
from models.fourier import FourierFeatures
from models.learner import Json
from models.mixing_classes import LEAST as UNKNOWN
from models.moments import OUTLIER
from models.names import under
from models.rls_solutions import REGRESSIONS, Solutions, due
from models.self_mixed import SelfMixed
from models.touched import Ranges

BLOCK = 64  # rows of a block, for each of which one or two solutions are solved
FIRST_BLOCK = 16  # rows of a block until there were BLOCK of them: there is all to be learned
ADDED = 128  # rows that are added to the sums at once: within them, all count alike
EARLY = 2_048  # rows up to which each block has all solutions solved;
ROUND, LONG_ROUND = 4, 8  # from then on, blocks in which those that hardly forget are solved once; the latter
STEADY = 4_096  # after so many rows, when a solution hardly moves in a round
LEAST = 0.03  # probability below which a regression on ones and zeros says nothing


class Waiting(NamedTuple):
    """Rows of an unfinished block: their features, targets, weights, and what each solution answered before them."""

    features: Tensor
    targets: Tensor
    weights: Tensor
    answers: Tensor

    def joined(self, other: "Waiting") -> "Waiting":
        """Return these rows and then those of another."""
        return Waiting(*(torch.cat(pair) for pair in zip(self, other, strict=True)))

    def slice(self, start: int, stop: int | None = None) -> "Waiting":
        """Return rows `start` to `stop`."""
        return Waiting(*(tensor[start:stop] for tensor in self))


class RecursiveLeastSquares(SelfMixed):
    """See :class:`models.expert.Expert`.

    Parameters
    ----------
    task
        What is predicted.
    loss
        As in :class:`models.learner.LearnerOptions`: what its solutions are mixed for.
    device
        Where to compute.
    seed
        Of the random features.
    """

    def __init__(self, task: Task, loss: str, device: torch.device, seed: int) -> None:
        super().__init__(len(REGRESSIONS), task, loss, device)
        self._outputs = 1 if self._numeric else 0
        self._fourier = FourierFeatures(seed, device)
        self._solutions = Solutions(device)
        self._waiting: Waiting | None = None
        self._rows = self._turn = 0
        self._drawn = True
        self._seen: tuple[Tensor, Tensor] | None = None

    def grow(self, space: Space) -> None:
        """See :class:`models.expert.Expert`."""
        self._outputs = space.outputs
        drawn = self._fourier.grow(space.layout, space.inputs)
        self._solutions.grow(self._fourier.columns, self._outputs)
        if self._waiting is not None:
            features, targets, weights, answers = self._waiting
            more, others = self._fourier.columns - features.shape[1], self._outputs - answers.shape[2]
            answers = pad(answers, (0, others), value=UNKNOWN)
            self._waiting = Waiting(pad(features, (0, more)), targets, weights, answers)
        self._forget(drawn)
        self._drawn = True

    def renew(self, inputs: Sequence[int], raws: Sequence[int]) -> None:  # noqa: ARG002 - it sees no raw columns
        """See :class:`models.expert.Expert`."""
        self._forget(self._fourier.renew(inputs))
        self._drawn = True

    def _forget(self, places: Sequence[int]) -> None:
        """Forget what was learned for some features."""
        self._seen = None
        if places:
            columns = torch.tensor(places, device=self._device)
            self._solutions.clear(columns)
            if self._waiting is not None:
                self._waiting.features.index_fill_(1, columns, 0.0)

    def rescale(self, factor: float, shift: float) -> None:
        """See :class:`models.expert.Expert`."""
        self._solutions.rescale(factor, shift)
        self._mixing.rescale(factor)
        if self._waiting is not None:
            features, targets, weights, answers = self._waiting
            self._waiting = Waiting(features, targets * factor + shift, weights, answers * factor + shift)

    def _features(self, dense: Tensor) -> Tensor:
        """Return the features of rows; of the latest, they are kept, for rows are mostly answered and then learned."""
        if self._seen is None or self._seen[0] is not dense:
            self._seen = dense, self._fourier.of(dense)
        return self._seen[1]

    def _ways(self, dense: Tensor, prior: Tensor) -> list[Tensor]:
        """See :class:`models.self_mixed.SelfMixed`: one for each solution."""
        found = self._solutions.answers(self._features(dense))
        if self._numeric:
            return list(found.unbind(1))
        found = torch.lerp(prior.exp(), found, self._solutions.known.view(-1, 1)).clamp_(LEAST, 1.0)
        return list((found / found.sum(2, keepdim=True)).log_().unbind(1))

    def learn(self, rows: Encoded, targets: Tensor, weights: Tensor, prior: Tensor, answered: Tensor | None) -> None:
        """See :class:`models.expert.Expert`."""
        before = self._before(rows, prior, answered)
        if self._numeric:
            targets = targets.clamp(-OUTLIER, OUTLIER)
        ready = Waiting(self._features(rows.dense), targets, weights, before)
        if self._waiting is not None:
            ready = self._waiting.joined(ready)
        block = BLOCK if self._rows >= BLOCK else FIRST_BLOCK
        count = len(ready.targets) // block * block
        if count:
            self._learn(ready.slice(0, count) if count < len(ready.targets) else ready)
        # A copy: the rows that were learned need not be kept.
        rest = ready.slice(count)
        self._waiting = Waiting(*(tensor.clone() for tensor in rest)) if len(rest.targets) else None

    def _learn(self, rows: Waiting) -> None:
        """Learn from whole blocks of rows."""
        count = len(rows.targets)
        self._mixing.learn(rows.answers, rows.targets, rows.weights)
        wanted = rows.targets.unsqueeze(1) if self._numeric else one_hot(rows.targets, self._outputs).float()
        for start in range(0, count, ADDED):
            part = slice(start, start + ADDED)
            self._solutions.add(rows.features[part], wanted[part], rows.weights[part])
        self._rows += count
        turns = range(self._turn, self._turn + max(count // BLOCK, 1))
        self._turn = turns.stop % LONG_ROUND
        if self._rows <= EARLY:
            self._solutions.solve(range(len(REGRESSIONS)))
            return
        length = ROUND if self._rows <= STEADY else LONG_ROUND
        self._solutions.solve(sorted(set().union(*(due(turn, length) for turn in turns[:length]))))

    def published(self) -> dict[str, Tensor]:
        """See :class:`models.expert.Expert`."""
        return {
            **{f"fourier/{name}": tensor for name, tensor in self._fourier.published().items()},
            **{f"solutions/{name}": tensor for name, tensor in self._solutions.published().items()},
            **self._mixing_published(),
        }

    def changed(self) -> Mapping[str, Ranges]:
        """See :class:`models.expert.Expert`: what features look at seldom does."""
        drawn, self._drawn = self._drawn, False
        return {} if drawn else {f"fourier/{name}": () for name in self._fourier.published()}

    def attach(self, description: Json, tensors: Tensors) -> None:  # noqa: ARG002 - shapes say it all
        """See :class:`models.expert.Expert`."""
        self._fourier.attach(under("fourier/", tensors))
        self._solutions.attach(under("solutions/", tensors))
        self._mixing.attach(under("mixing/", tensors))

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :class:`models.expert.Expert`."""
        fourier, drawn = self._fourier.state()
        waiting = {} if self._waiting is None else self._waiting._asdict()
        parts = {
            "fourier": drawn,
            "solutions": self._solutions.state(),
            "waiting": waiting,
        }
        meta = {"fourier": fourier, "mixing": self._mixing.rows, "rows": self._rows, "turn": self._turn}
        tensors = {f"{part}/{name}": tensor for part, found in parts.items() for name, tensor in found.items()}
        return meta, tensors | self._mixing_state()

    def restore(self, meta: Json, tensors: Tensors, space: Space) -> None:
        """See :class:`models.expert.Expert`."""
        self._outputs = space.outputs
        self._fourier.restore(meta["fourier"], under("fourier/", tensors))
        self._solutions.restore(under("solutions/", tensors))
        self._restore_mixing(meta["mixing"], tensors)
        waiting = under("waiting/", tensors)
        self._waiting = Waiting(**waiting) if waiting else None
        self._rows, self._turn, self._drawn, self._seen = meta["rows"], meta["turn"], True, None

    def held(self) -> Sequence[Tensor]:
        """See :class:`models.expert.Expert`."""
        return [*self._solutions.state().values(), *self._mixing.held()]
