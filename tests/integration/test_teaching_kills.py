"""A student's trainer is killed while its teacher goes on and dies: what comes of it is what the journal says."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from consumers.log import LogSink, LogSource
from consumers.source import NewRecord
from models.examples import Examples, Task
from models.learner import Learner
from models.registry import create_learner
from service.checkpoints import CheckpointStore
from service.commands.checkpoint_commands import verify_command
from service.config import Settings, load_settings
from service.durability.journal_format import Update
from service.durability.journal_reading import read_journal
from service.events import EventDecoder
from service.learning.lessons import decode_lesson
from service.learning.trainer_process import prepare_learning
from service.monitoring.status import Status, read_status
from service.wiring import model_paths
from tests.service.learning.test_teaching import unlabelled
from tests.support.processes import START_SECONDS, Installation, installation
from tests.support.training import events, same_state

COUNT, EARLY = 1200, 100
USUAL: dict[str, Any] = {
    "task": "multiclass",
    "learner": {"kind": "mlp", "device": "cpu", "network": {"hidden": [16]}},
    "microbatch": {"max_size": 32, "max_delay_ms": 5},
    # No checkpoint but the one at the end: all that was learned before a kill comes from the journal.
    "checkpoint": {"every_seconds": 1000},
}
MODELS = {"old": USUAL | {"topic": "labelled"}, "default": USUAL | {"teacher": {"model": "old"}}}


@contextmanager
def appending(place: Installation, topic: str, values: Sequence[bytes]) -> Iterator[None]:
    """Append events a few at a time meanwhile, so that learning is in mid-stream when something happens."""
    sink = LogSink(place.data_dir / "log" / f"{topic}.sqlite")

    def append() -> None:
        for start in range(0, len(values), 20):
            sink.append([NewRecord(value) for value in values[start : start + 20]])
            time.sleep(0.02)

    thread = threading.Thread(target=append)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        sink.close()


def wait_for(place: Installation, settings: Settings, name: str, condition: Callable[[Status], bool]) -> Status:
    """Return the first status of a model that fulfils `condition`."""
    until = time.monotonic() + START_SECONDS
    while True:
        status = read_status(model_paths(settings, name).status)
        if status is not None and condition(status):
            return status
        assert time.monotonic() < until, (
            f"it did not happen in time; the status was {status}\n{place.log(name)[-3000:]}"
        )
        time.sleep(0.01)


def learned_undisturbed(settings: Settings, learner: Learner, updates: Sequence[Update]) -> int:
    """Have a learner learn the log by the journal's boundaries and lessons alone; return how many were taught."""
    reader = LogSource(model_paths(settings, "default").root.parents[1] / "log" / "events.sqlite").open({})
    decoder = EventDecoder(settings.models["default"].events, {}, observations=True)
    parts: list[Examples] = []
    while found := reader.poll(1000, 0.0):
        parts += [decoded.examples for decoded in decoder.pieces(found)]
    reader.close()
    rows, start, taught = Examples.concatenate(parts), 0, 0
    for update in updates:
        stop = start + sum(run.rows for run in update.runs)
        lesson = decode_lesson(update.lesson, stop - start)
        batch = replace(rows.slice(start, stop), taught=lesson)
        learner.learn(batch if lesson is not None else batch.known())
        taught += 0 if lesson is None else stop - start
        start = stop
    assert start == len(rows) == COUNT
    return taught


def test_a_student_that_is_killed_is_what_the_journal_says(tmp_path: Path) -> None:
    """If this fails, a crash changes what a student has learned, and no replay can find it."""
    stream = unlabelled(events(COUNT, seed=5), 6)
    with installation(tmp_path, models=MODELS, ingest={"processes": 0}) as place:
        settings = load_settings(place.config, {})
        place.start("train", "--model", "old", name="old")
        student = place.start("train", "--model", "default", name="default")
        with appending(place, "events", stream[:EARLY]), appending(place, "labelled", events(600)):
            wait_for(place, settings, "old", lambda status: status.version > 0)
        with appending(place, "events", stream[EARLY:]), appending(place, "labelled", events(600, seed=1)):
            before = wait_for(place, settings, "default", lambda status: status.events_consumed > 2 * EARLY)
            os.kill(student.pid, signal.SIGKILL)
            student.wait(10)
        place.start("train", "--model", "default", name="default")
        # The teacher goes on and then dies while the student recovers, so nothing that it said can be asked again.
        wait_for(place, settings, "old", lambda status: sum(status.events_learned.values()) == 1200)
        os.kill(place.pid("old"), signal.SIGKILL)
        after = wait_for(place, settings, "default", lambda status: status.events_consumed == COUNT)
        assert after.epoch > before.epoch
        updates = [
            entry
            for entry in read_journal(model_paths(settings, "default").journal, -1).entries
            if isinstance(entry, Update)
        ]
        os.kill(place.pid("default"), signal.SIGTERM)
        last = wait_for(place, settings, "default", lambda status: status.state == "stopped")
        assert "Traceback" not in place.log("default")
    prepare_learning()
    learner = create_learner(settings.models["default"].learner, Task.MULTICLASS)
    taught = learned_undisturbed(settings, learner, updates)
    checkpoint = CheckpointStore(model_paths(settings, "default").checkpoints).load()
    assert checkpoint is not None
    assert same_state(checkpoint.learner, learner.state())
    assert last.teacher is not None
    assert (last.teacher.taught, last.teacher.untaught) == (taught, COUNT - taught)
    assert taught >= COUNT - EARLY, "after these the teacher has published something"
    assert sum(last.events_learned.values()) + last.unlabelled == COUNT
    assert verify_command(settings, "default", 0, lambda _line: None).data["ok"]
