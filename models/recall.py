"""An expert that repeats what was: of the encoder's estimates of the target, the one that has erred least of late.

How many bikes a station has is best told by how many it had last, and no network gets as close to that: it learns it
among a hundred other inputs, each with an error of its own. So one expert answers an estimate as it is: the last or the
recent number where a category had this value, or of the stream as a whole. It is for numbers; of classes it knows no
more than their shares.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from models.devices import to_device
from models.effort import Cost
from models.encoder_layout import Role
from models.expert import Defaults, Encoded, Space, Tensors
from models.learner import Json

HALF_LIFE = 2_000.0  # rows after which an error counts half


class RecallExpert(Defaults):
    """See :class:`models.expert.Expert`.

    Parameters
    ----------
    device
        Where to.
    numeric
        Whether labels are numbers.
    """

    cost = Cost.NOTHING

    def __init__(self, device: torch.device, *, numeric: bool) -> None:
        self._numeric, self._device = numeric, device
        # The decayed mean of each answer's absolute error: first of the prior's, then of each input column's, infinite
        # where that is no estimate.
        self._errors = torch.zeros(1, device=device)
        self._columns = 0

    def grow(self, space: Space) -> None:
        """See :class:`models.expert.Expert`: a new estimate is no better than the prior until it has been compared."""
        roles = space.layout.roles
        estimates = [place for place in range(self._columns, len(roles)) if roles[place] is Role.ESTIMATE]
        self._columns = len(roles)
        errors = pad(self._errors, (0, space.inputs + 1 - len(self._errors)), value=torch.inf)
        self._errors = self._begin(errors, estimates)

    def _begin(self, errors: Tensor, columns: Sequence[int]) -> Tensor:
        """Return errors in which some columns begin anew."""
        if not columns:
            return errors
        places = to_device(np.array(columns, np.int64) + 1, self._device)
        return errors.index_copy(0, places, errors[:1].expand(len(columns)))

    def renew(self, inputs: Sequence[int], raws: Sequence[int]) -> None:  # noqa: ARG002 - it sees no raw columns
        """See :class:`models.expert.Expert`."""
        places = to_device(np.array(inputs, np.int64) + 1, self._device)
        anew = torch.where(self._errors[places].isinf(), torch.inf, self._errors[0])
        self._errors = self._errors.index_copy(0, places, anew)

    def rescale(self, factor: float, shift: float) -> None:  # noqa: ARG002 - errors do not move
        """See :class:`models.expert.Expert`."""
        self._errors = self._errors * factor

    def answers(self, rows: Encoded, prior: Tensor) -> Tensor:
        """See :class:`models.expert.Expert`."""
        if not self._numeric:
            return prior.expand(len(rows), -1)
        return pad(rows.dense, (1, 0)).index_select(1, self._errors.argmin().reshape(1))

    def learn(self, rows: Encoded, targets: Tensor, weights: Tensor, prior: Tensor, answered: Tensor | None) -> None:  # noqa: ARG002 - it compares the columns themselves
        """See :class:`models.expert.Expert`."""
        if not self._numeric:
            return
        kept = 0.5 ** (len(targets) / HALF_LIFE)
        distances = (pad(rows.dense, (1, 0)) - targets[:, None]).abs()
        here = (weights @ distances) / weights.sum()
        self._errors = self._errors * kept + here * (1 - kept)

    def published(self) -> dict[str, Tensor]:
        """See :class:`models.expert.Expert`."""
        return {"errors": self._errors}

    def attach(self, description: Json, tensors: Tensors) -> None:  # noqa: ARG002 - there is nothing to describe
        """See :class:`models.expert.Expert`."""
        self._errors = tensors["errors"]

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :class:`models.expert.Expert`."""
        return {"columns": self._columns}, {"errors/errors": self._errors}

    def restore(self, meta: Json, tensors: Tensors, space: Space) -> None:  # noqa: ARG002 - there is nothing else
        """See :class:`models.expert.Expert`."""
        self._columns, self._errors = meta["columns"], tensors["errors/errors"]

    def held(self) -> Sequence[Tensor]:
        """See :class:`models.expert.Expert`: infinite are only those that are never chosen."""
        return [self._errors.nan_to_num(torch.nan, 0.0)]
