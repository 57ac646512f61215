"""Random Fourier features of a few columns each, beside the dense inputs: what makes a linear model a smooth one.

√2 · cos(ω·x + phase), with ω drawn from a normal distribution and the phase from a uniform one, is a feature whose
products approximate a Gaussian kernel (Rahimi and Recht 2007). Drawn over all columns at once it says little about any
of them; so most look at one column or at a pair, as in additive models (Kandasamy and Yu 2016), and few at all of them.
Pairs are drawn so that each has its turn: which pair matters nobody knows, and chance alone leaves out too many.

All that is drawn comes from the seed and a counter. What is drawn over does not depend on values, only on what kinds of
columns there are, so the host never waits for the device.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.devices import to_device
from models.encoder_layout import HASHED, NONE, Layout, Role
from models.expert import Tensors
from models.folding import PLAIN, Folding, folded_width

SINGLES, PAIRS, WIDE = 40, 210, 50
"""Features that look at one column, at two, and at all."""

COUNT = SINGLES + PAIRS + WIDE
ARITIES = np.repeat([1, 2, 0], [SINGLES, PAIRS, WIDE])  # columns that each feature looks at; 0: all
WIDE_SCALE = 0.5  # of ω where all columns are looked at, for standardised ones as many as there are
ENUMERATED = 4096  # pairs up to which each has its turn; of more, all are too many anyway

IMPORTANCE = {Role.NUMBER: 1.0, Role.VALUE: 1.0, Role.MARK: 0.3, Role.ESTIMATE: 0.3}
"""What columns count, by what they carry. A mark has the standard deviation of one in ten; estimates from targets are
more or less linear in the target as it is."""

SPREAD = (0.8191725134, 0.6710436067, 0.5497004779)
"""Steps of a sequence that fills a cube evenly: 1/g, 1/g², 1/g³ with g⁴ = g + 1 (Roberts 2018)."""

FIRST = 1 + COUNT  # place of the first dense column among the features: after the constant and the Fourier features

Importance = NDArray[np.float32]


def importance_of(layout: Layout, first: int) -> Importance:
    """Return how much the columns from `first` on count, shape (columns,): about their standard deviation.

    Heavy tails are nearly always 0, and nothing is drawn over them: they count as they are.
    """
    found = [IMPORTANCE[role] for role in layout.roles]
    for column in layout.tails:
        if column != NONE:
            found[column] = 0.0
    if layout.hashed != NONE:
        shared = math.sqrt(min(len(layout.strings) / HASHED, 1.0))
        found[layout.hashed : layout.hashed + HASHED] = [shared] * HASHED
    return np.array(found[first:], np.float32)


class FourierFeatures:
    """Dense columns → a constant, :data:`COUNT` Fourier features, and the columns themselves.

    Parameters
    ----------
    seed
        Of all that is drawn.
    device
        Where to compute.

    Attributes
    ----------
    projection
        ω: float32, shape (columns, COUNT); a column of zeros is a feature that was never drawn.
    phases
        float32, shape (COUNT,).
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed, self._device = seed, device
        self._importance = np.zeros(0, np.float32)
        self._drawn = np.zeros((0, COUNT), np.float32)
        self._inputs = self._draws = 0
        self._folding = Folding()
        self._adopt(torch.zeros((0, COUNT), device=device), torch.zeros(COUNT, device=device))

    def _adopt(self, projection: Tensor, phases: Tensor) -> None:
        self.projection, self.phases = projection, phases

    @property
    def columns(self) -> int:
        """Columns of what :meth:`of` returns."""
        return FIRST + self._columns

    @property
    def _columns(self) -> int:
        """Columns after folding."""
        return folded_width(self._inputs)

    def of(self, dense: Tensor) -> Tensor:
        """Return the features of rows, float32, shape (rows, columns)."""
        narrow = self._folding(dense)
        waves = torch.addmm(self.phases, narrow, self.projection).cos_().mul_(math.sqrt(2.0))
        return torch.cat([narrow.new_ones((len(narrow), 1)), waves, narrow], 1)

    def grow(self, layout: Layout, inputs: int) -> list[int]:
        """Make room for all columns of a layout; return the places of the features that were drawn anew.

        As many are drawn anew as the new columns count among all; each of those looks at a new column.
        """
        first = len(self._importance)
        self._inputs = inputs
        self._importance = np.concatenate([self._importance, importance_of(layout, first)])
        places = self._draw(first) if len(self._importance) > first else []
        if places or len(self.projection) < self._columns:
            padded = np.zeros((self._columns, COUNT), np.float32)
            padded[: len(self._drawn)] = self._drawn
            self._drawn = padded
            self.projection = to_device(padded.copy(), self._device)
        return [1 + place for place in places]

    def _draw(self, first: int) -> list[int]:
        """Draw features for the columns from `first` on; return which."""
        known = self._importance[: self._columns]
        new = known[first:].sum()
        random = np.random.Generator(np.random.PCG64([self._seed, self._draws]))
        self._draws += 1
        share = new / known.sum() if new else 0.0
        places = np.sort(random.permutation(COUNT)[: round(COUNT * float(share))])
        if not len(places):
            return []
        fresh, phases = _drawn_for(ARITIES[places], known, first, random)
        kept = np.zeros((self._columns, COUNT), np.float32)
        kept[: len(self._drawn)] = self._drawn
        kept[:, places] = 0.0
        kept[: len(known), places] = fresh
        self._drawn = kept
        moved = self.phases.clone()
        moved[to_device(places, self._device)] = to_device(phases, self._device)
        self.phases = moved
        return [int(place) for place in places]

    def renew(self, inputs: Sequence[int]) -> list[int]:
        """Forget input columns that carry other features from now on; return the places that stand and fall with them.

        Those are the columns themselves, and features that look at one or two columns. Those that look at all stay, and
        do not look at these any more.
        """
        plain = [column for column in inputs if column < min(PLAIN, len(self._drawn))]
        few = (self._drawn[plain] != 0).any(0) & (ARITIES > 0)
        self._drawn[np.ix_(plain, ARITIES == 0)] = 0.0
        self.projection = to_device(self._drawn.copy(), self._device)
        return [1 + int(place) for place in np.flatnonzero(few)] + [FIRST + column for column in plain]

    def published(self) -> dict[str, Tensor]:
        """Return what :meth:`of` reads."""
        return {"projection": self.projection, "phases": self.phases}

    def attach(self, tensors: Tensors) -> None:
        """Read published tensors."""
        self._adopt(tensors["projection"], tensors["phases"])

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return all that it is."""
        tensors = {**self.published(), "importance": torch.from_numpy(self._importance.copy())}
        return {"inputs": self._inputs, "draws": self._draws}, tensors

    def restore(self, meta: Any, tensors: Tensors) -> None:
        """Become what :meth:`state` was taken from."""
        self.attach(tensors)
        self._inputs, self._draws = meta["inputs"], meta["draws"]
        self._importance = tensors["importance"].cpu().numpy()
        self._drawn = tensors["projection"].cpu().numpy().copy()


def _drawn_for(
    arities: NDArray[np.int64], importance: Importance, first: int, random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw features of these arities, each of which looks at a column that is no less than `first`.

    Returns
    -------
    projection
        float32, shape (columns, features).
    phases
        float32, shape (features,).
    """
    projection = np.zeros((len(importance), len(arities)), np.float32)
    phases = random.uniform(0.0, 2 * math.pi, len(arities)).astype(np.float32)
    wide = np.flatnonzero(arities == 0)
    norm = math.sqrt(float((importance**2).sum()))
    projection[:, wide] = random.standard_normal((len(importance), len(wide)), np.float32) * (WIDE_SCALE / norm)
    for arity in (1, 2):
        among = np.flatnonzero(arities == arity)
        chosen = _subsets(importance, first, arity, len(among), random)
        waves, phases[among] = _waves(len(among), chosen.shape[1], random)
        projection[chosen.T, among] = waves
    return projection, phases


