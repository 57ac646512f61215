"""Which members of a mixture are there at an effort, and how their answers are mixed: :class:`Attendance`.

With little effort (``effort.py``) the dear members of a mixture neither answer nor learn. Their weights would be
missing from the answer, so those that stay are mixed by a mixing of their own: it begins as what the one before would
have been, had the others never counted, and learns on. When there is time again the others first learn for some rows
without being heeded, for meanwhile the stream went on without them; then the mixing of all takes over where it left.

That members sleep because they are of no use is another matter: ``mixture_sleep.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.effort import Cost, Effort
from models.expert import Tensors
from models.learner import Json
from models.mixing import Mixing
from models.names import under

REHEARSAL = 512  # rows that those who come back learn before they are heeded: a few steps of each
ABSENT = -1e4  # logarithm of the share of who is not there: its exponential is 0
COMPANIES = ("current", "coming")


class Company(NamedTuple):
    """Members that answer together.

    Attributes
    ----------
    members
        Their places in the mixture, ascending.
    mixing
        Of their answers.
    """

    members: tuple[int, ...]
    mixing: Mixing

    def of(self, present: Sequence[int], answers: Tensor) -> Tensor:
        """Return their own of the answers of those who are `present`, shape (rows, members, columns)."""
        if len(present) == len(self.members):
            return answers
        places = torch.tensor([present.index(member) for member in self.members], device=answers.device)
        return answers.index_select(1, places)

    def joined_by(self, members: tuple[int, ...]) -> "Company":
        """Return some of these by themselves."""
        return Company(members, self.mixing.among([self.members.index(member) for member in members]))


@dataclass(slots=True)
class Attendance:
    """Who is there.

    Attributes
    ----------
    costs
        Of all members.
    everybody
        All of them, whether they are there or not.
    current
        Those whose answers count.
    coming
        Those whose answers are to count after `left` more rows; None where that is not about to change.
    left
        Rows.
    """

    costs: Sequence[Cost]
    everybody: Company
    current: Company
    coming: Company | None = None
    left: int = 0

    @classmethod
    def of_all(cls, costs: Sequence[Cost], mixing: Mixing) -> "Attendance":
        """Return that of a mixture all of whose members are there."""
        everybody = Company(tuple(range(len(costs))), mixing)
        return cls(costs, everybody, everybody)

    @property
    def is_full(self) -> bool:
        """Whether all are there, and have been for long enough."""
        return self.current is self.everybody

    @property
    def present(self) -> tuple[int, ...]:
        """Return the places of those who answer and learn, ascending."""
        return self.current.members if self.coming is None else self.coming.members

    def companies(self) -> list[Company]:
        """Return those that learn."""
        return [self.current] if self.coming is None else [self.current, self.coming]

    def follow(self, effort: Effort, rows: int) -> bool:
        """Have members come or go for an effort, after so many more rows; return whether any did."""
        before = self.present, self.current
        if self.coming is not None:
            self.left -= rows
            if self.left <= 0:
                self.current, self.coming = self.coming, None
        wanted = self._wanted(effort.dearest)
        if wanted == self.current.members:
            self.coming = None
        elif set(wanted) < set(self.current.members):
            self.current, self.coming = self.current.joined_by(wanted), None
        elif self.coming is None or self.coming.members != wanted:
            everybody = self.everybody
            self.coming = everybody if wanted == everybody.members else everybody.joined_by(wanted)
            self.left = REHEARSAL
        return before != (self.present, self.current)

    def _wanted(self, dearest: Cost) -> tuple[int, ...]:
        """Return the places of those who are to be there: at least the cheapest that learn more than a mean."""
        least = min((cost for cost in self.costs if cost is not Cost.NOTHING), default=Cost.NOTHING)
        return tuple(place for place, cost in enumerate(self.costs) if cost <= max(dearest, least))

    def rescale(self, factor: float) -> None:
        """Go on in other units of the target."""
        for mixing in self._mixings():
            mixing.rescale(factor)

    def held(self) -> Sequence[Tensor]:
        """Return the tensors that are finite as long as it is sound."""
        return [tensor for mixing in self._mixings() for tensor in mixing.held()]

    def _mixings(self) -> list[Mixing]:
        """Return each mixing once."""
        return list({id(each.mixing): each.mixing for each in (self.everybody, *self.companies())}.values())

    def published(self) -> dict[str, Tensor]:
        """Return what the mixing of all reads, made of the current one: those who are not there count nothing."""
        found = self.current.mixing.published()
        if self.is_full:
            return found
        absent = {"shares": ABSENT, "weights": 0.0}
        return {
            name: self._widened(tensor, absent[name]) if name in absent else tensor for name, tensor in found.items()
        }

    def _widened(self, tensor: Tensor, absent: float) -> Tensor:
        """Return what is of the current members, in its last dimension, as of all."""
        wide = tensor.new_full((*tensor.shape[:-1], len(self.costs)), absent)
        wide[..., list(self.current.members)] = tensor
        return wide

    def worth(self) -> list[float]:
        """Return how much of the answer each member makes up."""
        worth = dict(zip(self.current.members, self.current.mixing.worth().tolist(), strict=True))
        return [worth.get(place, 0.0) for place in range(len(self.costs))]

    def losses(self) -> list[float]:
        """Return the recent mean loss of each member, as long as it was there, and last that of the mixed answer."""
        losses = self.everybody.mixing.running_losses().tolist()
        now = self.current.mixing.running_losses().tolist()
        for place, loss in zip((*self.current.members, -1), now, strict=True):
            losses[place] = loss
        return losses

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return what :meth:`restore` reads, but for the mixing of all."""
        meta: dict[str, Any] = {"left": self.left}
        tensors: dict[str, Tensor] = {}
        for name, company in zip(COMPANIES, (self.current, self.coming), strict=True):
            if company is None:
                continue
            meta[name] = {"members": list(company.members), "rows": company.mixing.rows}
            if company is not self.everybody:
                tensors |= {f"{name}-{tensor}": value for tensor, value in company.mixing.state().items()}
        return meta, tensors

    def restore(self, meta: Json, tensors: Tensors) -> None:
        """Become what :meth:`state` described; the mixing of all is restored by then."""
        self.left = meta["left"]
        companies = [self._restored(meta.get(name), under(f"{name}-", tensors)) for name in COMPANIES]
        self.current, self.coming = companies[0] or self.everybody, companies[1]

    def _restored(self, meta: Json | None, tensors: Tensors) -> Company | None:
        if meta is None or tuple(meta["members"]) == self.everybody.members:
            return None if meta is None else self.everybody
        company = self.everybody.joined_by(tuple(meta["members"]))
        company.mixing.restore(tensors, meta["rows"])
        return company
