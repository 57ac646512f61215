"""Another expert in place of one whose concept is gone: :class:`Succession`, what ``reset`` and ``background`` do.

It is an expert itself and stands where the one that it holds would stand. With ``reset`` a new one, which knows
nothing, follows at each drift. With ``background``, which ``auto`` has unless told otherwise, a newcomer learns beside
from the drift on, as the trees of an adaptive random forest do (Gomes et al., Machine Learning 2017); the two answer
together, and the better one stays (``drift_duel.py``). A newcomer that has been in vain is followed by a pause, so that
a stream whose errors rise again and again without a new concept does not have all things learned twice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from models.drift_duel import Duel
from models.drift_options import Reaction
from models.effort import FULL, Effort
from models.examples import Kind, Task
from models.expert import Encoded, Expert, Space, Tensors
from models.latest import Latest
from models.learner import Json
from models.mixing_classes import widened
from models.names import beneath, under
from models.touched import Ranges

EARLY = 128  # rows within which a further drift is the same one
FIRST_PAUSE, LONGEST_PAUSE = 2_000, 16_000  # rows without a newcomer after one that was in vain; each is twice as long
BESIDE = "beside-"  # begins the names of what is the newcomer's
DUEL = "beside-duel/"  # and of what is the two's
KEY = "beside"  # of what is said of them, in what is said of the elder
NEWCOMER = "newcomer"  # what it is called in reports


@dataclass
class Pause:
    """When no newcomer begins.

    Attributes
    ----------
    left
        Rows of it.
    following
        Rows of the next one.
    alarmed
        Whether there was a drift in it: a newcomer then begins when it is over.
    """

    left: int = 0
    following: int = FIRST_PAUSE
    alarmed: bool = False

    def begin(self) -> None:
        """Begin one; the next is longer."""
        self.left, self.following = self.following, min(2 * self.following, LONGEST_PAUSE)


class Succession:
    """See :class:`models.expert.Expert`, and the module.

    Parameters
    ----------
    make
        Makes an expert that knows nothing.
    react
        ``reset`` or ``background``.
    task
        What is predicted.
    loss
        As in :class:`models.learner.LearnerOptions`.
    device
        Of the experts.
    """

    def __init__(
        self, make: Callable[[], Expert], react: Reaction, task: Task, loss: str, device: torch.device
    ) -> None:
        self._make, self._react, self._task, self._loss, self._device = make, react, task, loss, device
        self.current = make()
        self.table_kinds: Sequence[frozenset[Kind]] = self.current.table_kinds
        self.uses_raw = self.current.uses_raw
        self.spare = self.current.spare
        self.cost = self.current.cost
        self._space: Space | None = None
        self._prior: Tensor | None = None
        self._pause = Pause()
        self._end()

    def _end(self) -> None:
        """Go on with one expert alone."""
        self._beside: Expert | None = None
        self._duel: Duel | None = None
        self._latest = Latest[tuple[list[Tensor], Tensor]]()

    def react(self, drifts: int, effort: Effort = FULL) -> bool:
        """Do what follows from so many drifts, often none; return whether others answer from now on.

        With so little effort that dear experts stay away a newcomer, which costs as much as the elder, has to wait.
        """
        if self._space is None:
            return False
        if self._react == "reset":
            if drifts:
                self.current = self._fresh(self._space)
            return bool(drifts)
        changed = self._decide(again=bool(drifts))
        self._pause.alarmed = self._pause.alarmed or (bool(drifts) and self._beside is None)
        if self._pause.alarmed and not self._pause.left and effort.dearest is FULL.dearest:
            self._pause.alarmed = False
            self._beside, self._duel = self._fresh(self._space), Duel(self._task, self._loss, self._device)
            changed = True
        return changed

    def _fresh(self, space: Space) -> Expert:
        """Return an expert that knows nothing, with room for all that is known."""
        expert = self._make()
        expert.grow(space)
        return expert

    def _decide(self, *, again: bool) -> bool:
        """Have one of two go where it is clear which; return whether it did.

        Where there is drift `again`, a newcomer that has been the better one stays: it is the elder of the next.
        """
        if self._duel is None or self._beside is None:
            return False
        stays = self._duel.newcomer_stays()
        if stays is None and again and self._duel.rows > EARLY and self._duel.newcomer_is_better:
            stays = True
        if stays is None:
            return False
        if stays:
            self.current, self._pause = self._beside, Pause()
        else:
            self._pause.begin()
        self._end()
        return True

    def grow(self, space: Space) -> None:
        """See :class:`models.expert.Expert`."""
        self._space = space
        for expert in self._experts():
            expert.grow(space)

    def _experts(self) -> list[Expert]:
        return [self.current] if self._beside is None else [self.current, self._beside]

    def renew(self, inputs: Sequence[int], raws: Sequence[int]) -> None:
        """See :class:`models.expert.Expert`."""
        for expert in self._experts():
            expert.renew(inputs, raws)

    def rescale(self, factor: float, shift: float) -> None:
        """See :class:`models.expert.Expert`."""
        for expert in self._experts():
            expert.rescale(factor, shift)
        if self._duel is not None:
            self._duel.rescale(factor)

    def answers(self, rows: Encoded, prior: Tensor) -> Tensor:
        """See :class:`models.expert.Expert`."""
        if self._duel is None:
            return self.current.answers(rows, prior)
        each = [expert.answers(rows, prior) for expert in self._experts()]
        cleaned = self._duel.clean(each, prior)
        mixed = self._duel.answer(cleaned)
        self._latest.keep(mixed, (each, cleaned))
        return mixed

    def learn(self, rows: Encoded, targets: Tensor, weights: Tensor, prior: Tensor, answered: Tensor | None) -> None:
        """See :class:`models.expert.Expert`."""
        self._pause.left = max(self._pause.left - len(targets), 0)
        known, self._prior = self._prior, prior
        if self._duel is None:
            self.current.learn(rows, targets, weights, prior, answered)
            return
        latest = self._latest.take(answered)
        each: Sequence[Tensor | None]
        if latest is not None:
            each, cleaned = latest
        else:  # neither has learned these rows yet, so it is still what they would have answered
            before = widened(known, prior)
            cleaned = self._duel.clean([expert.answers(rows, before) for expert in self._experts()], before)
            each = [None, None]
        self._duel.learn(cleaned, targets, weights)
        for expert, own in zip(self._experts(), each, strict=True):
            expert.learn(rows, targets, weights, prior, own)

    def published(self) -> dict[str, Tensor]:
        """See :class:`models.expert.Expert`: of the one that answers alone, or of two."""
        if self._beside is None or self._duel is None:
            return self.current.published()
        beside, own = beneath(BESIDE, self._beside.published()), beneath(DUEL, self._duel.published())
        return {**self.current.published(), **beside, **own}

    def changed(self) -> Mapping[str, Ranges]:
        """See :class:`models.expert.Expert`; whoever publishes knows when others answer."""
        changed = self.current.changed()
        if self._beside is None:
            return changed
        return {**changed, **beneath(BESIDE, self._beside.changed())}

    def describe(self) -> dict[str, Any]:
        """See :class:`models.expert.Expert`."""
        description = self.current.describe()
        return description if self._beside is None else {**description, KEY: self._beside.describe()}

    def attach(self, description: Json, tensors: Tensors) -> None:
        """See :class:`models.expert.Expert`."""
        self._end()
        own = _elders(tensors)
        self.current.attach({name: value for name, value in description.items() if name != KEY}, own)
        if KEY in description:
            self._beside, self._duel = self._make(), Duel(self._task, self._loss, self._device)
            self._beside.attach(description[KEY], _newcomers(tensors))
            self._duel.attach(under(DUEL, tensors))

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :class:`models.expert.Expert`: what the one that answers can be restored from alone, and more."""
        meta, tensors = self.current.state()
        more: dict[str, Any] = {"pause": asdict(self._pause)}
        found = dict(tensors)
        if self._prior is not None:
            found |= beneath(DUEL, {"prior": self._prior})
        if self._beside is not None and self._duel is not None:
            more["expert"], others = self._beside.state()
            more["duel"], own = self._duel.state()
            found |= beneath(BESIDE, others) | beneath(DUEL, own)
        return {**meta, KEY: more}, found

    def restore(self, meta: Json, tensors: Tensors, space: Space) -> None:
        """See :class:`models.expert.Expert`."""
        own = _elders(tensors)
        self.current.restore({name: value for name, value in meta.items() if name != KEY}, own, space)
        self._space, self._prior, self._pause = space, tensors.get(f"{DUEL}prior"), Pause()
        self._end()
        found = meta.get(KEY, {})
        if self._react != "background" or "pause" not in found:
            return
        self._pause = Pause(**found["pause"])
        if "duel" in found:
            self._beside, self._duel = self._make(), Duel(self._task, self._loss, self._device)
            self._beside.restore(found["expert"], _newcomers(tensors), space)
            self._duel.restore(found["duel"], under(DUEL, tensors))

    def held(self) -> Sequence[Tensor]:
        """See :class:`models.expert.Expert`."""
        own = [] if self._duel is None else [self._duel.shares]
        return [*own, *(tensor for expert in self._experts() for tensor in expert.held())]

    def look_back(self) -> None:
        """See :class:`models.expert.Expert`."""
        for expert in self._experts():
            expert.look_back()

    def reports(self) -> dict[str, float]:
        """See :class:`models.expert.Expert`: of the elder, and what share of the answer is the newcomer's."""
        own = {} if self._duel is None else {f"weight.{NEWCOMER}": float(self._duel.shares[0, 1].exp())}
        return {**self.current.reports(), **own}


def published_expert(
    make: Callable[[], Expert], task: Task, loss: str, device: torch.device, description: Json
) -> Expert:
    """Return an expert for what was described to be attached to: one, or two that answer together."""
    return Succession(make, "background", task, loss, device) if KEY in description else make()


def _elders(tensors: Tensors) -> Tensors:
    """Return, of all tensors, those of the expert that was there first."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(BESIDE)}


def _newcomers(tensors: Tensors) -> Tensors:
    """Return, of all tensors, those of the newcomer."""
    return under(BESIDE, {name: tensor for name, tensor in tensors.items() if not name.startswith(DUEL)})
