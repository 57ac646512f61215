"""Two experts that answer together until it is clear which of them stays: :class:`Duel`, a succession's arithmetic.

Their answers are mixed by shares, as those of all experts are: so a newcomer is heard as soon as it is right, however
little it has learned, and one that is of no use costs next to nothing. Shares begin almost wholly with the elder. Which
of the two stays is decided on the host, by losses that may have come from the device a few microbatches later.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.examples import Task
from models.expert import Tensors
from models.fixed_share import dealt
from models.lagged import Lagged
from models.learner import Json
from models.mixing import create_blend

FIRST_SHARE = 0.02  # of the newcomer: it knows nothing yet
RATE = 0.1  # that losses move shares by: labels that come together say less than so many would alone
HALF_LIFE = 128.0  # rows after which a loss counts half in what an expert has been of late
LEAST = 256  # rows before anything is decided: fewer say little,
SOON = 128  # but for a newcomer after so many whose loss is
HOPELESS = 1.5  # times the elder's: it goes
BETTER = 0.8  # times the elder's loss that the newcomer's is where it stays at once: a little better may be chance
MOST = 2_000  # rows after which the one stays that is better


class Duel:
    """Answers of an elder and of a newcomer, mixed, and how right both have been.

    Parameters
    ----------
    task
        What is predicted.
    loss
        As in :class:`models.learner.LearnerOptions`.
    device
        Where to.

    Attributes
    ----------
    blend
        How answers are mixed.
    shares
        Logarithms of the two's shares, float32, shape (1, 2).
    rows
        How many are in the losses.
    """

    def __init__(self, task: Task, loss: str, device: torch.device) -> None:
        self.blend = create_blend(task, loss, device)
        self.shares = torch.tensor([[1 - FIRST_SHARE, FIRST_SHARE]], device=device).log()
        self.rows = 0
        self._losses = [0.0, 0.0]
        self._underway = Lagged(device)

    def clean(self, each: Sequence[Tensor], prior: Tensor) -> Tensor:
        """Return the answers of the two as one tensor, shape (rows, 2, columns)."""
        return self.blend.clean(each, prior)

    def answer(self, cleaned: Tensor) -> Tensor:
        """Return the mixed answer, float32, shape (rows, columns)."""
        return self.blend.by_shares(cleaned, self.shares).squeeze(1)

    def learn(self, cleaned: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Learn from what the two answered before they learned the rows; see :meth:`models.mixing.Mixing.learn`."""
        blend, rows = self.blend, len(targets)
        targets = blend.bounded(targets)
        blend.settle(blend.by_shares(cleaned, self.shares), targets, weights)
        losses = weights @ blend.losses(cleaned, targets)
        self.shares = dealt(self.shares - RATE * losses, rows)
        counted = torch.full((1,), float(rows), dtype=torch.float64, device=losses.device)
        for elder, newcomer, count in self._underway.exchange(torch.cat([(losses / weights.sum()).double(), counted])):
            self._take_in([float(elder), float(newcomer)], int(count))

    def _take_in(self, losses: Sequence[float], rows: int) -> None:
        """Take in the mean losses of some rows."""
        share = 1 - 0.5 ** (rows / HALF_LIFE) if self.rows else 1.0
        self._losses = [old + share * (new - old) for old, new in zip(self._losses, losses, strict=True)]
        self.rows += rows

    @property
    def newcomer_is_better(self) -> bool:
        """Return whether the newcomer has been the better one of late."""
        return self._losses[1] < self._losses[0]

    def newcomer_stays(self) -> bool | None:
        """Return which of the two is to stay; None while that is open."""
        elder, newcomer = self._losses
        if self.rows < LEAST:
            return False if self.rows >= SOON and newcomer > HOPELESS * elder else None
        if newcomer >= elder or self.rows >= MOST:
            return newcomer < elder
        return True if newcomer < BETTER * elder else None

    def rescale(self, factor: float) -> None:
        """Go on in other units of the target."""
        self.blend.rescale(factor)

    def published(self) -> dict[str, Tensor]:
        """Return what :meth:`answer` reads."""
        return {"shares": self.shares}

    def attach(self, tensors: Tensors) -> None:
        """Answer from published tensors."""
        self.shares = tensors["shares"]

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return JSON and tensors that it is; waits for what is underway."""
        lengths, underway = self._underway.state()
        meta = {"rows": self.rows, "losses": self._losses, "underway": lengths}
        return meta, {"shares": self.shares, "underway": torch.from_numpy(underway), **self.blend.state()}

    def restore(self, meta: Json, tensors: Tensors) -> None:
        """Become what :meth:`state` was taken from."""
        self.attach(tensors)
        self.blend.restore(tensors)
        self.rows, self._losses = meta["rows"], list(meta["losses"])
        self._underway.restore(meta["underway"], tensors["underway"].cpu().numpy())
