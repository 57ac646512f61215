"""What answers from encoded rows and learns from them: :class:`Expert`. Stands between the encoder and the scores.

A learner encodes each microbatch once and hands it to one expert, whichever the configuration names; the mixture
(``mixture.py``) is an expert too, made of others. Networks that learn by gradients are experts through
``network_expert.py``. A new one is one class in one file and one line in ``EXPERTS`` (``experts.py``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.devices import to_device
from models.effort import FULL, Cost, Effort
from models.encoder_layout import Layout
from models.examples import Kind
from models.features import Sparse
from models.learner import Json
from models.touched import Ranges

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows as experts see them.

    Attributes
    ----------
    dense
        float32, shape (rows, inputs), on the device: standardised numbers, marks, hashed strings, statistics of the
        target; zeros in spare columns.
    raw
        float32, shape (rows, raws), on the device: what thresholds can be set in, for its scale never moves. Numbers
        relative to the first value met, categories as codes from 0 to 1; NaN where missing or spare. No column if no
        expert asked for it by ``uses_raw``.
    sparse
        Kinds of strings → their hashes, for tables of parameters; only what an expert asked for by ``table_kinds``, and
        only if there are such strings.
    effort
        How much work it is worth to learn them; nothing of it is heeded where they are answered.
    keys
        On the host: which key each row has, as ``keyed_hashes.py`` says, int64, shape (rows,). None where no key is
        configured.
    """

    dense: Tensor
    raw: Tensor
    sparse: Mapping[frozenset[Kind], Sparse] = field(default_factory=dict)
    effort: Effort = FULL
    keys: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return self.dense.shape[0]  # which takes a fifth of the time that len takes

    def slice(self, start: int, stop: int) -> "Encoded":
        """Return rows `start` to `stop`."""
        sparse = {kinds: hashes.slice(start, stop) for kinds, hashes in self.sparse.items()}
        keys = None if self.keys is None else self.keys[start:stop]
        return Encoded(self.dense[start:stop], self.raw[start:stop], sparse, self.effort, keys)

    def take(self, rows: NDArray[np.int64]) -> "Encoded":
        """Return the rows that an array of indices names, in its order; each may be there several times."""
        places = to_device(rows, self.dense.device)
        sparse = {kinds: hashes.take(rows) for kinds, hashes in self.sparse.items()}
        dense, raw = self.dense.index_select(0, places), self.raw.index_select(0, places)
        return Encoded(dense, raw, sparse, self.effort, None if self.keys is None else self.keys[rows])

    def at(self, effort: Effort) -> "Encoded":
        """Return these rows, to be learned with an effort."""
        return self if effort is self.effort else replace(self, effort=effort)


@dataclass(frozen=True, slots=True)
class Space:
    """What there is to see and to answer; it only ever grows.

    Attributes
    ----------
    layout
        Places of the features: ``layout.roles`` says what each input column in use carries.
    inputs, raws
        Columns of :attr:`Encoded.dense` and of :attr:`Encoded.raw`, spare ones included.
    raws_used
        Columns of :attr:`Encoded.raw` that carry something.
    classes
        How many are known; 0 for regression.
    """

    layout: Layout
    inputs: int
    raws: int
    raws_used: int
    classes: int

    @property
    def outputs(self) -> int:
        """Columns of the answers: one for each class, or one for regression."""
        return max(self.classes, 1)


