"""What is computed together is as much as pays, and no more than clients may wait for."""

import numpy as np
import pytest

from service.rest.pass_times import BUDGET, LEAST, MOST, PassTimes, most_values


def measured(fixed: float, each: float, noise: float = 0.0, passes: int = 300) -> PassTimes:
    """Return what is known after passes of 10 to 200 values."""
    random = np.random.default_rng(0)
    times = PassTimes()
    for values in random.integers(10, 200, passes).tolist():
        times.note(values, fixed + each * values + float(random.exponential(noise) if noise else 0.0))
    return times


@pytest.mark.parametrize(("fixed", "each"), [(2e-4, 3e-5), (2e-4, 2e-5), (1e-2, 2e-5)])
def test_the_bound_is_that_of_what_was_measured(fixed: float, each: float) -> None:
    """Else it is a guess: too little is computed together with a small network, or too much with a large one."""
    assert measured(fixed, each).most() == pytest.approx(most_values(fixed, each), rel=0.02)


def test_a_small_network_takes_along_as_much_as_there_is() -> None:
    """Without it, a busy server computes one by one what takes no longer together."""
    assert measured(2e-4, 1e-7, noise=2e-5).most() == MOST


def test_a_large_network_keeps_nobody_waiting_for_others() -> None:
    """Without it, a request of one row waits for the rows of fifty others, and all of them gain nothing."""
    values = measured(1e-4, 1e-4).most()
    assert LEAST < MOST
    assert values == LEAST
    assert most_values(1e-4, 2e-5) * 2e-5 <= BUDGET


def test_what_changes_is_noticed() -> None:
    """Another model under the same name is not bounded by what the one before took."""
    times = measured(1e-4, 1e-4)
    random = np.random.default_rng(1)
    for values in random.integers(10, 200, 1000).tolist():
        times.note(values, 2e-4 + 1e-7 * values)
    assert times.most() == MOST


def test_nothing_is_concluded_from_little() -> None:
    """A first pass, which imports and compiles, or passes of one size alone, tell nothing of a value."""
    times = PassTimes()
    assert times.most() == MOST
    for _ in range(100):
        times.note(11, 0.5)
    assert times.most() == MOST
