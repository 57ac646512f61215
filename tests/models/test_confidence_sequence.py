"""Bounds that hold at every moment: wrong as seldom as they say, however often one looks, and narrow all the same."""

import numpy as np
import pytest

from benchmarks.challengers import DIFFERENCES, ROWS, ever_above
from models.confidence_sequence import ConfidenceSequence, Interval

RUNS = 200
LEVEL = 0.05


@pytest.mark.parametrize("kind", DIFFERENCES)
def test_equal_losses_are_seldom_called_different(kind: str) -> None:
    """A challenger that is no better would be promoted more often than the level says, by looking often."""
    found = sum(ever_above(DIFFERENCES[kind], seed, 40 * ROWS) for seed in range(RUNS))
    assert found <= LEVEL * RUNS, f"{found} of {RUNS} runs"


def test_an_interval_of_the_usual_kind_is_misled_by_looking() -> None:
    """If this fails, the streams above are too tame to mislead anybody, and nothing is shown by them."""
    misled = 0
    for seed in range(RUNS):
        random, drawn = np.random.default_rng(seed), np.zeros(0)
        for _ in range(40):
            drawn = np.concatenate([drawn, DIFFERENCES["small"](random, ROWS)])
            if drawn.mean() > 1.96 * drawn.std() / np.sqrt(len(drawn)):
                misled += 1
                break
    assert misled > 2 * LEVEL * RUNS


def test_the_average_of_means_that_drift_stays_within_the_bounds() -> None:
    """On a stream that drifts, the bounds would be about nothing."""
    wrong = 0
    for seed in range(60):
        random, sequence = np.random.default_rng(seed), ConfidenceSequence(1.0)
        total, outside = 0.0, False
        for place in range(60):
            mean = 0.3 * np.sin(place / 10)
            drawn = random.uniform(-0.7, 0.7, ROWS) + mean
            total += ROWS * mean
            sequence.take_in(ROWS, float(drawn.sum()), float((drawn * drawn).sum()))
            low, high = sequence.interval(LEVEL)
            outside |= not low <= total / sequence.count <= high
        wrong += outside
    assert wrong <= LEVEL * 60


def test_a_difference_is_found_soon_enough() -> None:
    """Nobody would ever be promoted: bounds that are always right are easily had by being wide."""
    needed = []
    for seed in range(20):
        random, sequence = np.random.default_rng(seed), ConfidenceSequence(4.6)
        while not sequence.is_above_zero(LEVEL) and sequence.count < 100_000:
            drawn = random.normal(0.05, 0.3, ROWS)
            sequence.take_in(ROWS, float(drawn.sum()), float((drawn * drawn).sum()))
        needed.append(sequence.count)
    # A test that is looked at once needs 140 rows or so to find it in every second case.
    assert np.median(needed) < 1_500


def test_a_microbatch_is_its_rows() -> None:
    """The bounds would depend on how the stream was cut, beyond that a guess is made before each microbatch."""
    drawn = np.random.default_rng(0).normal(0.0, 0.3, ROWS)
    whole = ConfidenceSequence(1.0)
    whole.take_in(ROWS, float(drawn.sum()), float((drawn * drawn).sum()))
    whole.take_in(3, 1.0, 0.5)
    guess = min(max(float(drawn.sum()) / (ROWS + 1), -0.125), 0.125)
    assert whole.count == ROWS + 3
    assert whole.mean == pytest.approx((drawn.sum() + 1.0) / (ROWS + 3))
    assert whole.variation == pytest.approx((drawn**2).sum() + 0.5 - 2 * guess + 3 * guess**2)


def test_the_lower_bound_and_the_decision_agree() -> None:
    """The state would call a challenger better that is not promoted, or the other way round."""
    random, sequence = np.random.default_rng(3), ConfidenceSequence(1.0)
    assert sequence.interval(LEVEL) == Interval(-1.0, 1.0)
    seen = set()
    for _ in range(100):
        drawn = np.clip(random.normal(0.03, 0.3, ROWS), -1, 1)
        sequence.take_in(ROWS, float(drawn.sum()), float((drawn * drawn).sum()))
        decided = sequence.is_above_zero(LEVEL)
        seen.add(decided)
        assert decided == (sequence.interval(LEVEL).low > 0)
        assert sequence.interval(LEVEL).low <= sequence.mean <= sequence.interval(LEVEL).high
    assert seen == {True, False}


def test_it_goes_on_where_it_was() -> None:
    """After a restart a test would say something else."""
    one, other = ConfidenceSequence(1.0), ConfidenceSequence(1.0)
    one.take_in(10, 2.0, 3.0)
    other.restore(one.to_json())
    for each in (one, other):
        each.take_in(10, 1.0, 3.0)
    assert one.to_json() == other.to_json()
