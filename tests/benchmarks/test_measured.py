"""Measurements of rates: what is counted, what is compared with what, and what is said where nothing was measured."""

from functools import partial

import pytest

from benchmarks.ingest import Look
from benchmarks.loops import running
from benchmarks.loops.meter import Meter
from benchmarks.loops.table import Loop
from benchmarks.measured import Measured, MeasurementFailed, Series, between
from benchmarks.sections.backlog import same_events
from benchmarks.sections.growing import told
from benchmarks.sections.json_events import shares
from benchmarks.sections.memory import EARLY, LATE, SPAN, grown
from service.monitoring.status import Status


def series(name: str, *rates: float) -> Series:
    """Return a series of so many events a second."""
    made = Series(name)
    for rate in rates:
        made.take(partial(Measured, rate, 1.0, 0.5))
    return made


def fail() -> Measured:
    """Measure nothing."""
    raise MeasurementFailed("it died")


def look(at: float, learned: int, processor: float, resident: float) -> Look:
    """Return a trainer at a moment."""
    return Look(at, learned, processor, resident, Status(model="m", epoch=1, pid=1, written_at=at, state="learning"))


def test_the_warm_up_is_not_counted() -> None:
    """Imports and the first connection would be part of a library's rate."""
    meter = Meter(10, 20, 60.0)
    assert [meter.add(8) for _ in range(5)] == [True, True, True, True, False]
    assert meter.result()["events"] == 24


def test_time_ends_a_slow_loop() -> None:
    """A slow library would hold up the whole benchmark."""
    meter = Meter(1, 1_000_000, 0.0)
    assert meter.add(1)
    assert not meter.add(1)


def test_without_events_after_the_warm_up_there_is_no_rate() -> None:
    """A rate of nothing would be zero or a division by it."""
    meter = Meter(10, 20, 60.0)
    meter.add(10)
    with pytest.raises(RuntimeError, match="not more than the warm-up"):
        meter.result()


def test_a_ratio_is_taken_between_neighbours_in_time() -> None:
    """A machine that grew slower meanwhile would make a ratio better or worse."""
    assert between([1.0, 3.0, 5.0]) == [2.0, 4.0]
    result = series("ours", 4.0, 4.0).over(series("theirs", 1.0, 3.0, 5.0), "ratio", bar=1.5)
    assert result.values == [2.0, 1.0]
    assert result.holds


def test_what_failed_is_told_and_not_tried_again() -> None:
    """A library that is not installed would be left out in silence, or waited for in each round."""
    ours, theirs = series("ours", 4.0), Series("theirs")
    theirs.take(fail)
    theirs.take(lambda: Measured(1, 1, 1))
    assert (theirs.rate.values, theirs.rate.failure) == ([], "it died")
    result = ours.over(theirs, "ratio", bar=1.0)
    assert (result.values, result.failure, result.holds) == ([], "it died", None)


def test_by_default_librdkafka_cannot_read_all_ahead() -> None:
    """What is measured would be how fast events leave its memory."""
    warm_up, measured = shares(1_500_000)
    assert warm_up >= 400_000
    assert 1_500_000 - warm_up - measured >= 400_000


@pytest.mark.parametrize(
    ("environment", "reason"), [(".venv-absent", "not installed"), ("", "died: KeyError: 'other'")]
)
def test_a_loop_that_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch, environment: str, reason: str) -> None:
    """A stranger would not know what to install, or the benchmark would end with a traceback."""
    monkeypatch.setattr(running, "LOOPS", {"other": Loop("other", "benchmarks.loops.other", (), environment)})
    with pytest.raises(MeasurementFailed, match=reason):
        running.run("other", "127.0.0.1:1", "topic", 1, 1)


def test_a_loop_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """One library's fault would hold up the benchmark for ever."""
    monkeypatch.setattr(running, "STARTING", 0.0)
    monkeypatch.setattr(running, "SECONDS", 0.01)
    with pytest.raises(MeasurementFailed, match="not done after"):
        running.run("poll", "127.0.0.1:1", "topic", 1, 1)


def test_growth_is_seen_early_and_late() -> None:
    """A trainer that grows, or slows down, would pass."""
    count = 66_000
    marks = [share * count + step for share in (EARLY, LATE) for step in (1, SPAN * count - 1)]
    seen = [
        look(at, round(learned), processor, resident)
        for at, learned, processor, resident in zip(
            range(4), marks, (0.0, 0.04, 1.0, 1.08), (100.0, 100.0, 110.0, 110.0), strict=True
        )
    ]
    results = {result.name: result for result in grown("x", seen, count)}
    memory, cost = results["x: memory late over early"], results["x: cost late over early"]
    assert memory.median == pytest.approx(1.1)
    assert cost.median == pytest.approx(2.0)
    assert memory.holds is cost.holds is False
    (unknown,) = grown("x", seen[:1], count)
    assert unknown.holds is None
    assert "too few" in unknown.failure


def test_a_rate_is_that_after_the_first_tenth() -> None:
    """The import of libraries would count as learning."""
    seen = [look(0, 50, 0, 10), look(100, 100, 1, 10), look(101, 300, 2, 10), look(102, 1000, 3, 20)]
    results = {result.name: result.median for result in told("x", seen, 1000)}
    assert results["Headrace, x"] == 450
    assert results["x: memory at the end over after a quarter"] == 2
    with pytest.raises(MeasurementFailed, match="too few"):
        told("x", seen[:1], 1000)


def test_scores_are_compared_over_the_same_events() -> None:
    """A learner that came less far would be better or worse for what it has not met."""
    far, near = [look(at, learned, 0, 0) for at, learned in ((0, 10), (1, 50), (2, 90))], [look(0, 60, 0, 0)]
    found = same_events({"far": far, "near": near})
    assert [each.learned for each in found["far"]] == [10, 50]
    assert found["near"] == near
    assert same_events({}) == {}
