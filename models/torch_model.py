"""Encoder, network and targets together: features → answers. The trainer's and the serving process's common core."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.devices import to_device
from models.examples import Features, Task
from models.features import FeatureEncoder, Prepared, Sparse
from models.learner import Predictions, Trial
from models.network import Entries, Inputs, Network
from models.targets import ClassTargets, NumberTargets, Targets


@dataclass
class TorchModel:
    """All that a prediction needs.

    Attributes
    ----------
    task
        What is predicted.
    single
        Whether two classes share one logit.
    encoder, targets
        On the host.
    network
        Bound to its parameters.
    table
        Rows of parameters for hashed strings, shape (rows, width); None where there is none.
    device
        Of the parameters.
    ready
        Whether the network has any parameters yet.
    """

    task: Task
    single: bool
    encoder: FeatureEncoder
    targets: Targets
    network: Network
    table: Tensor | None
    device: torch.device
    ready: bool = False

    def dense(self, prepared: Prepared) -> Tensor:
        """Return the dense input, float32, shape (rows, inputs), on the device."""
        return to_device(self.encoder.encode(prepared, self.targets.scale()), self.device)

    def sparse(self, prepared: Prepared) -> Sparse | None:
        """Return the hashed strings that the network's table has rows for; None if it has no table."""
        return None if self.table is None else self.encoder.sparse(prepared, self.network.table_kinds)

    def answers(self, dense: Tensor, sparse: Sparse | None, chunk: int = 0) -> Tensor:
        """Return probabilities, float32, shape (rows, classes), or values, float64, shape (rows,).

        Parameters
        ----------
        dense, sparse
            What :meth:`dense` and :meth:`sparse` returned.
        chunk
            Rows to be computed at once; 0 for all.
        """
        # What is not finite says nothing; the answer is then what it would be without having learned anything.
        return self.answers_of(self.outputs(dense, sparse, chunk).nan_to_num(0.0, 0.0, 0.0))

    def outputs(self, dense: Tensor, sparse: Sparse | None, chunk: int = 0) -> Tensor:
        """Return what the network makes of its input, float32, shape (rows, outputs), finite or not."""
        if 0 < chunk < len(dense):
            parts = [slice(start, start + chunk) for start in range(0, len(dense), chunk)]
            return torch.cat([self.outputs(dense[p], sparse and sparse.slice(p.start, p.stop)) for p in parts])
        inputs = Inputs(dense)
        if self.table is not None and sparse is not None and len(sparse.places):
            entries = Entries.of(sparse, len(self.table), self.device)
            inputs = Inputs(dense, entries, self.table.index_select(0, entries.places))
        return self.network.outputs(inputs)

    def uninformed(self, rows: int) -> Tensor:
        """Return what is answered before anything was learned."""
        if self.task is Task.REGRESSION:
            return torch.zeros(rows, dtype=torch.float64, device=self.device)
        return torch.zeros((rows, 0), device=self.device)

    def answers_of(self, outputs: Tensor) -> Tensor:
        """Return the answers that the network's outputs mean."""
        if isinstance(self.targets, NumberTargets):
            mean, deviation = self.targets.scale()
            return outputs[:, 0].double().mul_(deviation).add_(mean).clamp_(*self.targets.bounds())
        if not self.single:
            return self.logits(outputs[:, : len(self.targets.classes)]).softmax(1)
        if len(self.targets.classes) < 2:
            return torch.ones((len(outputs), len(self.targets.classes)), device=self.device)
        second = self.logits(outputs).sigmoid()
        return torch.cat([1 - second, second], 1)

    def logits(self, outputs: Tensor) -> Tensor:
        """Return outputs for classes with what they are relative to."""
        return outputs + self.offsets()

    def offsets(self) -> Tensor:
        """Return what is added to outputs for classes, shape (outputs,)."""
        if not isinstance(self.targets, ClassTargets):
            return torch.zeros(1, device=self.device)
        offsets = self.targets.offsets()
        if self.single:
            offsets = offsets[1:] - offsets[:1] if len(offsets) > 1 else np.zeros(1, np.float32)
        return to_device(offsets, self.device)

    @torch.no_grad()
    def predict(self, features: Features) -> Predictions:
        """Return predictions on the host."""
        prepared = self.encoder.prepare(features)
        known = (
            self.answers(self.dense(prepared), self.sparse(prepared)) if self.ready else self.uninformed(len(features))
        )
        return self._on_host(known)

    @torch.no_grad()
    def try_out(self, features: Features, held: Sequence[Tensor], chunk: int = 0) -> Trial:
        """Return predictions on the host, and whether most rows' outputs and all that is in `held` are finite."""
        if not self.ready:
            return Trial(self._on_host(self.uninformed(len(features))), finite=True)
        prepared = self.encoder.prepare(features)
        outputs = self.outputs(self.dense(prepared), self.sparse(prepared), chunk)
        lost = (~torch.isfinite(outputs)).any(1).sum()
        finite = torch.stack([lost * 2 <= len(outputs), *(torch.isfinite(tensor).all() for tensor in held)]).all()
        return Trial(self._on_host(self.answers_of(outputs.nan_to_num(0.0, 0.0, 0.0))), bool(finite))

    def _on_host(self, known: Tensor) -> Predictions:
        """Return answers as predictions."""
        answers = known.cpu().numpy()
        if self.task is Task.REGRESSION:
            return Predictions(values=answers)
        return Predictions(tuple(self.targets.classes), probabilities=answers)


def outputs_needed(task: Task, single: bool, classes: int) -> int:
    """Return how many outputs a network needs."""
    return 1 if single or task is Task.REGRESSION else max(classes, 2)
