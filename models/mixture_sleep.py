"""Members of a mixture that would not be missed sleep, and are tried now and then: :class:`Sleep`.

A member that sleeps neither answers nor learns, and so costs nothing. Its weights in the mixing stay what they were,
for what stands in for its answer says nothing. Who sleeps follows from counted rows and from what members were worth,
so it is the same again after a restart. One falls asleep at a time, for of two that answer alike one would be missed if
the other slept. Naps grow longer each time that a trial ends in vain, and when errors rise all of a sudden everybody is
woken, for another may be the right one now.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from models.lagged import Sent, send
from models.learner import Json

LOOK = 1_024  # rows after which it is looked who is worth something; the unit of the times below
LEAST_USE = 1.0  # of a member, as :meth:`models.mixing.Mixing.use` returns it
PATIENCE = 4  # looks of no use before a nap, and since another fell asleep,
TRIAL = 3  # and after a nap; the first still sees what use it was in its sleep
FIRST_NAP, LONGEST_NAP = 8, 64
ALARM = 1.25  # times its usual level that the error is when everybody is woken
USUAL = 0.1  # that one look's level counts in the usual one


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
        What was measured at the last look: members' use, and last the error's level. It is read at the next one, when
        it has long come from the device, so that nothing waits.
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
        """Count rows that were learned, and look when it is time; return whether somebody fell asleep or woke."""
        self.rows += rows
        looks, self.rows = divmod(self.rows, LOOK)
        if not looks:
            return False
        seen, self.noted = self.noted, send(measure().double())
        if seen is None:
            return False
        before = self.asleep
        *use, level = seen.read().tolist()
        alarm = level > ALARM * self.usual > 0
        self.usual = level if alarm or not self.usual else self.usual + USUAL * (level - self.usual)
        tired: list[tuple[float, Member]] = []
        for member, useful, sleepless in zip(self.members, use, self.sleepless, strict=True):
            if alarm:
                member.quiet, member.nap, member.left = 0, FIRST_NAP, 0
            elif member.left:
                member.left = max(member.left - looks, 0)
                member.quiet = PATIENCE - TRIAL
            elif useful >= LEAST_USE or sleepless:
                member.quiet, member.nap = 0, FIRST_NAP
            else:
                member.quiet += looks
                if member.quiet >= PATIENCE:
                    tired.append((useful, member))
        if tired:
            self._put_to_sleep(min(tired, key=lambda pair: pair[0])[1])
        return before != self.asleep

    def _put_to_sleep(self, chosen: Member) -> None:
        """Have one sleep; the others are judged anew without it."""
        for member in self.members:
            member.quiet = 0
        chosen.left, chosen.nap = chosen.nap, min(2 * chosen.nap, LONGEST_NAP)

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`restore` reads, but for what was noted."""
        return {"members": [asdict(member) for member in self.members], "rows": self.rows, "usual": self.usual}

    def restore(self, saved: Json, noted: Tensor | None) -> None:
        """Become what :meth:`to_json` described."""
        self.members = [Member(**member) for member in saved["members"]]
        self.rows, self.usual = saved["rows"], saved["usual"]
        self.noted = None if noted is None else Sent(noted.cpu())
