"""Those who learn the same stream, and who of them is out: :class:`Field`, what a contest is without its tests.

On the path it stands around whatever a challenger does: what it raises, and what it takes too long for, is its own
affair and puts it out, so that the champion learns on as if it were alone.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import torch

from models.contest_contender import LEAST_SECONDS, LOOK_EVERY, MOST_SECONDS, Contender
from models.contest_rules import FIRST, ContestRules
from models.contesting import News
from models.devices import choose_device
from models.errors import DeviceFailed, DeviceOutOfMemory
from models.learner import Learner, LearnerOptions

Result = TypeVar("Result")
MakeLearner = Callable[[LearnerOptions], Learner]


class Field:
    """A champion, and challengers of whom some may be out.

    Parameters
    ----------
    options
        Contender → what it is built from; :data:`models.contest_rules.FIRST` is the champion of the beginning.
    make
        Builds a learner.
    rules
        What puts one out.

    Attributes
    ----------
    contenders
        In the order of `options`; those that were put out among them.
    champion
        Whose answers are served.
    microbatches, put_outs
        How many were learned, and how many challengers were put out.
    """

    def __init__(self, options: Mapping[str, LearnerOptions], make: MakeLearner, rules: ContestRules) -> None:
        self.contenders = {name: Contender(name, each, make(each)) for name, each in options.items()}
        self.champion, self.rules, self.make = FIRST, rules, make
        self.microbatches = self.put_outs = 0
        self.news: list[News] = []
        self._devices = {name: _device_of(each) for name, each in options.items()}

    @property
    def answering(self) -> Learner:
        """The champion's learner."""
        learner = self.contenders[self.champion].learner
        assert learner is not None, "a champion is never put out"  # noqa: S101
        return learner

    def challengers(self) -> Iterator[tuple[Contender, Learner]]:
        """Yield those beside the champion who learn, and their learners."""
        for each in self.contenders.values():
            if each.name != self.champion and each.learner is not None:
                yield each, each.learner

    def device_for(self, challenger: Contender) -> torch.device:
        """Return where a challenger is compared with the champion: on an accelerator where one of them is on one."""
        devices = [self._devices[name] for name in (self.champion, challenger.name)]
        return next((each for each in devices if each.type == "cuda"), devices[0])

    def guarded(self, challenger: Contender, act: Callable[[], Result]) -> Result | None:
        """Return what a challenger does; one that raises is put out, and nothing is returned.

        Raises
        ------
        DeviceFailed
            The device that the champion learns on as well.
        """
        try:
            return act()
        except DeviceFailed as error:
            if not isinstance(error, DeviceOutOfMemory) and self._shares_device(challenger):
                raise
            self.lose(challenger, f"its device failed: {error}")
        # Whatever it is, it is the challenger's own affair.
        except Exception as error:  # noqa: BLE001
            self.lose(challenger, f"it raised {type(error).__name__}: {error}"[:500])
        return None

    def _shares_device(self, challenger: Contender) -> bool:
        """Return whether what fails a challenger's device fails the champion's too."""
        return self._devices[challenger.name] == self._devices[self.champion]

    def put_out(self, name: str, reason: str) -> None:
        """Have a challenger learn and answer no more; what is out already stays so."""
        contender = self.contenders.get(name)
        if contender is not None and name != self.champion and contender.learner is not None:
            contender.put_out(reason)
            self.put_outs += 1

    def lose(self, challenger: Contender, reason: str) -> None:
        """Put a challenger out by itself: that is news."""
        self.put_out(challenger.name, reason)
        self.news.append(News("put_out", challenger.name, reason))

    def take_news(self, *, live: bool = True) -> list[News]:
        """Return what has happened since the last call; who was put out must be written down before it is published.

        Parameters
        ----------
        live
            Whether challengers that are far too slow are put out now: that goes by the clock, so not in a replay.
        """
        if live:
            self._put_out_slow()
        elif self.microbatches % LOOK_EVERY == 0:
            self._forget_pace()
        news, self.news = self.news, []
        return news

    def _put_out_slow(self) -> None:
        """Put out who takes far more time than the champion: looked at every so often, or as soon as it is much."""
        champion, due = self.contenders[self.champion].pace.recent, self.microbatches % LOOK_EVERY == 0
        for challenger, _ in list(self.challengers()):
            spent = challenger.pace.recent
            if spent > (LEAST_SECONDS if due else MOST_SECONDS) and spent > self.rules.slowest * champion:
                times = f"{spent / max(champion, 1e-9):.0f} times the champion's time"
                self.lose(challenger, f"it is far too slow: {times}")
        if due:
            self._forget_pace()

    def _forget_pace(self) -> None:
        for each in self.contenders.values():
            each.pace.recent = 0.0


def _device_of(options: LearnerOptions) -> torch.device:
    """Return where a contender learns."""
    return torch.device("cpu") if options.kind == "online" else choose_device(options.device)
