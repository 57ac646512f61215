"""Which setting is named: fresh enough where one is, and otherwise the best there is."""

from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from service.sweeping.choice import ALIKE, Candidate, Verdict, choose

POSITIVE = st.floats(1e-6, 1e6)
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        size=st.integers(1, 100_000),
        throughput=POSITIVE,
        update=st.floats(1e-6, 1e3),
        loss=st.none() | st.floats(0, 10),
        chance=st.floats(0, 0.1),
    ),
    min_size=1,
    max_size=8,
)
FRESHNESS = st.floats(1e-4, 1e4)
RATE = st.none() | POSITIVE

FINE = Candidate(16, 5_000, 0.005, loss=0.15)
COARSE = Candidate(256, 20_000, 0.02, loss=0.25)


def test_the_delay_is_filling_and_then_an_update() -> None:
    """The delay that is told would be another one than the first event of a microbatch waits."""
    assert COARSE.delay(1000) == 255 / 1000 + 0.02
    assert COARSE.delay(None) == 255 / 20_000 + 0.02
    assert Candidate(1, 100, 0.03).delay(5) == 0.03


def test_where_the_rate_is_known_what_predicts_best_is_named_and_else_what_is_fastest() -> None:
    """A larger size than the load requires would be named, and cost score; or a slow one where the load is unknown."""
    assert choose([FINE, COARSE], 0.1, 3_900) is not None
    for rate, place in ((3_900.0, 0), (None, 1), (4_500.0, 1)):
        choice = choose([FINE, COARSE], 0.1, rate)
        assert choice is not None
        assert (choice.place, choice.verdict) == (place, Verdict.MET)


def test_what_differs_by_chance_is_decided_by_what_is_to_spare() -> None:
    """Noise would choose the size."""
    alike = replace(COARSE, loss=0.151)
    for chance, place in ((0.0, 0), (0.01, 1)):
        choice = choose([replace(FINE, chance=chance), alike], 0.1, 3_900)
        assert choice is not None
        assert choice.place == place
    about_as_fast = replace(FINE, throughput=19_500)
    choice = choose([COARSE, about_as_fast], 0.1, None)
    assert choice is not None
    assert choice.place == 1


def test_a_score_that_is_not_comparable_is_not_compared() -> None:
    """A size that was stopped on easy rows would be named for its score."""
    choice = choose([replace(FINE, loss=None), COARSE], 0.1, 3_900)
    assert choice is not None
    assert choice.place == 1


def test_where_nothing_does_the_nearest_is_named_and_said_to_be_that() -> None:
    """Nobody would know that the objective cannot be met, or by how much."""
    late = choose([FINE, COARSE], 0.001, None)
    slow = choose([FINE, COARSE], 0.1, 50_000)
    assert late is not None
    assert slow is not None
    assert (late.place, late.verdict) == (0, Verdict.TOO_LATE)
    assert (slow.place, slow.verdict) == (1, Verdict.TOO_SLOW)
    assert choose([], 0.1, None) is None


@given(CANDIDATES, FRESHNESS, RATE)
def test_never_too_late_nor_too_slow_where_another_is_neither(
    candidates: list[Candidate], freshness: float, rate: float | None
) -> None:
    """A setting that misses the objective would be named although another one meets it."""
    choice = choose(candidates, freshness, rate)
    assert choice is not None
    named = candidates[choice.place]
    able = [each for each in candidates if each.sustains(rate) and each.delay(rate) <= freshness]
    assert (choice.verdict is Verdict.MET) == bool(able)
    if able:
        assert named in able
    elif any(each.sustains(rate) for each in candidates):
        assert named.sustains(rate)
        assert all(named.delay(rate) <= each.delay(rate) for each in candidates if each.sustains(rate))
    else:
        assert named.throughput == max(each.throughput for each in candidates)


@given(CANDIDATES, FRESHNESS, st.floats(1, 100))
def test_who_allows_more_delay_is_never_named_less_throughput(
    candidates: list[Candidate], freshness: float, factor: float
) -> None:
    """Loosening the objective would make things worse."""
    strict, loose = choose(candidates, freshness, None), choose(candidates, factor * freshness, None)
    assert strict is not None
    assert loose is not None
    assume(strict.verdict is Verdict.MET)
    assert candidates[loose.place].throughput >= (1 - ALIKE) * candidates[strict.place].throughput


@given(CANDIDATES, FRESHNESS, POSITIVE)
def test_of_those_that_do_none_predicts_better_by_more_than_chance(
    candidates: list[Candidate], freshness: float, rate: float
) -> None:
    """Score would be given away for nothing."""
    choice = choose(candidates, freshness, rate)
    assert choice is not None
    assume(choice.verdict is Verdict.MET)
    losses = [
        (each.loss, each.chance)
        for each in candidates
        if each.loss is not None and each.sustains(rate) and each.delay(rate) <= freshness
    ]
    assume(losses)
    least, chance = min(losses, key=lambda each: each[0])
    named = candidates[choice.place].loss
    assert named is not None
    assert named <= least + max(chance, *(each[1] for each in losses if each[0] == least))
