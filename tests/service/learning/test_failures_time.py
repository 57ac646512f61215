"""Clocks that jump: the machine's, and those of whoever sends events."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from consumers.log import LogSink, LogSource
from consumers.source import NewRecord
from consumers.testing import MemorySource
from service.monitoring.status import Status
from tests.support.checksums import checksum_of_single
from tests.support.training import events, learned, open_model, running, settings

DAY = 86_400.0


class Clock:
    """The wall clock of this process, which a test may move; what counts seconds is left alone, as systems do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        genuine = time.time
        monkeypatch.setattr(time, "time", lambda: genuine() + self.ahead)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def saved_after(version: int) -> Callable[[Status], bool]:
    """Return whether there is a checkpoint of a later version, as a condition to wait for."""
    return lambda status: status.checkpoint is not None and status.checkpoint.version > version


def test_the_clock_jumps(tmp_path: Path, clock: Clock) -> None:
    """If this fails, a corrected clock costs events, checkpoints, the ownership of the model, or a restart."""
    chosen, sink, source = settings(tmp_path), LogSink(tmp_path / "log.sqlite"), LogSource(tmp_path / "log.sqlite")
    total, aged = 0, 0.0
    with running(open_model(chosen, source)) as run:
        for ahead in (0.0, DAY, -DAY, 365 * DAY, -3600.0, 0.0):
            # Events of an hour to come: the clock is set back while they are on their way.
            clock.ahead = ahead + 3600
            sink.append([NewRecord(value) for value in events(100, first=total)])
            clock.ahead = ahead
            total += 100
            version = run.wait_for(learned(total)).version
            status = run.wait_for(saved_after(version - 1))
            assert status.events_checksum == checksum_of_single({0: total})
            freshness = status.histograms["freshness_seconds"]
            assert sum(freshness.counts) == total
            assert freshness.sum >= aged, "an event was served before it was there"
            aged = freshness.sum
    clock.ahead = -DAY
    with running(open_model(chosen, source)) as run:
        assert run.wait_for(learned(total)).events_checksum == status.events_checksum
    sink.close()


def test_timestamps_of_another_time(tmp_path: Path) -> None:
    """If this fails, one sender with a wrong clock stops learning or spoils what is measured."""
    source = MemorySource({0: events(100)})
    times = (b"0", b"-5", b"1e-9", b'"1970-01-01T00:00:00Z"', b'"2999-12-31T23:59:59Z"', b"99999999999999")
    strange = [value.replace(b'"label"', b'"timestamp": ' + at + b', "label"') for at in times for value in events(20)]
    source.append(0, *(NewRecord(value) for value in strange))
    with running(open_model(settings(tmp_path), source)) as run:
        total = 100 + len(strange)
        status = run.wait_for(learned(total))
        assert status.dead_letters == {}
        assert status.histograms["freshness_seconds"].sum >= 0
        assert status.events_checksum == checksum_of_single({0: total})
