"""What the times of updates come to."""

import pytest

from service.sweeping.update_times import UpdateTimes, percentile


def test_rates_and_percentiles_are_those_of_the_updates() -> None:
    """The table would show other times than were measured."""
    timing = UpdateTimes(10, [0.01] * 98 + [0.02, 1.0]).timing()
    assert timing is not None
    assert (timing.updates, timing.median, timing.p99) == (100, 0.01, 0.02)
    assert timing.mean == pytest.approx(0.02)
    # The last fifth holds both slow ones.
    assert timing.fifths[:4] == pytest.approx([1000.0] * 4)
    assert timing.fifths[4] == pytest.approx(200 / 1.2)


def test_a_few_updates_are_told_as_far_as_they_say_something() -> None:
    """A size of which the file holds three microbatches would end with a traceback, or show a steadiness of nothing."""
    assert UpdateTimes(10).timing() is None
    one = UpdateTimes(10, [0.1]).timing()
    assert one is not None
    assert (one.p99, len(one.fifths)) == (0.1, 1)


@pytest.mark.parametrize(("count", "place"), [(1, 1), (99, 99), (100, 99), (101, 100), (200, 198)])
def test_at_the_99th_percentile_no_more_than_one_in_a_hundred_took_longer(count: int, place: int) -> None:
    """The worst updates would be left out of the delay that is told."""
    assert percentile(range(1, count + 1), 0.99) == place
