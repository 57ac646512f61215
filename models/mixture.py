"""The mixture of experts, which is what ``learner.kind: auto`` means: an :class:`models.expert.Expert` made of others.

Each member answers every row and learns every row, unless it sleeps because it is of no use (``mixture_sleep.py``) or
there is no time for it (``mixture_attendance.py``). How their answers become
one is learned in ``mixing.py``. Members know nothing of one another; what belongs to one has its name in front: the
tensor ``leaves.weights`` is what the member ``leaves`` calls ``weights``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from models.effort import Cost
from models.errors import StateMismatch
from models.examples import Kind, Task
from models.expert import Encoded, Expert, Space, Tensors
from models.latest import Latest
from models.learner import Json
from models.mixing import Mixing
from models.mixing_classes import widened
from models.mixture_attendance import Attendance
from models.mixture_sleep import Sleep
from models.names import under
from models.touched import Ranges

MIXING = "mixing"
"""What the mixing's own tensors are called, where those of a member have its name."""

ATTENDANCE = "attendance"
"""The same of who is there."""

SUMMED = ("skipped", "restorations")
"""Reports that are the sum of the members'."""


class Mixture:
    """See :class:`models.expert.Expert`.

    Parameters
    ----------
    members
        Name → expert; at least one. The names are part of the state.
    task
        What is predicted.
    loss
        As in :class:`models.learner.LearnerOptions`.
    device
        Where to.
    """

    def __init__(self, members: Mapping[str, Expert], task: Task, loss: str, device: torch.device) -> None:
        self._members = dict(members)
        self._mixing = Mixing(len(members), task, loss, device)
        kinds = [kinds for member in members.values() for kinds in member.table_kinds]
        self.table_kinds: Sequence[frozenset[Kind]] = tuple(dict.fromkeys(kinds))
        self.uses_raw = any(member.uses_raw for member in members.values())
        costs = [member.cost for member in members.values()]
        self.cost = max(costs)
        self.spare = all(member.spare for member in members.values())
        self._prior: Tensor | None = None
        self._latest = Latest[tuple[list[Tensor], Tensor]]()
        self._sleep = Sleep([cost is Cost.NOTHING for cost in costs])
        self._attendance = Attendance.of_all(costs, self._mixing)
        self._asleep = torch.zeros(len(members), dtype=torch.bool, device=device)
        self._mapped = False

    def grow(self, space: Space) -> None:
        """See :class:`models.expert.Expert`: how answers are mixed does not depend on how many classes there are."""
        for member in self._members.values():
            member.grow(space)

    def renew(self, inputs: Sequence[int], raws: Sequence[int]) -> None:
        """See :class:`models.expert.Expert`."""
        for member in self._members.values():
            member.renew(inputs, raws)

    def rescale(self, factor: float, shift: float) -> None:
        """See :class:`models.expert.Expert`."""
        for member in self._members.values():
            member.rescale(factor, shift)
        self._attendance.rescale(factor)

    def answers(self, rows: Encoded, prior: Tensor) -> Tensor:
        """See :class:`models.expert.Expert`."""
        each, cleaned = self._ask(rows, prior)
        if self._mapped:
            return self._mixing.answer(cleaned)
        current = self._attendance.current
        mixed = current.mixing.answer(current.of(self._attendance.present, cleaned))
        self._latest.keep(mixed, (each, cleaned))
        return mixed

    def _ask(self, rows: Encoded, prior: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the answers of each present member, and all of them cleaned, shape (rows, present, columns)."""
        # Mapped memory is on the host, where looking into it waits for nothing.
        asleep = self._asleep.tolist() if self._mapped else self._napping()
        nothing = torch.zeros((len(rows), len(prior)), device=prior.device) if any(asleep) else prior
        members = list(self._members.values())
        present = range(len(members)) if self._mapped else self._attendance.present
        each = [nothing if asleep[place] else members[place].answers(rows, prior) for place in present]
        return each, self._mixing.blend.clean(each, prior)

    def _napping(self) -> list[bool]:
        """Return for each member whether it sleeps though it is present."""
        return self._sleep.asleep if self._attendance.is_full else [False] * len(self._members)

    def learn(self, rows: Encoded, targets: Tensor, weights: Tensor, prior: Tensor, answered: Tensor | None) -> None:
        """See :class:`models.expert.Expert`."""
        attendance, present = self._attendance, self._attendance.present
        latest = self._latest.take(answered)
        own: dict[int, Tensor] = {}
        if latest is not None:
            each, cleaned = latest
            own = dict(zip(present, each, strict=True))
        else:  # no member has learned these rows yet, so it is still what they would have answered
            _, cleaned = self._ask(rows, widened(self._prior, prior))
        self._prior = prior
        for company in attendance.companies():
            company.mixing.learn(company.of(present, cleaned), targets, weights, rows.effort.step)
        turned = attendance.follow(rows.effort, len(rows))
        if turned and len(present) < len(attendance.present) == len(self._members):
            self._sleep.wake()
        members, napping = list(self._members.values()), self._napping()
        for place in attendance.present:
            if not napping[place]:
                members[place].learn(rows, targets, weights, prior, own.get(place))
        if attendance.is_full:
            turned |= self._sleep.count(len(rows), self._mixing.standing)
        if turned:
            self._asleep = torch.tensor(self._silent(), device=prior.device)

    def _silent(self) -> list[bool]:
        """Return for each member whether nothing of it is in the answers."""
        there, napping = self._attendance.current.members, self._napping()
        return [place not in there or napping[place] for place in range(len(self._members))]

    def published(self) -> dict[str, Tensor]:
        """See :class:`models.expert.Expert`."""
        parts = {MIXING: {**self._attendance.published(), "asleep": self._asleep}}
        parts |= {name: member.published() for name, member in self._members.items()}
        return {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}

    def changed(self) -> Mapping[str, Ranges]:
        """See :class:`models.expert.Expert`."""
        parts = {name: member.changed() for name, member in self._members.items()}
        return {f"{part}.{name}": ranges for part, changed in parts.items() for name, ranges in changed.items()}

    def describe(self) -> dict[str, Any]:
        """See :class:`models.expert.Expert`."""
        return {name: member.describe() for name, member in self._members.items()}

    def attach(self, description: Json, tensors: Tensors) -> None:
        """See :class:`models.expert.Expert`.

        Raises
        ------
        StateMismatch
            It was published by a mixture of other members.
        """
        self._expect(description)
        for name, member in self._members.items():
            member.attach(description[name], under(f"{name}.", tensors))
        own = under(f"{MIXING}.", tensors)
        self._mixing.attach(own)
        self._asleep, self._mapped = own["asleep"], True

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :class:`models.expert.Expert`."""
        states = {name: member.state() for name, member in self._members.items()}
        tensors = {f"{MIXING}/{name}": tensor for name, tensor in self._mixing.state().items()}
        noted = self._sleep.noted
        kept = {"prior": self._prior, "noted": None if noted is None else torch.from_numpy(noted.read())}
        tensors |= {f"{MIXING}/{name}": tensor for name, tensor in kept.items() if tensor is not None}
        tensors |= {f"{part}.{name}": tensor for part, (_, own) in states.items() for name, tensor in own.items()}
        members = {name: meta for name, (meta, _) in states.items()}
        attendance, companies = self._attendance.state()
        tensors |= {f"{ATTENDANCE}/{name}": tensor for name, tensor in companies.items()}
        meta = {"rows": self._mixing.rows, "sleep": self._sleep.to_json(), ATTENDANCE: attendance}
        return {**meta, "members": members}, tensors

    def restore(self, meta: Json, tensors: Tensors, space: Space) -> None:
        """See :class:`models.expert.Expert`.

        Raises
        ------
        StateMismatch
            It was saved by a mixture of other members.
        """
        self._expect(meta["members"])
        for name, member in self._members.items():
            member.restore(meta["members"][name], under(f"{name}.", tensors), space)
        own = under(f"{MIXING}/", tensors)
        self._mixing.restore(own, meta["rows"])
        self._prior = own.get("prior")
        self._latest.forget()
        self._sleep.restore(meta["sleep"], own.get("noted"))
        # States of before there was effort lack it.
        self._attendance.restore(meta.get(ATTENDANCE, {"left": 0}), under(f"{ATTENDANCE}/", tensors))
        self._asleep = torch.tensor(self._silent(), device=self._asleep.device)

    def _expect(self, members: Json) -> None:
        """Raise StateMismatch where these are not the members."""
        if list(members) != list(self._members):
            found, configured = ", ".join(members), ", ".join(self._members)
            raise StateMismatch(
                f"a mixture of {found}, but configured is one of {configured}: set `network: {{experts: [{found}]}}`, "
                "or start the model anew"
            )

    def held(self) -> Sequence[Tensor]:
        """See :class:`models.expert.Expert`."""
        return [*self._attendance.held(), *(tensor for member in self._members.values() for tensor in member.held())]

    def look_back(self) -> None:
        """See :class:`models.expert.Expert`."""
        for member in self._members.values():
            member.look_back()

    def reports(self) -> dict[str, float]:
        """See :class:`models.expert.Expert`: what share of the answers each member makes up, and its recent loss."""
        worth, losses = self._attendance.worth(), self._attendance.losses()
        found = dict.fromkeys(SUMMED, 0.0)
        for name, weight, loss in zip([*self._members, "mixture"], [*worth, 1.0], losses, strict=True):
            found |= {f"weight.{name}": weight, f"loss.{name}": loss}
        found |= {f"asleep.{name}": float(sleeps) for name, sleeps in zip(self._members, self._silent(), strict=True)}
        for part, member in self._members.items():
            for name, value in member.reports().items():
                measure, dot, rest = name.partition(".")
                key = name if name in SUMMED else f"{measure}.{part}{dot}{rest}"
                found[key] = found.get(key, 0.0) + value if name in SUMMED else value
        return found
