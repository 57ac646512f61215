"""A champion and its challengers: who takes over, who is put out, and what a restart among others makes of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from benchmarks.challengers import equal, promoted_after
from benchmarks.challengers import stream as drawn
from models.checks_expect import expect_same_state
from models.contest import Contest
from models.contest_published import ContestPredictor
from models.contest_rules import FIRST, ContestRules
from models.contesting import restore
from models.effort import FULL, Effort
from models.errors import DeviceFailed, DeviceOutOfMemory, StateMismatch
from models.examples import Examples, Features, Task
from models.learner import Learner, LearnerOptions, LearnerState, LearnReport, Trial
from models.registry import create_learner, load_predictor

IDLE = LearnerOptions(kind="linear", learning_rate=1e-9, device="cpu")
ABLE = LearnerOptions(kind="linear", learning_rate=0.01, device="cpu")
OTHER = LearnerOptions(kind="last", device="cpu")
SOON = ContestRules(promote="when-significant", hold_events=0, begin_after=64)


def contest(
    rules: ContestRules = SOON,
    task: Task = Task.BINARY,
    make: Callable[[LearnerOptions], Learner] | None = None,
    **challengers: LearnerOptions,
) -> Contest:
    """Return a contest of an idle champion with challengers."""
    return Contest({FIRST: IDLE, **challengers}, task, make or (lambda each: create_learner(each, task)), rules)


def teach(learner: Learner, microbatches: int, first: int = 0) -> None:
    """Learn microbatches of one stream."""
    for place in range(first, first + microbatches):
        learner.learn(drawn(learner.task, 0, place))


def as_kept(state: LearnerState) -> LearnerState:
    """Return a state as a checkpoint gives it back."""
    return LearnerState(json.loads(json.dumps(state.meta)), {name: each.copy() for name, each in state.arrays.items()})


@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION])
def test_a_better_challenger_takes_over_and_the_former_champion_goes_on(task: Task) -> None:
    """Nobody better would ever be served; or nobody could go back to the one of before."""
    found = contest(task=task, able=ABLE)
    teach(found, 60)
    assert (found.champion, found.promotions) == ("able", 1)
    assert [news.kind for news in found.take_news()] == ["promoted"]
    report = found.status().contest
    assert report is not None
    assert report["contenders"][FIRST]["role"] == "challenger"
    assert report["contenders"][FIRST]["test"]["high"] < 0, "the former champion is the worse one"
    assert found.predictor().predict(drawn(task, 1, 0).features) is not None
    features = drawn(task, 1, 0).features
    served = load_predictor(found.published().spec, found.published().arrays).predict(features)
    able = found.contenders["able"].learner
    assert able is not None
    expected = able.predictor().predict(features)
    left, right = (served.values, expected.values) if task is Task.REGRESSION else (
        served.probabilities, expected.probabilities
    )  # fmt: skip
    assert left is not None
    assert right is not None
    np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(
    "changed", [replace(SOON, hold_events=10**6), replace(SOON, hold_seconds=1e9), replace(SOON, promote="by-hand")]
)
def test_who_must_wait_waits(changed: ContestRules) -> None:
    """A challenger would be promoted sooner than the configuration allows, or without being asked for."""
    found = contest(changed, able=ABLE)
    teach(found, 60)
    report = found.status().contest
    assert report is not None
    assert report["contenders"]["able"]["test"]["significant"]
    assert (found.champion, found.promotions) == (FIRST, 0)


def test_seconds_are_those_of_the_log() -> None:
    """A replay, which takes other time, would promote at another version."""
    found = contest(replace(SOON, hold_seconds=100.0), able=ABLE)
    for place in range(60):
        found.tell_time(1e9 + (200.0 if place > 50 else 0.0))
        found.learn(drawn(Task.BINARY, 0, place))
        assert found.promotions == (place > 50)


def test_equal_challengers_are_not_promoted() -> None:
    """Looking after each microbatch would make luck into a promotion. All 200 runs: ``benchmarks/challengers.py``."""
    promoted = [promoted_after(equal(seed), Task.BINARY, seed, 640) is not None for seed in range(8)]
    assert not any(promoted)


def test_the_levels_of_all_tests_add_up() -> None:
    """With each promotion, and each challenger, a false one would become likelier than the level says."""
    rules = ContestRules(level=0.05)
    total = sum(rules.level_of(test, 3) for _ in range(3) for test in range(1, 10_000))
    assert 0.0499 < total < 0.05


def test_a_promoted_challenger_stays_champion_over_a_restart() -> None:
    """A restart would serve the former champion again."""
    found, other = contest(able=ABLE), contest(able=ABLE)
    teach(found, 60)
    other.restore(as_kept(found.state()))
    assert (other.champion, other.promotions) == ("able", 1)
    for each in (found, other):
        teach(each, 5, 60)
    expect_same_state(found.state(), other.state())


def test_a_new_challenger_begins_beside_one_that_has_learned_and_one_that_is_gone_is_dropped() -> None:
    """Challengers could not be changed without beginning anew."""
    found = contest(replace(SOON, promote="by-hand"), able=ABLE, gone=OTHER)
    teach(found, 10)
    other = contest(replace(SOON, promote="by-hand"), able=ABLE, new=OTHER)
    other.restore(as_kept(found.state()))
    able, new = other.contenders["able"], other.contenders["new"]
    assert (able.rows, new.rows) == (640, 0)
    assert able.pair is not None
    assert able.pair.sequence.count == 640 - 64
    assert set(other.contenders) == {FIRST, "able", "new"}
    teach(other, 2, 10)
    assert new.rows == 128


def test_one_that_was_alone_gets_challengers_and_is_alone_again() -> None:
    """Neither could be configured for a model that has learned."""
    alone = create_learner(IDLE, Task.BINARY)
    teach(alone, 5)
    found = contest(able=ABLE)
    restore(found, as_kept(alone.state()))
    again = create_learner(IDLE, Task.BINARY)
    restore(again, as_kept(found.state()))
    expect_same_state(alone.state(), again.state())


def test_a_champion_that_nobody_knows_any_more_is_missed() -> None:
    """What was promoted would be lost without a word, or taken for what it is not."""
    found = contest(able=replace(ABLE, kind="mlp"))
    found.promote("able")
    teach(found, 2)
    kept = as_kept(found.state())
    for learner in (contest(other=OTHER), create_learner(IDLE, Task.BINARY)):
        with pytest.raises(StateMismatch, match="'able' was promoted and is the champion"):
            restore(learner, kept)
    # Its learner has become the model's own.
    own = Contest(
        {FIRST: replace(ABLE, kind="mlp"), "former": IDLE}, Task.BINARY, lambda each: create_learner(each, Task.BINARY),
        SOON,
    )  # fmt: skip
    own.restore(kept)
    assert own.champion == FIRST
    alone = create_learner(replace(ABLE, kind="mlp"), Task.BINARY)
    restore(alone, kept)
    teach(alone, 1, 2)


class Failing:
    """Does what a learner does, but for what is to fail at its third microbatch."""

    def __init__(self, learner: Learner, error: Exception | None, *, wild: bool = False) -> None:
        self._learner, self._error, self._wild, self._calls = learner, error, wild, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._learner, name)

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:
        """Learn, or fail."""
        self._calls += 1
        if self._calls == 3 and self._error is not None:
            raise self._error
        return self._learner.learn(examples, effort)

    def try_out(self, features: Features, at_once: int = 0) -> Trial:
        """Return answers, perhaps wild ones."""
        return replace(self._learner.try_out(features, at_once), finite=not self._wild)


def failing(error: Exception | None, *, wild: bool = False) -> Callable[[LearnerOptions], Learner]:
    """Return what makes learners, among them one that fails."""

    def make(options: LearnerOptions) -> Learner:
        learner = create_learner(options, Task.BINARY)
        return cast(Learner, Failing(learner, error, wild=wild)) if options is ABLE else learner

    return make


@pytest.mark.parametrize("error", [ValueError("of its own"), MemoryError(), DeviceOutOfMemory("too large")])
def test_a_challenger_that_raises_is_put_out_and_the_champion_learns_on(error: Exception) -> None:
    """A defect in a challenger would stop the model."""
    found, alone = contest(make=failing(error), able=ABLE, last=OTHER), create_learner(IDLE, Task.BINARY)
    teach(found, 5)
    teach(alone, 5)
    (news,) = found.take_news()
    assert (news.kind, news.name) == ("put_out", "able")
    assert str(error) in news.reason
    assert found.put_outs == 1
    assert found.contenders["last"].rows == 5 * 64
    left, right = (each.predictor().predict(drawn(Task.BINARY, 1, 0).features) for each in (found, alone))
    assert left.probabilities is not None
    assert right.probabilities is not None
    np.testing.assert_array_equal(left.probabilities, right.probabilities)
    assert "was put out" in found.why_not("able")
    other = contest(able=ABLE, last=OTHER)
    other.restore(as_kept(found.state()))
    assert other.contenders["able"].learner is None
    expect_same_state(found.state(), other.state())


def test_the_failure_of_the_device_is_everybodys() -> None:
    """A challenger's learner would be put out where the trainer must rebuild all of them."""
    found = contest(make=failing(DeviceFailed("gone")), able=ABLE)
    with pytest.raises(DeviceFailed):
        teach(found, 3)


