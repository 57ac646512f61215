"""A champion and its challengers as one learner: all learn the same microbatches, and the champion answers.

On the path it stands where a learner stands, so that checkpoints, the journal's replay, publication and the canary take
it for one. After the champion each challenger scores and learns the very same rows with the same effort; what each of
them answered before it learned is compared (``contest_pair.py``), and by the rules (``contest_rules.py``) a challenger
that is significantly better takes the champion's place within one update: what follows from state and log follows
again in a replay. A challenger that fails is put out and never harms the champion; that is for the service to write
down, as it may depend on more than state and log: see :meth:`Contest.take_news`.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from models import contest_state
from models.contest_contender import Contender
from models.contest_field import Field, MakeLearner
from models.contest_pair import Pair
from models.contest_published import Arm, Merging
from models.contest_report import report
from models.contest_rules import ContestRules
from models.contesting import Contesting, News
from models.effort import FULL, Effort
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


class Contest(Field, Contesting):
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
    seconds
        The log's time, as far as :meth:`tell_time` has told.
    promotions
        How often the champion changed.
    """

    def __init__(
        self, options: Mapping[str, LearnerOptions], task: Task, make: MakeLearner, rules: ContestRules
    ) -> None:
        super().__init__(options, make, rules)
        self.seconds = 0.0
        self.promotions = 0
        self._task = task
        self._name = self.answering.name
        self._publish_anew()
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

    def _compare(self, challenger: Contender, champion: Tested, tested: Tested, known: Examples) -> None:
        assert challenger.pair is not None, "who learns beside undergoes a test"  # noqa: S101
        challenger.pair.compare(champion, tested, known.weights)
        if challenger.pair.wild:
            self.lose(challenger, "it answered what is not a number")

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
            self.lose(challenger, "parameters or answers are not finite")
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
            self.news.append(News("promoted", best.name, f"its loss is smaller, by {low:.4g} at least"))

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
        self._publish_anew()
        self.begin_tests()

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
        return Pair(self._task, self.rules, challenger.tests, self.device_for(challenger))

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
        self.news = []
        self._publish_anew()

    def forget_scores(self) -> None:
        """See :class:`models.learner.Learner`: the tests begin anew too."""
        self.answering.forget_scores()
        for challenger, learner in list(self.challengers()):
            self.guarded(challenger, learner.forget_scores)
        self.begin_tests()

    def _publish_anew(self) -> None:
        """Have all that is served be published the next time."""
        self._merging = Merging(named=bool(self.rules.answers))

    def published(self, *, flush: bool = False) -> Published:
        """See :class:`models.learner.Learner`: the champion's, and those of who answers some of the requests."""
        flush = flush or self._merging.fresh
        own = self.answering.published(flush=flush)
        others: list[tuple[Arm, Published]] = []
        for arm in self.arms():
            found = self.guarded(self.contenders[arm.name], partial(arm.learner.published, flush=flush))
            if found is not None:
                others.append((arm, found))
        return self._merging.make(self.champion, self._task, own, others)
