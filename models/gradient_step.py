"""One gradient step: rows → gradients, in chunks if need be → clipped → parameters. Nothing waits for the device."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from models.features import Sparse
from models.guard import Guard
from models.losses import Loss
from models.network import Entries, Inputs, Network
from models.optimizers import Optimizer
from models.parameters import Parameters

SMALLEST = 1e-30  # norm of a row's gradient that counts as more than nothing


@dataclass(frozen=True, slots=True)
class Rows:
    """Encoded rows to learn from.

    Attributes
    ----------
    dense
        float32, shape (rows, inputs).
    targets
        What the loss takes: indices, int64, or standardised numbers, float32; shape (rows,).
    weights
        float32, shape (rows,): what each row's gradient is multiplied by, the mean over the rows included.
    sparse
        Their hashed strings, if the network has a table.
    share
        What each row counts in the mean over the rows of a step; it is part of the weights.
    """

    dense: Tensor
    targets: Tensor
    weights: Tensor
    sparse: Sparse | None
    share: float = 1.0

    def slice(self, start: int, stop: int) -> "Rows":
        """Return rows `start` to `stop`."""
        part = slice(start, stop)
        sparse = self.sparse.slice(start, stop) if self.sparse else None
        return Rows(self.dense[part], self.targets[part], self.weights[part], sparse, self.share)

    def chunks(self, size: int) -> Iterator["Rows"]:
        """Yield these rows in pieces of at most `size`; 0 for one piece."""
        if not 0 < size < self.targets.shape[0]:
            yield self
            return
        for start in range(0, len(self.targets), size):
            yield self.slice(start, start + size)


@dataclass(frozen=True, slots=True)
class _Touched:
    """What of the table a step's rows name: the entries, and a block of shape (1 + memories, places, copies, width)."""

    entries: Entries | None
    block: Tensor | None

    @property
    def now(self) -> Tensor | None:
        """The parameters, shape (places, copies, width)."""
        return None if self.block is None else self.block[0]


@dataclass(frozen=True, slots=True)
class Step:
    """How to take gradient steps.

    Attributes
    ----------
    network, loss, optimizer
        What is learned, and how.
    table_rate
        What learning rates are multiplied by for the table.
    clip
        Bound on the gradient's norm; 0 for none.
    event_clip
        Bound on the norm of each row's gradient with respect to the outputs, its weight included; None for none.
    chunk
        Rows whose gradient is computed at once; 0 for all.
    """

    network: Network
    loss: Loss
    optimizer: Optimizer
    table_rate: float
    clip: float
    chunk: int
    event_clip: float | None = None

    def take(self, rows: Rows, offsets: Tensor, parameters: Parameters, guard: Guard, number: int) -> None:
        """Learn from `rows`.

        Parameters
        ----------
        rows
            What to learn from.
        offsets
            What the outputs are relative to, shape (outputs,) or fewer: only so many outputs are in use.
        parameters, guard
            Changed.
        number
            Of this step, from 1.
        """
        learning = parameters.learning
        table = parameters.table
        rates, learned = guard.rates[learning], parameters.gradient[learning]
        entries = None
        if table is not None and rows.sparse is not None and len(rows.sparse.places):
            entries = Entries.of(rows.sparse, table.shape[1], rows.dense.device)
        held = None if table is None or entries is None else table.index_select(1, entries.places)
        block = None if held is None else held[:, :, learning].contiguous()
        of_block = self._gradients(rows, offsets, parameters, _Touched(entries, block), number)
        norm = torch.linalg.vector_norm(learned, dim=1)
        if of_block is not None:
            norm = torch.hypot(norm, torch.linalg.vector_norm(of_block, dim=(0, 2)))
        kept = guard.kept(norm, learning)
        # On the CPU it is known at once whether there is anything to clip.
        if self.clip and not (norm.is_cpu and max(norm.tolist()) <= self.clip):
            factor = (self.clip / norm.clamp(min=self.clip)).unsqueeze(1)
            learned.mul_(factor)
            of_block = None if of_block is None else of_block.mul_(factor)
        self._move(parameters.block[:, learning], learned, rates, number, kept)
        if table is None or entries is None or held is None or block is None or of_block is None:
            return
        self._move(block, of_block, rates * self.table_rate, number, kept)
        held[:, :, learning] = block
        table.index_copy_(1, entries.places, held)

    def _move(self, block: Tensor, gradient: Tensor, rate: Tensor, number: int, kept: Tensor | None) -> None:
        """Take a step with the copies that `kept` says, or with all."""
        before = None if kept is None else block.clone()
        self.optimizer.step(block, gradient, rate, number)
        if kept is not None and before is not None:
            torch.where(kept, block, before, out=block)
            gradient.zero_()  # or what is not a number would stay where no input is yet

    def _gradients(
        self, rows: Rows, offsets: Tensor, parameters: Parameters, touched: _Touched, seed: int
    ) -> Tensor | None:
        """Write the gradient; return that of the block."""
        if not 0 < self.chunk < rows.targets.shape[0]:
            return self._gradient(Inputs(rows.dense, touched.entries, touched.now, seed), rows, offsets)
        total = torch.zeros_like(parameters.gradient)
        of_block = None if touched.now is None else torch.zeros_like(touched.now)
        for number, chunk in enumerate(rows.chunks(self.chunk)):
            inputs, inside = _chunk_inputs(chunk, touched, parameters, seed * 1_000_003 + number)
            of_chunk = self._gradient(inputs, chunk, offsets)
            total += parameters.gradient
            if of_block is not None and of_chunk is not None:
                of_block.index_add_(0, inside, of_chunk)
        parameters.gradient.copy_(total)
        return of_block

    def _gradient(self, inputs: Inputs, rows: Rows, offsets: Tensor) -> Tensor | None:
        """Write the gradient of some rows; return that of the block."""
        used, weights = offsets.shape[0], rows.weights.unsqueeze(1)

        def loss_gradient(outputs: Tensor) -> Tensor:
            spare = outputs.shape[2] - used
            gradient = self.loss.gradient((outputs[..., :used] if spare else outputs) + offsets, rows.targets)
            gradient = self._bounded(gradient.mul_(weights), rows)
            return pad(gradient, (0, spare)) if spare else gradient

        return self.network.learn(inputs, loss_gradient)

    def _bounded(self, gradient: Tensor, rows: Rows) -> Tensor:
        """Return a gradient with respect to the outputs, no row of which moves a copy by more than it may.

        A row's g becomes g · min(1, C / ‖g‖): the clipping of Abadi et al. (2016), but of the gradient with respect to
        the outputs, which costs next to nothing. That of the parameters is this one times what the network makes of the
        inputs, which are bounded themselves.
        """
        if self.event_clip is None:
            return gradient
        norms = torch.linalg.vector_norm(gradient, dim=2, keepdim=True)
        return gradient.mul_((self.event_clip * rows.share / norms.clamp_(min=SMALLEST)).clamp_(max=1.0))


def _chunk_inputs(chunk: Rows, touched: _Touched, parameters: Parameters, seed: int) -> tuple[Inputs, Tensor]:
    """Return the inputs of a chunk, and where its places are among those of the step."""
    table, sparse = parameters.table, chunk.sparse
    if touched.entries is None or touched.now is None or table is None or sparse is None or not len(sparse.places):
        return Inputs(chunk.dense, seed=seed), torch.empty(0, dtype=torch.int64)
    own = Entries.of(sparse, table.shape[1], chunk.dense.device)
    inside = torch.searchsorted(touched.entries.places, own.places)
    return Inputs(chunk.dense, own, touched.now.index_select(0, inside), seed), inside