class Expert(Protocol):
    """Answers and learns. All its memory is tensors on one device; nothing in it waits for the device.

    Answers are float32: for classes the logarithms of probabilities, shape (rows, classes); for regression one column
    of values in units of the target's scale, shape (rows, 1). Where an expert knows nothing, it answers `prior`. They
    need not be finite: whoever asks takes care of that.

    `prior` is what is answered without looking at a row: for classes the logarithms of their shares so far, shape
    (classes,); for regression zero, shape (1,). All float32.
    """

    table_kinds: Sequence[frozenset[Kind]]
    """The sets of kinds of strings whose hashes it asks for; often none."""
    uses_raw: bool
    """Whether it looks at :attr:`Encoded.raw`."""
    cost: Cost
    """What a row costs it; what costs nothing never sleeps in a mixture."""
    spare: bool
    """Whether it can do with spare columns of :attr:`Encoded.dense`, which are zeros."""

    def grow(self, space: Space) -> None:
        """Make room for all that is in `space`; called before the first :meth:`learn`, and when it has grown.

        No answer for rows without the new features and classes may change by more than the room for a new class takes.
        """

    def renew(self, inputs: Sequence[int], raws: Sequence[int]) -> None:
        """Forget what was learned for these columns: they carry other features from now on."""

    def rescale(self, factor: float, shift: float) -> None:
        """Go on in other units of the target: what was t is now factor · t + shift. Only for regression."""

    def answers(self, rows: Encoded, prior: Tensor) -> Tensor:
        """Return the answers; changes nothing, so that a serving process can call it over mapped memory."""

    def learn(self, rows: Encoded, targets: Tensor, weights: Tensor, prior: Tensor, answered: Tensor | None) -> None:
        """Learn from rows, in the order of the log, in inner steps of its own choosing.

        Parameters
        ----------
        rows
            At least one; ``rows.effort`` says how fine the steps are to be: see :mod:`models.effort`.
        targets
            Indices of classes, int64, or numbers in units of the target's scale, float32; shape (rows,).
        weights
            float32, shape (rows,); above 0, 1 on the mean.
        prior
            With these rows counted already.
        answered
            What :meth:`answers` returned for these rows before any of them was learned, even if they are encoded anew
            since; None where there are more classes now, or other units of the target, or it was not asked for them.
        """

    def published(self) -> dict[str, Tensor]:
        """Return what :meth:`answers` reads, under names of its own: views, valid until the next change."""

    def changed(self) -> Mapping[str, Ranges]:
        """Return, for published tensors of which little changed since the last call, the ranges of flat elements.

        A name that is absent has changed altogether; one with no range has not changed.
        """

    def describe(self) -> dict[str, Any]:
        """Return JSON from which, with the published tensors, :meth:`attach` makes an expert that answers alike."""

    def attach(self, description: Json, tensors: Tensors) -> None:
        """Answer from published tensors, which may be mapped from a file that somebody is overwriting.

        No value in them may decide where memory is read beyond what bounds of its own allow.
        """

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return all that it is: JSON, and tensors under names ``segment/name``.

        Those that change together share a segment, for a checkpoint writes only segments that changed.
        """

    def restore(self, meta: Json, tensors: Tensors, space: Space) -> None:
        """Become exactly what :meth:`state` was taken from; it owns `tensors` from then on."""

    def held(self) -> Sequence[Tensor]:
        """Return the floating tensors that are finite as long as it is sound."""

    def look_back(self) -> None:
        """Do what is to be done once in so many microbatches, such as looking whether all is well."""

    def reports(self) -> dict[str, float]:
        """Return what operators may want to know of it; may wait for the device.

        ``skipped`` and ``restorations`` are what :class:`models.learner.LearnerStatus` says of them; any other name is
        a measure, a dot, and the expert that it is of, such as ``weight.leaves``.
        """


class Defaults:
    """What an expert does where it has nothing of its own to do."""

    table_kinds: Sequence[frozenset[Kind]] = ()
    uses_raw: bool = False
    cost: Cost = Cost.MUCH
    spare: bool = True

    def renew(self, inputs: Sequence[int], raws: Sequence[int]) -> None:
        """See :class:`Expert`: nothing belongs to a single column."""

    def rescale(self, factor: float, shift: float) -> None:
        """See :class:`Expert`: nothing is in units of the target."""

    def changed(self) -> Mapping[str, Ranges]:
        """See :class:`Expert`: everything changes."""
        return {}

    def describe(self) -> dict[str, Any]:
        """See :class:`Expert`: the tensors say it all."""
        return {}

    def look_back(self) -> None:
        """See :class:`Expert`: nothing."""

    def reports(self) -> dict[str, float]:
        """See :class:`Expert`: nothing."""
        return {}


class Stateless(Defaults):
    """An expert that remembers nothing from one microbatch to the next."""

    def grow(self, space: Space) -> None:
        """See :class:`Expert`: nothing."""

    def published(self) -> dict[str, Tensor]:
        """See :class:`Expert`: nothing."""
        return {}

    def attach(self, description: Json, tensors: Tensors) -> None:
        """See :class:`Expert`: nothing."""

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :class:`Expert`: nothing."""
        return {}, {}

    def restore(self, meta: Json, tensors: Tensors, space: Space) -> None:
        """See :class:`Expert`: nothing."""

    def held(self) -> Sequence[Tensor]:
        """See :class:`Expert`: nothing."""
        return []
