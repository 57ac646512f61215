"""Another expert in place of one whose concept is gone: :class:`Succession`, what ``reset`` and ``background`` do.

It is an expert itself and stands where the one that it holds would stand: what it answers, publishes and says of itself
is that one's. With ``reset`` a new one, which knows nothing, follows at each drift. With ``background`` a new one
learns beside from the first suspicion on, as the trees of an adaptive random forest do (Gomes et al., Machine Learning
2017), and follows only where drift is certain and it has been clearly the better of the two of late: so a false alarm
costs nothing but time.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from models.drift import Signs
from models.drift_options import Reaction
from models.examples import Kind
from models.expert import Encoded, Expert, Space, Tensors
from models.lagged import Lagged
from models.learner import Json
from models.moments import OUTLIER
from models.names import under
from models.touched import Ranges

HALF_LIFE = 128.0  # rows after which a loss counts half in what an expert has been of late
BETTER = 0.8  # times the loss of the other that one must have to follow it: a little better may be chance
LEAST = 256  # rows that one has learned before it may follow: fewer say little
EARLY = 128  # rows before a drift that one may have begun: it has hardly learned what is gone
UNCONFIRMED = 1000  # rows after which a suspicion that nothing has confirmed is dropped, and what began with it,
MOST = 5000  # and rows after which a successor is given up that has not become better
SURPRISE = 13.8  # the loss of a class with probability 0, or less than 1e-6: as in the scores
BESIDE = "beside-"  # begins the names of segments of the one that learns beside


class Succession:
    """See :class:`models.expert.Expert`, and the module.

    Parameters
    ----------
    make
        Makes an expert that knows nothing.
    react
        ``reset`` or ``background``.
    device
        Of the experts.
    """

    def __init__(self, make: Callable[[], Expert], react: Reaction, device: torch.device) -> None:
        self._make, self._react, self._device = make, react, device
        self.current = make()
        self.table_kinds: Sequence[frozenset[Kind]] = self.current.table_kinds
        self.uses_raw = self.current.uses_raw
        self.spare = self.current.spare
        self.cheap = self.current.cheap
        self._space: Space | None = None
        self._forget_beside()

    def _forget_beside(self) -> None:
        """Go on with one expert alone."""
        self._beside: Expert | None = None
        self._certain = False
        self._rows = 0
        self._losses = [0.0, 0.0]
        self._underway = Lagged(self._device)

    def react(self, signs: Signs) -> bool:
        """Do what follows from signs of drift; return whether another expert answers from now on."""
        if self._space is None:
            return False
        if self._react == "reset":
            if signs.certain:
                self.current = self._fresh(self._space)
            return bool(signs.certain)
        # One that began long before the drift has learned the concept that is gone.
        oldest = UNCONFIRMED if self._certain else EARLY
        if (signs.certain and self._rows > oldest) or (self._beside is None and any(signs)):
            self._forget_beside()
            self._beside = self._fresh(self._space)
        self._certain = self._certain or bool(signs.certain)
        return self._follows()

    def _fresh(self, space: Space) -> Expert:
        """Return an expert that knows nothing, with room for all that is known."""
        expert = self._make()
        expert.grow(space)
        return expert

    def _follows(self) -> bool:
        """Have the one beside follow where that is due, or give it up; return whether it has followed."""
        better = self._losses[1] < BETTER * self._losses[0]
        if self._beside is not None and self._certain and self._rows >= LEAST and better:
            self.current = self._beside
            self._forget_beside()
            return True
        if self._rows >= (MOST if self._certain else UNCONFIRMED):
            self._forget_beside()
        return False

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

    def answers(self, rows: Encoded, prior: Tensor) -> Tensor:
        """See :class:`models.expert.Expert`."""
        return self.current.answers(rows, prior)

    def learn(self, rows: Encoded, targets: Tensor, weights: Tensor, prior: Tensor, answered: Tensor | None) -> None:
        """See :class:`models.expert.Expert`."""
        if self._beside is not None:
            mine = self.current.answers(rows, prior) if answered is None else answered
            other = self._beside.answers(rows, prior)
            self._compare(torch.stack([_loss(each, targets, weights) for each in (mine, other)]), len(targets))
            self._beside.learn(rows, targets, weights, prior, other)
        self.current.learn(rows, targets, weights, prior, answered)

    def _compare(self, losses: Tensor, rows: int) -> None:
        """Take in the mean losses of the two over some rows, or those of a few microbatches before."""
        sent = torch.cat([losses.double(), torch.full((1,), float(rows), dtype=torch.float64, device=losses.device)])
        for mine, other, count in self._underway.exchange(sent):
            self._rows += int(count)
            share = 1.0 if self._rows == count else 1 - 0.5 ** (float(count) / HALF_LIFE)
            found = (float(mine), float(other))
            self._losses = [old + share * (new - old) for old, new in zip(self._losses, found, strict=True)]

    def published(self) -> dict[str, Tensor]:
        """See :class:`models.expert.Expert`."""
        return self.current.published()

    def changed(self) -> Mapping[str, Ranges]:
        """See :class:`models.expert.Expert`: of the one that answers; whoever publishes knows that it is another."""
        return self.current.changed()

    def describe(self) -> dict[str, Any]:
        """See :class:`models.expert.Expert`."""
        return self.current.describe()

    def attach(self, description: Json, tensors: Tensors) -> None:
        """See :class:`models.expert.Expert`."""
        self.current.attach(description, tensors)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :class:`models.expert.Expert`: what the one that answers can be restored from alone, and more."""
        meta, tensors = self.current.state()
        if self._beside is None:
            return meta, tensors
        beside, others = self._beside.state()
        lengths, underway = self._underway.state()
        more = {
            "expert": beside,
            "certain": self._certain,
            "rows": self._rows,
            "losses": self._losses,
            "underway": [lengths, underway.tolist()],
        }
        return {**meta, "beside": more}, {**tensors, **{f"{BESIDE}{name}": tensor for name, tensor in others.items()}}

    def restore(self, meta: Json, tensors: Tensors, space: Space) -> None:
        """See :class:`models.expert.Expert`."""
        own = {name: tensor for name, tensor in tensors.items() if not name.startswith(BESIDE)}
        self.current.restore({name: value for name, value in meta.items() if name != "beside"}, own, space)
        self._space = space
        self._forget_beside()
        found = meta.get("beside")
        if found is None or self._react != "background":
            return
        self._beside = self._make()
        self._beside.restore(found["expert"], under(BESIDE, tensors), space)
        self._certain, self._rows, self._losses = found["certain"], found["rows"], list(found["losses"])
        lengths, underway = found["underway"]
        self._underway.restore(lengths, torch.tensor(underway, dtype=torch.float64).numpy())

    def held(self) -> Sequence[Tensor]:
        """See :class:`models.expert.Expert`."""
        return self.current.held()

    def look_back(self) -> None:
        """See :class:`models.expert.Expert`."""
        for expert in self._experts():
            expert.look_back()

    def reports(self) -> dict[str, float]:
        """See :class:`models.expert.Expert`."""
        return self.current.reports()


def _loss(answers: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the mean log loss, or the mean absolute error in units of the target's scale; shape ()."""
    if targets.is_floating_point():
        losses = (answers[:, 0] - targets).abs().nan_to_num(OUTLIER).clamp(max=OUTLIER)
    else:
        chosen = answers.gather(1, targets.unsqueeze(1)).squeeze(1)
        losses = chosen.nan_to_num(-SURPRISE).clamp(-SURPRISE, 0.0).neg()
    return (losses * weights).sum() / weights.sum()
