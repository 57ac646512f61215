"""The kinds of cycle: who runs, how it is killed, and what must be seen of it. Each leaves no trainer running."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from signal import Signals

from tests.integration.faults import points, trainer
from tests.integration.faults.place import LEASE_SECONDS, Place
from tests.integration.faults.points import Plan, Role
from tests.integration.faults.processes import Child, wait_until

RANDOM = "at a random time"
"""What stands for a kill from outside, in the place of a point."""

_STANDING = {**points.JOURNAL, **points.PUBLICATION, **points.CHECKPOINT, **points.BETWEEN, **points.RECOVERY}


@dataclass
class Cycles:
    """Runs cycles in one place.

    Attributes
    ----------
    place, random
        Where, and what everything is drawn from.
    kills
        Point → how often a process was killed (or frozen) there.
    problems
        What must not have happened.
    """

    place: Place
    random: Random
    kills: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    _told: int = 0

    def run(self) -> str:
        """Run one cycle of a kind that is drawn; return its name."""
        kinds: dict[Callable[[], None], int] = {
            self.alone: 58,
            self.at_random: 14,
            self.standby: 10,
            self.frozen: 5,
            self.reader: 7,
        }
        # An orderly end cuts the microbatch in hand short, so that sizes alone would no longer say what was learned.
        if self.place.variety == "timeouts":
            kinds[self.ending] = 6
        (kind,) = self.random.choices(list(kinds), list(kinds.values()))
        kind()
        self._count_kills()
        return kind.__name__

    def alone(self) -> None:
        """A trainer that has the model to itself is killed at a point, or at a random time if it does not get there."""
        torn = points.TORN if self.place.variety == "timeouts" else {}
        child = self.start(self._plan({**points.ALONE, **torn}))
        self._let_die(child, self.random.uniform(1.0, 2.0))

    def at_random(self) -> None:
        """A trainer is killed at whatever it does: often while it still recovers."""
        child = self.start(None)
        self._let_die(child, 0.7 * self.random.random() ** 2)

    def standby(self) -> None:
        """The owner is killed, and so is the standby while it takes over."""
        owner = self.start(self._plan(points.ALONE))
        standby = self.start(self._plan(points.TAKE_OVER))
        self._let_die(owner, self.random.uniform(0.1, 0.6))
        self._let_die(standby, self.random.uniform(0.2, 0.8))

    def frozen(self) -> None:
        """The owner stands still at a point, is taken over from, and wakes up: it must find itself fenced out."""
        owner = self.start(self._plan(_STANDING, Signals.SIGSTOP))
        if not wait_until(lambda: bool(self._lines()) or owner.ended(), self.random.uniform(0.3, 0.9)):
            owner.signal(Signals.SIGSTOP)
            self.kills[f"{RANDOM}, frozen"] += 1
        standby = self.start(None)
        if not wait_until(lambda: self._owner() == standby.pid or standby.ended(), LEASE_SECONDS + 10):
            self._report_stuck(standby, "a standby did not take over from a trainer that stands still")
        self._pass_time(0.3)
        owner.signal(Signals.SIGCONT)
        self._pass_time(0.2)
        if self.random.random() < 0.5:
            self._let_die(standby, 0)
            # The former owner stands by in its turn, and goes on.
            if not wait_until(lambda: self._owns_awake(owner), LEASE_SECONDS + 10):
                self._report_stuck(owner, "a trainer that was fenced out did not take over again")
            self._pass_time(0.2)
        self._let_die(owner, 0)
        self._let_die(standby, 0)

    def reader(self) -> None:
        """The program that reads is killed; the trainer starts another one, and is killed later."""
        child = self.start(self._plan(points.READER, role="reader"), processes=1)
        wait_until(lambda: bool(self._lines()) or child.ended(), 0.8)
        self._pass_time(1.2)
        self._let_die(child, 0)

    def ending(self) -> None:
        """A trainer that was told to end is killed while it does."""
        child = self.start(self._plan(points.ENDING) if self.random.random() < 0.8 else None)
        self._pass_time(0.6)
        child.signal(Signals.SIGTERM)
        if not child.wait(20):
            self._report_stuck(child, "a trainer that was told to end did not")
        if child.status not in (0, -Signals.SIGKILL):
            self._report(child)

    def undisturbed(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        """Have a trainer run until `condition`, and end it in order."""
        # Without a checkpoint before the end: everything that is journaled must still be there afterwards.
        child = self.start(None, every_seconds=3600)
        if not wait_until(lambda: condition() or child.ended(), seconds):
            self._report_stuck(child, "a trainer that nobody disturbed did not learn everything")
        child.signal(Signals.SIGTERM)
        child.wait(30)
        if child.status != 0:
            self._report(child)

    def first(self) -> None:
        """Have the model begin to be: killed when its first checkpoint is there and the journal before it still is."""
        self._let_die(self.start(Plan("checkpoint saved before", 1)), 60)

    def remade(self) -> None:
        """Have the product's own command make the last checkpoints again, out of earlier ones and the journal."""
        child = Child(lambda: trainer.verify(self.place))
        if not child.wait(120) or child.status != 0:
            self._report(child)

    def start(self, plan: Plan | None, processes: int | None = None, every_seconds: float | None = None) -> Child:
        """Start a trainer."""
        if processes is None:
            processes = int(self.random.random() < 0.3)
        drawn = self.random.choice((0.1, 0.1, 0.2, 0.6))
        settings = self.place.settings(every_seconds=every_seconds or drawn, processes=processes)
        return Child(lambda: trainer.run(self.place, settings, plan))

    def _plan(self, among: Mapping[str, int], signal: Signals = Signals.SIGKILL, role: Role = "trainer") -> Plan:
        point = self.random.choice(list(among))
        return Plan(point, self.random.randint(1, among[point]), signal, role)

    def _let_die(self, child: Child, seconds: float) -> None:
        """Give a trainer time to die by plan, then kill it; it may not end in any other way."""
        child.wait(seconds)
        if child.kill():
            self.kills[RANDOM] += 1
        if child.status != -Signals.SIGKILL:
            self._report(child)

    def _report(self, child: Child) -> None:
        log = (self.place.folder / "trainers.log").read_text(errors="replace")
        self.problems.append(f"a trainer ended with status {child.status}: {log[-3000:]}")

    def _report_stuck(self, child: Child, what: str) -> None:
        """Have a trainer say where it is."""
        child.signal(Signals.SIGUSR1)
        child.wait(1)
        log = (self.place.folder / "trainers.log").read_text(errors="replace")
        self.problems.append(f"{what}: {log[-3000:]}")

    def _pass_time(self, seconds: float) -> None:
        wait_until(lambda: False, self.random.uniform(0, seconds))

    def _lines(self) -> list[str]:
        """Return the kills at points since the last cycle."""
        if not self.place.kills.exists():
            return []
        return self.place.kills.read_text().splitlines()[self._told :]

    def _count_kills(self) -> None:
        lines = self._lines()
        self._told += len(lines)
        self.kills.update(lines)

    def _owns_awake(self, child: Child) -> bool:
        """Return whether a trainer owns the model, or has ended; one that came to its point only now is woken up."""
        child.signal(Signals.SIGCONT)
        return self._owner() == child.pid or child.ended()

    def _owner(self) -> int:
        """Return the process that made the newest claim; 0 where it is not written out."""
        newest = max((self.place.model / "lease").iterdir(), key=lambda path: int(path.name))
        try:
            return int(json.loads(newest.read_text())["process"]["pid"])
        except (OSError, ValueError):
            return 0
