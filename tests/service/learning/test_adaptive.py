"""Adaptive microbatches under simulated loads: what is chosen, that it settles, and that it is no more than needed."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.learning.adaptive import BACKLOG_PARTS, RUNG, SLACK, Pace, most_events
from service.learning.adaptive_cost import Costs, FittedCost, UpdateCost
from tests.support.plant import Plant, Update, swings, turns

MIXTURE = (UpdateCost(8e-3, 4.5e-5), UpdateCost(8e-3, 4e-5), UpdateCost(5e-3, 2.2e-5), UpdateCost(3e-3, 8e-6))
NETWORK = (UpdateCost(1.5e-3, 6e-6), UpdateCost(1.4e-3, 5e-6), UpdateCost(1.4e-3, 4e-6), UpdateCost(1.4e-3, 4e-6))


def steady(rate: float) -> Callable[[float], float]:
    return lambda _: rate


def square(low: float, high: float, half: float) -> Callable[[float], float]:
    """Return a load that is low for half a period and then high."""
    return lambda now: high if (now // half) % 2 else low


def sizes(updates: list[Update]) -> list[float]:
    return [update.plan.size for update in updates]


def levels(updates: list[Update]) -> list[float]:
    return [update.plan.effort.level for update in updates]


def late(updates: list[Update]) -> list[Update]:
    """Return the second half, by time."""
    return [update for update in updates if update.at > updates[-1].at / 2]


def freshness(updates: list[Update]) -> float:
    """Return the 99th percentile."""
    found = sorted(update.freshness for update in updates)
    return found[int(0.99 * len(found))]


@settings(max_examples=10, deadline=None)
@given(st.floats(5, 60_000), st.floats(0.0, 0.2), st.integers(0, 99))
def test_under_a_constant_load_the_size_settles_near_the_least_that_keeps_up(
    rate: float, noise: float, seed: int
) -> None:
    """Microbatches would be larger than the load requires, or change without end; or events would be too old."""
    updates = Plant(NETWORK, steady(rate), noise=noise, seed=seed).run(6.0)
    settled = late(updates)
    assert turns(sizes(settled)) <= 2
    assert set(levels(updates)) == {0}
    least = NETWORK[0].size_for(rate)
    # Lumps in which events come, and what noise makes of the cost, count as load too.
    assert max(sizes(settled)) <= max(RUNG**2, 2 * SLACK * RUNG * least, 2 * rate * 0.0125)
    assert freshness(settled) < 0.1
    assert settled[-1].plan.feasible


def test_a_slow_stream_is_learned_event_by_event_and_a_fast_one_in_large_pieces() -> None:
    """Events would wait for others without need, or pile up."""
    found = [late(Plant(NETWORK, steady(rate)).run(3.0))[-1].plan.size for rate in (20, 2_000, 20_000, 100_000)]
    assert found[0] == 1
    assert all(before < after for before, after in pairwise(found))


@pytest.mark.parametrize("rate", [1_000, 5_000, 10_000])
def test_a_stream_that_is_kept_up_with_leaves_most_of_a_core_alone(rate: int) -> None:
    """A stream of a thousand events a second would cost half a core, for news that are some milliseconds fresher."""
    updates = late(Plant(NETWORK, steady(rate)).run(6.0))
    seconds = updates[-1].at - updates[0].at
    busy = sum(NETWORK[0].seconds(update.events) for update in updates) / seconds
    assert busy < rate * NETWORK[0].each + 0.25
    assert freshness(updates) < 0.04


@pytest.mark.parametrize("half", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("high", [20_000, 30_000])
def test_a_square_wave_is_followed_without_oscillation(half: float, high: int) -> None:
    """Size and effort would hunt: too many updates here, events that wait there, and experts that come and go."""
    periods = 6
    updates = Plant(MIXTURE, square(500, high, half), noise=0.1).run(2 * half * periods)
    # Up and down once a period is following, and anything less than a factor of four no swing; a level that was too
    # much is tried more and more seldom.
    assert swings(sizes(updates), 4.0) <= 2 * periods
    assert turns(levels(updates)) <= periods + 2


def test_effort_stays_where_a_load_is_too_much_for_more() -> None:
    """A load between two levels would have experts come and go for ever."""
    updates = Plant(MIXTURE, steady(30_000), noise=0.1).run(12.0)
    assert set(levels(late(updates))) == {2}
    assert freshness(late(updates)) < 0.1


def test_a_backlog_is_learned_with_the_least_effort_and_then_effort_comes_back() -> None:
    """A backlog would take three times as long, or accuracy would never return."""
    updates = Plant(MIXTURE, steady(500), backlog=300_000, most=1024).run(12.0)
    backlog = [update for update in updates if update.waiting > 100_000]
    assert set(levels([update for update in backlog if update.at > 0.5])) == {3}
    rate = sum(update.events for update in backlog) / backlog[-1].at
    assert rate > 0.65 / MIXTURE[3].each, "it is about as fast as it can be"
    assert updates[-1].plan.effort.level == 0
    assert turns(levels(updates)) <= 1
    done = next(update.at for update in updates if update.waiting < 100)
    back = next(update.at for update in updates if update.at > done and update.plan.effort.level == 0)
    assert back - done < 10


def test_what_cannot_be_held_is_learned_as_fast_as_can_be() -> None:
    """More events than anything can learn: they would pile up faster than they need to."""
    updates = Plant(MIXTURE, steady(400_000)).run(4.0)
    last = updates[-1].plan
    assert not last.feasible
    assert last.effort.level == 3
    assert last.capacity > 0.8 / MIXTURE[3].each


@given(st.integers(1, 5_000))
@settings(max_examples=10, deadline=None)
def test_no_microbatch_is_larger_than_it_may_be(most: int) -> None:
    """The device's memory would run out again, or a bound that was configured would be none."""
    updates = Plant(NETWORK, steady(30_000), most=most, backlog=5_000).run(0.5)
    assert max(sizes(updates)) <= most


