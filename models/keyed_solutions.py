"""The small models themselves: what is added, for each key, to what the shared model answers. For ``keyed.py``.

The addition is linear in some of the input's columns, and its weights are Gaussian: for one key wᵏ ~ N(0, diag τ²), so
that a key of which nothing is known adds nothing (hierarchical, "empirical Bayes", linear models: Lindley and Smith,
1972). With the sums Aᵏ = Σ h x xᵀ and bᵏ = Σ h x z over the key's rows the weights are (Aᵏ + Λ)⁻¹ bᵏ. For numbers, h is
1, z is what the shared model left, and Λ = σ²/τ². For classes, both are those of iteratively reweighted least squares
about the weights so far: h is the largest curvature that the softmax can have there (by Gershgorin's circles twice the
largest p(1 - p)), z = x w + (y - p)/h, and Λ is a share of 1/τ².

σ² is the mean squared error so far. τ² is estimated from all keys, column by column, by MacKay's fixed point (Neural
Computation 1992): Σ w² over the number of weights that the data determine, Σ (1 - λ (A + Λ)⁻¹ⱼⱼ). So nothing is to be
tuned: where keys do not differ, τ² falls and they are left alone; where they do, a new one moves at once.

Each key has several solutions, which differ in how fast they forget. All keys' sums are one tensor, gathered and
scattered by the microbatch's keys; nothing waits for the device.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from models.devices import to_device
from models.expert import Tensors
from models.keyed_waves import Wave

MEMORIES = (100.0, 5_000.0)
"""Rows of a key after which a row counts 1/e in each of its solutions."""

FAR = 4.0  # mean errors beyond which an error counts as it: one garbled event must not turn a key's weights
LEAST_CURVATURE = 0.05  # of a row: where the shared model is sure and wrong, Newton's step would be far too long
NOISE_ROWS = 2_000.0  # rows after which an error counts half in the mean squared one
ASKED = 64  # keys of a wave, roughly, from which τ² is learned: every so many'th
SPREAD_KEYS = 1_000.0  # of these, after which one counts half
BELIEVED = 10.0  # weights that what τ² begins with counts as much as;
SPREAD = 1.0  # that is, in units of the target's scale or of logarithms of odds
TIMID = 0.25  # of the penalty for classes
TIMID = 0.35  # of 1/τ² that is taken for classes: rows were taken in when weights were small, and hold them there
LEAST_SPREAD, MOST_SPREAD = 1e-6, 1e2
RIDGE = 1e-6  # of the mean of A's diagonal is added to it, or rounding could make it singular


class KeySolutions:
    """Sums and weights of keys, by slot.

    Parameters
    ----------
    numeric
        Whether numbers are predicted.
    device
        Where to compute.

    Attributes
    ----------
    squares
        A: float32, shape (slots, solutions, columns, columns).
    products
        b: float32, shape (slots, solutions, columns, outputs).
    weights
        w: of the same shape.
    spread
        Running sums of w² and of how many weights are determined: float32, shape (2, solutions, columns).
    noise
        Running sums of squared errors, and of rows: float32, shape (2, solutions).
    """

    def __init__(self, device: torch.device, *, numeric: bool) -> None:
        self._numeric, self._device = numeric, device
        count = len(MEMORIES)
        self._kept = torch.tensor(MEMORIES, device=device).reciprocal_().neg_().exp_().view(-1, 1)
        self.squares = torch.zeros((0, count, 0, 0), device=device)
        self.products = self.weights = torch.zeros((0, count, 0, 0), device=device)
        self.spread = torch.zeros((2, count, 0), device=device)
        self.noise = torch.ones((2, count), device=device)

    def grow(self, slots: int, columns: int, outputs: int) -> None:
        """Have room for so many slots, columns of the input and outputs, all at least as many as there are."""
        held, _, width, answers = self.weights.shape
        more, wider, others = slots - held, columns - width, outputs - answers
        if more or wider or others:
            self.squares = pad(self.squares, (0, wider, 0, wider, 0, 0, 0, more))
            self.products = pad(self.products, (0, others, 0, wider, 0, 0, 0, more))
            self.weights = pad(self.weights, (0, others, 0, wider, 0, 0, 0, more))
            self.spread = pad(self.spread, (0, wider))

    def forget_columns(self, columns: Tensor, slots: Tensor | None = None) -> None:
        """Forget what was learned of some columns, int64, in some slots; None: in all, and in τ²."""
        for tensor, dimensions in ((self.squares, (2, 3)), (self.products, (2,)), (self.weights, (2,))):
            part = tensor if slots is None else tensor.index_select(0, slots)
            for dimension in dimensions:
                part.index_fill_(dimension, columns, 0.0)
            if slots is not None:
                tensor.index_copy_(0, slots, part)
        if slots is None:
            self.spread.index_fill_(2, columns, 0.0)

    def forget_slots(self, slots: Tensor) -> None:
        """Begin anew in some slots, int64."""
        for tensor in (self.squares, self.products, self.weights):
            tensor.index_fill_(0, slots, 0.0)

    def rescale(self, factor: float) -> None:
        """Go on in other units of the target: what was 1 is now `factor`."""
        self.products.mul_(factor)
        self.weights.mul_(factor)
        self.spread[0].mul_(factor**2)
        self.noise[0].mul_(factor**2)

    def rescale_slots(self, slots: Tensor, factors: Tensor) -> None:
        """Take what some slots, int64, hold for what was learned in other units: shape (slots,), float32."""
        for tensor in (self.products, self.weights):
            tensor.index_copy_(0, slots, tensor.index_select(0, slots) * factors.view(-1, 1, 1, 1))

    def answer(self, slots: Tensor, inputs: Tensor) -> Tensor:
        """Return what is added to the shared model's answer, shape (rows, solutions, outputs).

        Parameters
        ----------
        slots
            int64, shape (rows,); negative where there is none, for which nothing is added.
        inputs
            float32, shape (rows, columns).
        """
        _, count, columns, outputs = self.weights.shape
        # Out of bounds by no fault of the caller's, where they come from a file that somebody is overwriting.
        rows = self.weights.index_select(0, slots.clamp(0, len(self.weights) - 1))
        known = inputs * (slots >= 0).unsqueeze(1)
        rows = rows.transpose(1, 2).reshape(len(slots), columns, count * outputs)
        return torch.bmm(known.unsqueeze(1), rows).view(len(slots), count, outputs)

    def penalties(self) -> Tensor:
        """Return Λ, float32, shape (solutions, columns)."""
        believed = BELIEVED * SPREAD
        spread = (self.spread[0] + believed) / (self.spread[1] + BELIEVED)
        noise = self.noise[0] / self.noise[1] if self._numeric else torch.full_like(self.noise[0], TIMID)
        return noise.clamp(min=LEAST_SPREAD).unsqueeze(1) / spread.clamp_(LEAST_SPREAD, MOST_SPREAD)

    def learn(self, wave: Wave, inputs: Tensor, shared: Tensor, targets: Tensor, relative: Tensor) -> None:
        """Learn the rows of a wave.

        Parameters
        ----------
        wave
            Which rows.
        inputs
            Of the whole microbatch, float32, shape (rows, columns).
        shared
            What the shared model answered before it learned them, shape (rows, outputs).
        targets, relative
            See :meth:`models.expert.Expert.learn`; `relative` is what is called ``weights`` there.
        """
        slots = to_device(wave.slots, self._device)
        (keys, width), (columns, outputs) = wave.rows.shape, self.weights.shape[2:]
        rows, counts = to_device(wave.rows.reshape(-1), self._device), to_device(wave.counts, self._device)
        x = inputs.index_select(0, rows).view(keys, 1, width, columns)
        steps = torch.arange(width, device=self._device)
        inside = steps < counts.unsqueeze(1)
        counted = (relative.index_select(0, rows).view(keys, width) * inside).unsqueeze(1)
        # A row is forgotten by as much as rows of its key come after it.
        counted = counted * self._kept ** (counts.view(-1, 1, 1) - 1 - steps).clamp(min=0)
        before = [tensor.index_select(0, slots) for tensor in (self.squares, self.products, self.weights)]
        present = x @ before[2]
        errors, curvature = self._errors(
            shared.index_select(0, rows).view(keys, 1, width, outputs) + present,
            targets.index_select(0, rows).view(keys, 1, width),
            inside,
        )
        weight = (counted * curvature).unsqueeze(3)
        kept = (self._kept.view(-1) ** counts.unsqueeze(1)).view(keys, -1, 1, 1)
        squares = before[0].mul_(kept).add_((x * weight).mT @ x)
        products = before[1].mul_(kept).add_(x.mT @ (weight * present + counted.unsqueeze(3) * errors))
        self._settle(slots, squares, products, before[2])

    def _errors(self, answers: Tensor, targets: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is missing in answers, shape (keys, solutions, width, outputs), and h without the outputs."""
        if self._numeric:
            errors = targets.unsqueeze(3) - answers
            bound = FAR * (self.noise[0] / self.noise[1]).sqrt().view(-1, 1, 1)
            errors = torch.minimum(torch.maximum(errors, -bound), bound)
            rows = inside.sum()
            squared = (errors.square().squeeze(3) * inside.unsqueeze(1)).sum((0, 2))
            self.noise = self.noise * 0.5 ** (rows / NOISE_ROWS) + torch.stack([squared, rows.expand_as(squared)])
            return errors, torch.ones_like(errors[..., 0])
        probable = answers.softmax(3)
        curvature = 2 * (probable * (1 - probable)).amax(3)
        return one_hot(targets, answers.shape[3]) - probable, curvature.clamp_(min=LEAST_CURVATURE)

    def _settle(self, slots: Tensor, squares: Tensor, products: Tensor, before: Tensor) -> None:
        """Keep the sums of some keys, solve for their weights, and learn from these how far keys are apart.

        Sums are of bounded terms, so they are finite; weights that rounding spoils stay as they were `before`.
        """
        penalties = self.penalties()
        damped = squares.clone()
        diagonal = damped.diagonal(dim1=2, dim2=3)
        diagonal.add_(penalties + RIDGE * diagonal.mean(2, keepdim=True))
        factor, failed = torch.linalg.cholesky_ex(damped)
        solved = torch.cholesky_solve(products, factor)
        sound = ((failed == 0) & torch.isfinite(solved.sum((2, 3)))).view(*failed.shape, 1, 1)
        weights = torch.where(sound, solved, before)
        for tensor, new in ((self.squares, squares), (self.products, products), (self.weights, weights)):
            tensor.index_copy_(0, slots, new)
        self._learn_spread(penalties, factor, weights, sound.squeeze(3))

    def _learn_spread(self, penalties: Tensor, factor: Tensor, weights: Tensor, sound: Tensor) -> None:
        """Learn from the weights of some keys, and from Cholesky factors of A + Λ, how far keys are apart."""
        step = max(1, len(weights) // ASKED)  # an inverse takes four times as long as a solution
        sound, weights = sound[::step], weights[::step]
        inverse = torch.cholesky_inverse(factor[::step]).diagonal(dim1=2, dim2=3)
        squared = torch.where(sound, weights.square().sum(3), 0.0).sum(0)
        determined = torch.where(sound, 1 - penalties * inverse, 0.0).sum(0).clamp_(min=0)
        fresh = torch.stack([squared, determined * weights.shape[3]])
        self.spread = self.spread * 0.5 ** (len(weights) / SPREAD_KEYS) + fresh

    def pack(self, slots: Tensor) -> Tensor:
        """Return all that some slots, int64, hold: float32, shape (slots, numbers)."""
        columns = self.squares.shape[2]
        half = torch.tril_indices(columns, columns, device=self._device)  # sums of squares are symmetric
        parts = (
            self.squares.index_select(0, slots)[:, :, half[0], half[1]],
            self.products.index_select(0, slots),
            self.weights.index_select(0, slots),
        )
        return torch.cat([part.flatten(1) for part in parts], 1)

    def unpack(self, slots: Tensor, packed: Tensor, columns: int, outputs: int) -> None:
        """Put what :meth:`pack` returned, when there were so many columns and outputs, into slots that are new."""
        count, (width, answers) = len(MEMORIES), self.weights.shape[2:]
        half = torch.tril_indices(columns, columns, device=self._device)
        begin, size = count * half.shape[1], count * columns * outputs
        triangle, products, weights = packed[:, :begin], packed[:, begin : begin + size], packed[:, begin + size :]
        squares = torch.zeros((len(slots), count, width, width), device=self._device)
        triangle = triangle.reshape(len(slots), count, -1)
        squares[:, :, half[0], half[1]] = triangle
        squares[:, :, half[1], half[0]] = triangle
        self.squares.index_copy_(0, slots, squares)
        room = (0, answers - outputs, 0, width - columns)
        for tensor, part in ((self.products, products), (self.weights, weights)):
            tensor.index_copy_(0, slots, pad(part.reshape(len(slots), count, columns, outputs), room))

    def state(self) -> dict[str, Tensor]:
        """Return all that it is."""
        return {
            "squares": self.squares,
            "products": self.products,
            "weights": self.weights,
            "spread": self.spread,
            "noise": self.noise,
        }

    def restore(self, tensors: Tensors) -> None:
        """Become what :meth:`state` was taken from."""
        self.squares, self.products, self.weights, self.spread, self.noise = (tensors[name] for name in self.state())
