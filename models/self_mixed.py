"""What experts share that answer in several ways of their own, and mix those: recursive least squares, neighbours.

Their answers are mixed by the arithmetic that mixes experts (``mixing.py``), which calibrates them too.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from models.examples import Task
from models.expert import Defaults, Encoded, Tensors
from models.latest import Latest
from models.mixing import Mixing
from models.mixing_classes import widened
from models.names import under


class SelfMixed(Defaults, ABC):
    """An expert that mixes several answers of its own. See :class:`models.expert.Expert`.

    Parameters
    ----------
    ways
        In how many it answers; for classes, the prior is one more.
    task
        What is predicted.
    loss
        As in :class:`models.learner.LearnerOptions`.
    device
        Where to compute.
    """

    def __init__(self, ways: int, task: Task, loss: str, device: torch.device) -> None:
        self._device = device
        self._numeric = task is Task.REGRESSION
        self._mixing = Mixing(ways + (not self._numeric), task, loss, device)
        self._prior: Tensor | None = None
        self._latest = Latest[Tensor]()

    @abstractmethod
    def _ways(self, dense: Tensor, prior: Tensor) -> list[Tensor]:
        """Return the answers to be mixed, each of shape (rows, outputs)."""

    def answers(self, rows: Encoded, prior: Tensor) -> Tensor:
        """See :class:`models.expert.Expert`."""
        each = self._each(rows.dense, prior)
        mixed = self._mixing.answer(each)
        self._latest.keep(mixed, each)
        return mixed

    def _each(self, dense: Tensor, prior: Tensor) -> Tensor:
        """Return what is mixed, shape (rows, answers, outputs)."""
        ways = self._ways(dense, prior)
        if not self._numeric:
            ways.append(prior.expand(len(dense), -1))
        return self._mixing.blend.clean(ways, prior)

    def _before(self, rows: Encoded, prior: Tensor, answered: Tensor | None) -> Tensor:
        """Return what there was to be mixed before any of the rows was learned, shape (rows, answers, outputs).

        Takes what :meth:`learn` does; to be called once, before anything is learned.
        """
        known, self._prior = self._prior, prior
        latest = self._latest.take(answered)
        return self._each(rows.dense, widened(known, prior)) if latest is None else latest

    def _mixing_published(self) -> dict[str, Tensor]:
        """Return what of :meth:`published` is the mixing's."""
        return {f"mixing/{name}": tensor for name, tensor in self._mixing.published().items()}

    def _mixing_state(self) -> dict[str, Tensor]:
        """Return what of :meth:`state` is the mixing's; ``rows`` of it is to be in the JSON."""
        prior = {} if self._prior is None else {"mixing/prior": self._prior}
        return prior | {f"mixing/{name}": tensor for name, tensor in self._mixing.state().items()}

    def _restore_mixing(self, rows: Any, tensors: Tensors) -> None:
        """Become what :meth:`_mixing_state` was taken from."""
        own = under("mixing/", tensors)
        self._prior = own.pop("prior", None)
        self._latest.forget()
        self._mixing.restore(own, rows)
