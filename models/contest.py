"""A champion and its challengers as one learner: all learn the same microbatches, and the champion answers.

On the path it stands where a learner stands, so that checkpoints, the journal's replay, publication and the canary take
it for one. After the champion each challenger scores and learns the very same rows with the same effort; what each of
them answered before it learned is compared (``contest_pair.py``), and by the rules (``contest_rules.py``) a challenger
that is significantly better takes the champion's place within one update: what follows from state and log follows
again in a replay. A challenger that fails is put out and never harms the champion; that is for the service to write
down, as it may depend on more than state and log: see :meth:`Contest.take_news`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

import torch

from models import contest_state
from models.contest_contender import LEAST_SECONDS, LOOK_EVERY, MOST_SECONDS, Contender
from models.contest_pair import Pair
from models.contest_published import Arm, Merging
from models.contest_report import report
from models.contest_rules import FIRST, ContestRules
from models.contesting import News
from models.devices import choose_device
from models.effort import FULL, Effort
from models.errors import DeviceFailed, DeviceOutOfMemory
from models.examples import Examples, Features, Task
from models.learner import (
    Learner,
    LearnerOptions,
    LearnerState,
    LearnerStatus,
    LearnReport,
    Predictor,
    Published,
    Tested,
    Trial,
)

TRIED = 64  # microbatches after which a challenger's parameters are looked at, and rows that it is tried on

Result = TypeVar("Result")
MakeLearner = Callable[[LearnerOptions], Learner]


class Contest:
    """See :class:`models.learner.Learner`.

    Parameters
    ----------
    options
        Contender → what it is built from; :data:`models.contest_rules.FIRST` is the champion of the beginning.
    task
        What is predicted.
    make
        Builds a learner of that task.
    rules
        What makes a challenger the champion.

    Raises
    ------
    LearnerOptionsInvalid, NetworkInvalid

    Attributes
    ----------
    contenders
        In the order of `options`; those that were put out among them.
    champion
        Whose answers are served.
    seconds
        The log's time, as far as :meth:`tell_time` has told.
    """

    def __init__(
        self, options: Mapping[str, LearnerOptions], task: Task, make: MakeLearner, rules: ContestRules
    ) -> None:
        self.contenders = {name: Contender(name, each, make(each)) for name, each in options.items()}
        self.champion, self.rules, self.make = FIRST, rules, make
        self.seconds = 0.0
        self.microbatches = self.promotions = self.put_outs = 0
        self._task = task
        self._name = self.answering.name
        self._devices = {name: _device_of(each) for name, each in options.items()}
        self._news: list[News] = []
        self._merging = Merging(named=bool(self.rules.answers))
        self.begin_tests()

    @property
    def name(self) -> str:
        """See :class:`models.learner.Learner`: that of the configured learner, whoever is champion.

        The journal knows by it which updates are this learner's, and a stand-in's are not.
        """
        return self._name

    @property
    def task(self) -> Task:
        """See :class:`models.learner.Learner`."""
        return self._task

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

    def level_of(self, contender: Contender) -> float:
        """Return the level of the test that a contender undergoes."""
        return self.rules.level_of(max(contender.tests, 1), len(self.contenders))

    def tell_time(self, seconds: float) -> None:
        """Say how far the log's time has come, in seconds since the epoch; it never goes back."""
        self.seconds = max(self.seconds, seconds)

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:
        """See :class:`models.learner.Learner`: the champion first, then each challenger.

        Raises
        ------
        DeviceFailed
            The champion's, or that of all; what befalls a challenger alone puts it out.
        """
        champion = self.contenders[self.champion]
        with champion.pace.taken(len(examples)):
            learned = self.answering.learn(examples, effort)
        if not len(examples):
            return learned
        champion.rows += len(examples)
        self.microbatches += 1
        known = examples.known()
        # What was answered was the champion's answer.
        own = replace(examples, answered=None)
        for challenger, learner in self.challengers():
            tested = self._learn_beside(challenger, learner, own, effort)
            if learned.tested is not None and tested is not None and len(known):
                self._compare(challenger, learned.tested, tested, known)
        self._try_out(known)
        self._judge(known)
        return learned

    def _learn_beside(
        self, challenger: Contender, learner: Learner, examples: Examples, effort: Effort
    ) -> Tested | None:
        """Have a challenger learn; return what it answered, or nothing where that does not count (any more)."""
        settled = challenger.rows >= self.rules.begin_after
        with challenger.pace.taken(len(examples)):
            learned = self.guarded(challenger, lambda: learner.learn(examples, effort))
        if learned is None:
            return None
        challenger.rows += len(examples)
        return learned.tested if settled else None

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
            self._put_out(challenger, f"its device failed: {error}")
        # Whatever it is, it is the challenger's own affair.
        except Exception as error:  # noqa: BLE001
            self._put_out(challenger, f"it raised {type(error).__name__}: {error}"[:500])
        return None

    def _shares_device(self, challenger: Contender) -> bool:
        """Return whether what fails a challenger's device fails the champion's too."""
        return self._devices[challenger.name] == self._devices[self.champion]

    def _compare(self, challenger: Contender, champion: Tested, tested: Tested, known: Examples) -> None:
        assert challenger.pair is not None, "who learns beside undergoes a test"  # noqa: S101
        challenger.pair.compare(champion, tested, known.weights)
        if challenger.pair.wild:
            self._put_out(challenger, "it answered what is not a number")

    def _try_out(self, known: Examples) -> None:
        """Look at the challengers' parameters every so often, as the canary looks at the champion's."""
        if self.microbatches % TRIED == 0:
            for challenger, learner in list(self.challengers()):
                self._is_sound(challenger, learner, known)

    def _is_sound(self, challenger: Contender, learner: Learner, known: Examples) -> bool:
        """Return whether parameters and answers are finite; put out whose are not. May wait for the device."""
        features = known.features.slice(0, TRIED)
        trial = self.guarded(challenger, lambda: learner.try_out(features))
        if trial is not None and not trial.finite:
            self._put_out(challenger, "parameters or answers are not finite")
        return challenger.learner is not None

    def _judge(self, known: Examples) -> None:
        """Look who is significantly better, and have the best of them take the champion's place where it is time to."""
        best: Contender | None = None
        for challenger, _ in self.challengers():
            pair = challenger.pair
            assert pair is not None, "who learns beside undergoes a test"  # noqa: S101
            pair.judge(self.level_of(challenger), self.seconds)
            if pair.held(self.rules, self.seconds) and (
                best is None or best.pair is None or pair.sequence.mean > best.pair.sequence.mean
            ):
                best = challenger
            if self.rules.restart_events and pair.since is None and pair.sequence.count >= self.rules.restart_events:
                self.begin_test(challenger)
        if best is None or best.pair is None or best.learner is None or self.rules.promote != "when-significant":
            return
        if self._is_sound(best, best.learner, known):
            low = best.pair.sequence.interval(self.level_of(best)).low
            self.promote(best.name)
            self._news.append(News("promoted", best.name, f"its loss is smaller, by {low:.4g} at least"))

    def why_not(self, name: str) -> str:
        """Return why somebody cannot be made champion; empty where nothing is in the way."""
        contender = self.contenders.get(name)
        if contender is None:
            return f"nobody is called {name!r} here; there is {', '.join(self.contenders)}"
        return f"{name} was put out: {contender.out}" if contender.learner is None else ""

    def promote(self, name: str) -> None:
        """Have a challenger take the champion's place, which becomes a challenger; all tests begin anew."""
        if name == self.champion or self.why_not(name):
            return
        self.champion = name
        self.promotions += 1
        self._merging = Merging(named=bool(self.rules.answers))
        self.begin_tests()

    def put_out(self, name: str, reason: str) -> None:
        """Have a challenger learn and answer no more; what is out already stays so."""
        contender = self.contenders.get(name)
        if contender is not None and name != self.champion and contender.learner is not None:
            contender.put_out(reason)
            self.put_outs += 1

    def _put_out(self, challenger: Contender, reason: str) -> None:
        self.put_out(challenger.name, reason)
        self._news.append(News("put_out", challenger.name, reason))

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
        news, self._news = self._news, []
        return news

    def _put_out_slow(self) -> None:
        """Put out who takes far more time than the champion: looked at every so often, or as soon as it is much."""
        champion, due = self.contenders[self.champion].pace.recent, self.microbatches % LOOK_EVERY == 0
        for challenger, _ in list(self.challengers()):
            spent = challenger.pace.recent
            if spent > (LEAST_SECONDS if due else MOST_SECONDS) and spent > self.rules.slowest * champion:
                times = f"{spent / max(champion, 1e-9):.0f} times the champion's time"
                self._put_out(challenger, f"it is far too slow: {times}")
        if due:
            self._forget_pace()

    def _forget_pace(self) -> None:
        for each in self.contenders.values():
            each.pace.recent = 0.0

    def begin_tests(self) -> None:
        """Begin the test of everybody beside the champion anew."""
        self.contenders[self.champion].pair = None
        for challenger, _ in self.challengers():
            self.begin_test(challenger)

    def begin_test(self, challenger: Contender) -> None:
        """Begin somebody's test anew."""
        challenger.tests += 1
        challenger.pair = self.pair_for(challenger)

    def pair_for(self, challenger: Contender) -> Pair:
        """Return a test that knows nothing yet."""
        devices = [self._devices[name] for name in (self.champion, challenger.name)]
        device = next((each for each in devices if each.type == "cuda"), devices[0])
        return Pair(self._task, self.rules, challenger.tests, device)

    def predictor(self) -> Predictor:
        """See :class:`models.learner.Learner`: the champion's."""
        return self.answering.predictor()

    def try_out(self, features: Features, at_once: int = 0) -> Trial:
        """See :class:`models.learner.Learner`: the champion's."""
        return self.answering.try_out(features, at_once)

    def status(self) -> LearnerStatus:
        """See :class:`models.learner.Learner`: the champion's, and how all of them stand."""
        own = self.answering.status()
        return replace(own, contest=report(self, own))

    def arms(self) -> list[Arm]:
        """Return who answers some of the requests beside the champion."""
        return [
            Arm(each.name, self.rules.answers[each.name], learner)
            for each, learner in self.challengers()
            if self.rules.answers.get(each.name, 0.0) > 0 and each.rows >= self.rules.begin_after
        ]

    def state(self) -> LearnerState:
        """See :class:`models.learner.Learner`: the champion's, and what more there is."""
        return contest_state.save(self)

    def restore(self, state: LearnerState) -> None:
        """See :class:`models.learner.Learner`: of a contest, or of a learner that was alone and gets challengers."""
        contest_state.load(self, state)
        self._news, self._merging = [], Merging(named=bool(self.rules.answers))

    def forget_scores(self) -> None:
        """See :class:`models.learner.Learner`: the tests begin anew too."""
        self.answering.forget_scores()
        for _, learner in self.challengers():
            learner.forget_scores()
        self.begin_tests()

    def published(self, *, flush: bool = False) -> Published:
        """See :class:`models.learner.Learner`: the champion's, and those of who answers some of the requests."""
        return self._merging.make(self.champion, self.answering, self.arms(), flush=flush)


def _device_of(options: LearnerOptions) -> torch.device:
    """Return where a contender learns."""
    return torch.device("cpu") if options.kind == "online" else choose_device(options.device)
