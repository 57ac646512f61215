"""The reading program may die at any moment, and the trainer's stream must not show it."""

import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from consumers.errors import PositionLost
from consumers.log import LogSink
from consumers.source import NewRecord, Position
from models.examples import Task
from service.config import Settings
from service.reading.ingest import Start
from service.reading.ingest_process import _Pipe
from service.reading.ingest_programs import ProcessIngest
from service.reading.reading_messages import Job, Report
from service.reading.reading_program import socket_pairs
from service.wiring import log_path
from tests.support.training import events


def settings(folder: Path, count: int) -> Settings:
    """Return settings whose log holds `count` events."""
    made = Settings(data_dir=folder / "data", publish_dir=folder / "publish")
    sink = LogSink(log_path(made, "events"))
    sink.append([NewRecord(value) for value in events(count)])
    sink.close()
    return made


def child_of(ingest: ProcessIngest) -> int:
    return ingest.processes[0]


def test_a_killed_reader_goes_on_where_it_was(tmp_path: Path) -> None:
    """If this fails, a crash of the reading program loses events, or has them learned twice."""
    notices: list[str] = []
    ingest = ProcessIngest(Job(settings(tmp_path, 5000), "default", Start({})), notices.append)
    reached: list[int] = []
    killed = 0
    until = time.monotonic() + 60
    while len(reached) < 5000 and time.monotonic() < until:
        decoded = ingest.take(0.5)
        if decoded is None:
            continue
        reached += decoded.track.next_offsets.tolist()
        if killed < 2:
            os.kill(child_of(ingest), signal.SIGKILL)
            killed += 1
    assert reached == list(range(1, 5001))
    assert ingest.task is Task.MULTICLASS
    ingest.close()


def test_it_ends_with_the_trainer_and_not_before(tmp_path: Path) -> None:
    """If this fails, reading programs stay behind when trainers are killed, and pile up."""
    ingest = ProcessIngest(Job(settings(tmp_path, 10), "default", Start({})), lambda _: None)
    pid = child_of(ingest)
    while ingest.take(0.5) is None:
        pass
    ingest.commit({0: Position(10)})
    assert ingest.take(0.3) is None
    assert Path(f"/proc/{pid}").exists()
    ingest.close()
    assert ingest._readers[0].program.process.returncode == 0


def test_how_much_waits_is_heard_past_what_waits(tmp_path: Path) -> None:
    """If this fails, a learner that is behind takes small microbatches, for it is told of the log as it once was."""
    made = settings(tmp_path, 5000)
    ingest = ProcessIngest(Job(made, "default", Start({})), lambda _: None)
    assert ingest.take(60) is not None
    assert ingest.ends == {0: 5000}
    sink = LogSink(log_path(made, "events"))
    sink.append([NewRecord(value) for value in events(10)])
    sink.close()
    reader, until = ingest._readers[0], time.monotonic() + 60
    while ingest.ends != {0: 5010} and time.monotonic() < until:
        if reader.program.reports.poll(1):
            ingest._take_report(reader)
    assert ingest.ends == {0: 5010}
    following = ingest.take(0)
    assert following is not None
    assert following.track.next_offsets[-1] < 5000, "nothing was taken meanwhile"
    ingest.close()


def test_a_trainer_that_takes_nothing_stops_no_reader_that_only_reports() -> None:
    """If this fails, a reader of a quiet topic stands still, and loses its connections, while the trainer waits."""
    (ours, hearing), (theirs, reporting) = socket_pairs()
    outlet = _Pipe(Connection(theirs.detach()), Connection(reporting.detach()))

    def report() -> None:
        for number in range(10_000):
            outlet.report({0: number}, waiting=number % 2 == 0)

    reader = threading.Thread(target=report, daemon=True)
    reader.start()
    reader.join(60)
    assert not reader.is_alive()
    heard = Connection(hearing.detach())
    assert heard.recv() == Report({0: 0}, waiting=True)
    heard.close()
    ours.close()


def test_what_it_cannot_go_on_from_is_raised_in_the_trainer(tmp_path: Path) -> None:
    """If this fails, a log that lost its events is read in an endless loop of restarts."""
    made = settings(tmp_path, 10)
    ingest = ProcessIngest(Job(made, "default", Start({0: Position(99)})), lambda _: None)
    with pytest.raises(PositionLost):
        ingest.take(30)
    ingest.close()
