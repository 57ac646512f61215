"""Encoder, expert and targets together: features → answers. The trainer's and the serving process's common core."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.devices import to_device
from models.examples import Features, Task
from models.expert import Encoded, Expert, Space
from models.features import FeatureEncoder, Prepared
from models.keyed_hashes import key_hashes
from models.learner import Predictions, Trial
from models.targets import ClassTargets, NumberTargets, Targets


@dataclass
class TorchModel:
    """All that a prediction needs.

    Attributes
    ----------
    task
        What is predicted.
    encoder, targets
        On the host.
    expert
        Has the parameters.
    device
        Of the parameters.
    ready
        Whether the expert has learned anything yet.
    key
        Name of the feature whose values have models of their own; empty for none.
    """

    task: Task
    encoder: FeatureEncoder
    targets: Targets
    expert: Expert
    device: torch.device
    ready: bool = False
    key: str = ""

    def space(self) -> Space:
        """Return what there is to see and to answer."""
        encoder = self.encoder
        raws = encoder.raw_capacity if self.expert.uses_raw else 0
        return Space(encoder.layout, encoder.capacity, raws, encoder.layout.raws, len(self.targets.classes))

    def encode(self, prepared: Prepared) -> Encoded:
        """Return rows as the expert sees them, on the device."""
        encoder, expert = self.encoder, self.expert
        dense = to_device(encoder.encode(prepared, self.targets.scale()), self.device)
        raw = to_device(encoder.encode_raw(prepared), self.device) if expert.uses_raw else dense[:, :0]
        sparse = {kinds: encoder.sparse(prepared, kinds) for kinds in expert.table_kinds} if prepared.bags else {}
        return Encoded(dense, raw, sparse, keys=key_hashes(prepared, self.key) if self.key else None)

    def prior(self) -> Tensor:
        """Return what is answered without looking at a row: see :class:`models.expert.Expert`."""
        if isinstance(self.targets, ClassTargets):
            return to_device(self.targets.offsets(), self.device)
        return torch.zeros(1, device=self.device)

    def outputs(self, rows: Encoded, prior: Tensor, chunk: int = 0) -> Tensor:
        """Return what the expert answers, finite or not.

        Parameters
        ----------
        rows, prior
            What :meth:`encode` and :meth:`prior` returned.
        chunk
            Rows to be computed at once; 0 for all.
        """
        if not 0 < chunk < len(rows):
            return self.expert.answers(rows, prior)
        starts = range(0, len(rows), chunk)
        return torch.cat([self.expert.answers(rows.slice(start, start + chunk), prior) for start in starts])

    def answers_of(self, outputs: Tensor, prior: Tensor) -> Tensor:
        """Return probabilities, float32, shape (rows, classes), or values, float64, shape (rows,).

        What is not finite says nothing: the answer is then what it would be without having learned anything.
        """
        if isinstance(self.targets, NumberTargets):
            mean, deviation = self.targets.scale()
            values = outputs[:, 0].nan_to_num(0.0, 0.0, 0.0).double()
            return values.mul_(deviation).add_(mean).clamp_(*self.targets.bounds())
        probabilities = outputs.exp()
        # A sum that is not finite tells that one of them is not, and costs less than looking at each.
        sound = probabilities.sum(1, keepdim=True) < math.inf
        return torch.where(sound, probabilities, prior.exp())

    def uninformed(self, rows: int) -> Tensor:
        """Return what is answered before anything was learned."""
        if self.task is Task.REGRESSION:
            return torch.zeros(rows, dtype=torch.float64, device=self.device)
        return torch.zeros((rows, 0), device=self.device)

    @torch.no_grad()
    def predict(self, features: Features) -> Predictions:
        """Return predictions on the host."""
        if not self.ready:
            return self._on_host(self.uninformed(len(features)))
        rows, prior = self.encode(self.encoder.prepare(features)), self.prior()
        return self._on_host(self.answers_of(self.outputs(rows, prior), prior))

    @torch.no_grad()
    def try_out(self, features: Features, held: Sequence[Tensor], chunk: int = 0) -> Trial:
        """Return predictions on the host, and whether most rows' outputs and all that is in `held` are finite."""
        if not self.ready:
            return Trial(self._on_host(self.uninformed(len(features))), finite=True)
        rows, prior = self.encode(self.encoder.prepare(features)), self.prior()
        outputs = self.outputs(rows, prior, chunk)
        lost = (~torch.isfinite(outputs)).any(1).sum()
        # In float64 a sum of float32 is finite if all numbers are, and only then; to look at each takes eight times as
        # long.
        sums = torch.stack([lost.double(), *(tensor.sum(dtype=torch.float64) for tensor in held)])
        finite = torch.isfinite(sums).all() & (lost * 2 <= len(outputs))
        return Trial(self._on_host(self.answers_of(outputs, prior)), bool(finite))

    def _on_host(self, known: Tensor) -> Predictions:
        """Return answers as predictions."""
        answers = known.cpu().numpy()
        if self.task is Task.REGRESSION:
            return Predictions(values=answers)
        return Predictions(tuple(self.targets.classes), probabilities=answers)