def _waves(count: int, arity: int, random: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return ω of one or two columns, shape (arity, count), and phases, shape (count,).

    Drawn as from a normal distribution, of standard deviation 1/√arity, and a uniform one; but those that follow one
    another, which look at the same columns, differ as much as they can (quasi-Monte Carlo: Yang et al. 2014).
    """
    even = (np.arange(1, count + 1)[:, None] * SPREAD + random.random(3)) % 1.0
    lengths = np.sqrt(-2 * np.log1p(-even[:, 0])) / math.sqrt(arity)
    angles = math.pi * even[:, 1]
    waves = lengths * np.stack([np.cos(angles), np.sin(angles)])[:arity]
    return waves.astype(np.float32), (2 * math.pi * even[:, 2]).astype(np.float32)


def _subsets(
    importance: Importance, first: int, arity: int, count: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Draw `count` sets of `arity` columns by importance, one of which is at least `first`; shape (count, arity)."""
    used = np.flatnonzero(importance)
    arity = min(arity, len(used))
    if math.comb(len(used), arity) <= ENUMERATED:
        every = np.array([s for s in combinations(used.tolist(), arity) if max(s) >= first], np.int64)
        every = every[random.permutation(len(every))]
        # Systematic sampling: each is taken as often as its share says, rounded up or down.
        ends = importance[every].prod(1, dtype=np.float64).cumsum()
        marks = (np.arange(count) + random.random()) * (ends[-1] / max(count, 1))
        taken: NDArray[np.int64] = every[np.searchsorted(ends, marks, side="right").clip(max=len(every) - 1)]
        return taken
    # Independent draws without replacement: the largest of log importance + Gumbel noise.
    with np.errstate(divide="ignore"):
        keys = np.log(importance) + random.gumbel(size=(count, len(importance)))
    anchors = first + keys[:, first:].argmax(1)
    keys[np.arange(count), anchors] = np.inf
    chosen: NDArray[np.int64] = np.argpartition(-keys, arity - 1, axis=1)[:, :arity]
    return chosen