def test_a_challenger_that_is_not_finite_is_put_out() -> None:
    """What answers nonsense could become the champion."""
    by_hand, by_itself = replace(SOON, promote="by-hand"), SOON
    for rules in (by_hand, by_itself):
        found = contest(rules, make=failing(None, wild=True), able=ABLE)
        teach(found, 64)
        assert found.champion == FIRST
        assert found.contenders["able"].out == "parameters or answers are not finite"


def test_a_challenger_that_is_far_too_slow_is_put_out_but_not_in_a_replay() -> None:
    """It would hold up the champion for ever; or a restart on a busy machine would come to other parameters."""
    found = contest(replace(SOON, slowest=3.0, promote="by-hand"), able=ABLE)
    teach(found, 1)
    for live, out in ((False, 0), (True, 1)):
        found.contenders["able"].pace.recent = 1000.0
        assert len(found.take_news(live=live)) == found.put_outs == out


def test_what_was_put_out_or_promoted_again_changes_nothing() -> None:
    """The journal's decisions may be met twice: a restart would count them twice."""
    found = contest(able=ABLE, last=OTHER)
    for _ in range(2):
        found.promote("able")
        found.put_out("last", "slow")
        found.put_out("able", "a champion is never put out")
    assert (found.promotions, found.put_outs, found.champion) == (1, 1, "able")
    assert found.take_news() == []
    assert found.why_not("nobody")