def test_only_a_large_backlog_is_learned_in_microbatches_that_are_larger_than_usual() -> None:
    """Labels of a replayed file would come so late that its score falls; or millions would be learned at half speed."""
    assert most_events(1024, 16_384, 45_000, 10**6) == 1024
    assert most_events(1024, 16_384, 10**9, 5_000) == 1024, "at the beginning each label tells much"
    assert most_events(1024, 16_384, 300_000, 10**6) == 4096
    assert most_events(1024, 16_384, 10**9, 10**6) == 16_384
    assert most_events(1024, 1024, 10**9, 10**6) == 1024
    assert most_events(1024, 16_384, 0, 10**6, 5_000) == 4096, "they all come within half of the objective"


@given(st.integers(1, 5_000), st.integers(0, 50_000), st.floats(0, 1e9), st.integers(0, 10**9))
def test_a_backlog_makes_microbatches_larger_within_its_bound(
    usual: int, more: int, waiting: float, learned: int
) -> None:
    """A bound that was configured would be none, or a backlog would make microbatches smaller."""
    most = most_events(usual, usual + more, waiting, learned)
    assert usual <= most <= usual + more
    assert most <= max(usual, waiting / BACKLOG_PARTS, 1)
    assert most_events(usual, usual + more, 2 * waiting, 2 * learned) >= most


def test_a_bound_that_falls_holds_at_once() -> None:
    """After the device's memory ran out the next microbatch would be too large again."""
    pace = Pace(0.1, 0.05)
    pace.load.look(0.0, 0, 100_000)
    assert pace.plan(0.0, 4096).size > 512
    assert pace.plan(0.01, 64).size <= 64


@given(st.floats(1e-4, 0.05), st.floats(1e-6, 1e-3), st.floats(0.0, 0.3), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_costs_are_found(fixed: float, each: float, noise: float, seed: int) -> None:
    """Sizes would follow from costs that updates do not have."""
    true, fitted = UpdateCost(fixed, each), FittedCost(UpdateCost())
    random_ = random.Random(seed)
    for _ in range(100):
        events = random_.choice([1, 30, 1000])
        fitted.measured(events, true.seconds(events) * (1 + noise * random_.uniform(-1, 1)))
    for events in (1, 30, 1000):
        assert fitted.cost.seconds(events) == pytest.approx(true.seconds(events), rel=0.25 + noise)


def test_a_pause_of_the_machine_is_no_cost() -> None:
    """One stalled update would have the next ones be learned with less effort."""
    fitted = FittedCost(UpdateCost())
    for _ in range(50):
        fitted.measured(64, 0.004)
    fitted.measured(64, 5.0)
    assert fitted.cost.seconds(64) < 0.005


def test_a_level_that_was_never_tried_is_judged_by_those_that_were() -> None:
    """Effort would fall to a level that is believed to cost what some other learner does."""
    costs = Costs((1.0, 0.5, 0.1))
    costs.measured(0, 100, 1.0)
    tried = costs[0].seconds(100)
    assert [costs[level].seconds(100) for level in (1, 2)] == pytest.approx([0.5 * tried, 0.1 * tried])
