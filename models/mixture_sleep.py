"""Members of a mixture that would not be missed sleep, and are tried now and then: :class:`Sleep`.

A member that sleeps neither answers nor learns, and so costs nothing. Its weights in the mixing stay what they were,
for what stands in for its answer says nothing. Who sleeps follows from counted rows and from what members were worth,
so it is the same again after a restart. Of two that answer alike one would be missed if the other slept: so each is
judged by what it adds to those that are awake, and several fall asleep together only if they are not missed together.
Naps grow longer each time that a trial ends in vain, and when errors rise all of a sudden everybody is woken, for
another may be the right one now.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.lagged import Sent, Vector, send
from models.learner import Json

LOOK = 256  # rows after which it is looked who is worth something; the unit of the times below
LEAST_USE = 1.0  # of a member: see :meth:`Standing.missed`
PATIENCE = 8  # looks of no use before a nap,
TRIAL = 9  # and after a nap; the first still sees what use it was in its sleep
FIRST_NAP, LONGEST_NAP = 32, 256
ALARM = 1.25  # times its usual level that the error is when everybody is woken
USUAL = 0.03  # that one look's level counts in the usual one


class Standing(NamedTuple):
    """What members are to a mixture.

    Attributes
    ----------
    curvature, weights
        Of the loss by the members' weights, and these; float64, shapes (members, members) and (members,).
    shares
        float64, shape (members,).
    level
        Of the error.
    inertia
        What of the curvature's diagonal is not the loss's, but holds weights where they began.
    """

    curvature: NDArray[np.float64]
    weights: Vector
    shares: Vector
    level: float
    inertia: float = 0.0

    @classmethod
    def read(cls, vector: Vector) -> "Standing":
        """Return what :meth:`models.mixing.Mixing.standing` wrote, a vector of (members + 1)² + 1 numbers.

        States of before the inertia was told apart lack the last one.
        """
        members = math.isqrt(len(vector)) - 1
        curvature, weights, shares, rest = np.split(vector, np.cumsum([members**2, members, members]))
        return cls(curvature.reshape(members, members), weights, shares, float(rest[0]), float(rest[1:].sum()))

    def missed(self, without: Sequence[bool]) -> Vector:
        """Return how much each member would be missed, shape (members,); below 1, hardly.

        Where weights decide, it is by how much the loss would rise if its weight were 0 and the others made the best of
        it: ½ w² / (H⁻¹)ᵢᵢ, as in optimal brain surgeon (Hassibi and Stork 1993), less what of that is no loss, but that
        the others are moved from where they began: of twins, neither is missed. Where shares decide, it is its share.

        Parameters
        ----------
        without
            Those that are not there: all others have made the best of that already.
        """
        gone = np.array(without)
        left = ~gone
        inverse = np.linalg.inv(self.curvature[np.ix_(left, left)])
        weights = self.weights[left] + inverse @ self.curvature[np.ix_(left, gone)] @ self.weights[gone]
        found = np.zeros(len(gone))
        own = inverse.diagonal()
        risen = 0.5 * weights**2 * (1 / own - self.inertia * (inverse**2).sum(0) / own**2)
        found[left] = np.fmax(risen, self.shares[left])
        return found


@dataclass
class Member:
    """One member's sleep.

    Attributes
    ----------
    quiet
        Looks in a row at which it was of little use.
    nap
        How long it sleeps next time.
    left
        Of its nap; 0 while it is awake.
    """

    quiet: int = 0
    nap: int = FIRST_NAP
    left: int = 0


@dataclass
class Sleep:
    """Who sleeps.

    Attributes
    ----------
    sleepless
        For each member whether it never sleeps, because it costs next to nothing.
    members
        Of each its sleep.
    rows
        Since the last look.
    usual
        Level of the error; 0 before it was known.
    noted
        What was measured at the last look: see :class:`Standing`. It is read at the next one, when it has long come
        from the device, so that nothing waits.
    """

    sleepless: Sequence[bool]
    members: list[Member] = field(default_factory=list)
    rows: int = 0
    usual: float = 0.0
    noted: Sent | None = None

    def __post_init__(self) -> None:
        """Begin with all awake."""
        self.members = self.members or [Member() for _ in self.sleepless]

    @property
    def asleep(self) -> list[bool]:
        """Return for each member whether it sleeps."""
        return [member.left > 0 for member in self.members]

    def count(self, rows: int, measure: Callable[[], Tensor]) -> bool:
        """Count rows that were learned, and look when it is time; return whether somebody fell asleep or woke.

        Parameters
        ----------
        rows
            How many.
        measure
            Returns what :class:`Standing` reads, on the device.
        """
        self.rows += rows
        looks, self.rows = divmod(self.rows, LOOK)
        if not looks:
            return False
        seen, self.noted = self.noted, send(measure())
        if seen is None:
            return False
        before, standing = self.asleep, Standing.read(seen.read())
        alarm = standing.level > ALARM * self.usual > 0
        self.usual = standing.level if alarm or not self.usual else self.usual + USUAL * (standing.level - self.usual)
        if alarm:
            self.members = [Member() for _ in self.members]
        else:
            self._rest(standing, looks)
        return before != self.asleep

    def wake(self) -> None:
        """Have everybody be awake, and forget what was measured: members have been away."""
        self.members, self.noted = [Member() for _ in self.members], None

    def _rest(self, standing: Standing, looks: int) -> None:
        """Have those wake whose nap is over, and those sleep that were of no use for long."""
        use = standing.missed(self.asleep)
        for member, useful, sleepless in zip(self.members, use, self.sleepless, strict=True):
            if member.left:
                member.left = max(member.left - looks, 0)
                member.quiet = PATIENCE - TRIAL
            elif useful >= LEAST_USE or sleepless:
                member.quiet, member.nap = 0, FIRST_NAP
            else:
                member.quiet += looks
        spent = 0.0
        while True:
            tired = [place for place, member in enumerate(self.members) if member.quiet >= PATIENCE]
            chosen = min(tired, key=lambda place: float(use[place]), default=None)
            if chosen is None or not spent + use[chosen] < LEAST_USE:
                return
            spent += float(use[chosen])
            member = self.members[chosen]
            member.quiet, member.left, member.nap = 0, member.nap, min(2 * member.nap, LONGEST_NAP)
            use = standing.missed(self.asleep)

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`restore` reads, but for what was noted."""
        return {"members": [asdict(member) for member in self.members], "rows": self.rows, "usual": self.usual}

    def restore(self, saved: Json, noted: Tensor | None) -> None:
        """Become what :meth:`to_json` described."""
        self.members = [Member(**member) for member in saved["members"]]
        self.rows, self.usual = saved["rows"], saved["usual"]
        self.noted = None if noted is None else Sent(noted.cpu())