def test_requests_are_shared_by_their_keys_and_the_champion_answers_the_rest() -> None:
    """Other shares than those configured would answer, or an id now this one, now that one."""
    found = contest(ContestRules(begin_after=64, answers={"able": 0.25, "last": 0.25}), able=ABLE, last=OTHER)
    nobody = found.published()
    early = load_predictor(nobody.spec, nobody.arrays)
    assert isinstance(early, ContestPredictor)
    first = early.predict_by(drawn(Task.BINARY, 1, 0, 3).features, np.array([0, 1, 2**64 - 1], np.uint64))
    assert first.contenders == (FIRST,) * 3, "who has not learned enough answers nobody"
    teach(found, 1)
    plain = found.published()
    assert plain.spec["learner"] == "contest"
    predictor = load_predictor(plain.spec, plain.arrays)
    assert isinstance(predictor, ContestPredictor)
    features = drawn(Task.BINARY, 1, 0, 1000).features
    keys = np.random.default_rng(0).integers(0, 2**64, 1000, np.uint64)
    whole = predictor.predict_by(features, keys)
    assert whole.contenders is not None
    assert whole.probabilities is not None
    names, counts = np.unique(whole.contenders, return_counts=True)
    assert dict(zip(names, counts, strict=True)) == {
        "able": pytest.approx(250, abs=45), "last": pytest.approx(250, abs=45), FIRST: pytest.approx(500, abs=50)
    }  # fmt: skip
    for name in names:
        learner = found.contenders[str(name)].learner
        assert learner is not None
        rows = np.flatnonzero(np.array(whole.contenders) == name)
        expected = learner.predictor().predict(features.take(rows))
        assert expected.probabilities is not None
        columns = np.array([whole.classes.index(label) for label in expected.classes])
        np.testing.assert_array_equal(whole.probabilities[np.ix_(rows, columns)], expected.probabilities)
        one = predictor.predict_by(features.slice(int(rows[0]), int(rows[0]) + 1), keys[rows[:1]])
        assert one.contenders == (name,)
    # Who is put out answers nobody; the others keep their own.
    found.put_out("able", "slow")
    after = found.published()
    rest = load_predictor(after.spec, after.arrays)
    assert isinstance(rest, ContestPredictor)
    now = rest.predict_by(features, keys).contenders
    assert now is not None
    assert "able" not in now


def test_who_joins_later_meets_classes_in_another_order() -> None:
    """A challenger's probabilities would stand under other classes' names."""
    rules = ContestRules(begin_after=0, answers={"able": 0.5})
    alone = create_learner(IDLE, Task.MULTICLASS)
    given = replace(drawn(Task.BINARY, 0, 0), labels=["a"] * 64)
    alone.learn(given)
    found = contest(rules, Task.MULTICLASS, able=ABLE)
    restore(found, as_kept(alone.state()))
    for label in ("b", "a", "b"):
        found.learn(replace(given, labels=[label] * 64))
    published = found.published()
    predictor = load_predictor(published.spec, published.arrays)
    assert isinstance(predictor, ContestPredictor)
    keys = np.array([0, 2**63 + 2**62] * 32, np.uint64)
    answers = predictor.predict_by(given.features, keys)
    assert answers.contenders == ("able", FIRST) * 32
    assert sorted(map(str, answers.classes)) == ["a", "b"]
    able = found.contenders["able"].learner
    assert able is not None
    expected = able.predictor().predict(given.features)
    assert expected.classes == ("b", "a")
    assert expected.probabilities is not None
    assert answers.probabilities is not None
    column = answers.classes.index("b")
    np.testing.assert_array_equal(answers.probabilities[::2, column], expected.probabilities[::2, 0])
