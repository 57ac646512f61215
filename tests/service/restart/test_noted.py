"""What is known of the stream beside the learner: which log it was, and which labels are classes."""

import json
from pathlib import Path

import pytest

from consumers.errors import LogReplaced, PositionLost
from consumers.log import LogSink, LogSource
from consumers.source import NewRecord
from consumers.testing import Mark, MemorySource
from models.examples import Task
from service.config import Settings
from service.durability.journal_format import Decision
from service.monitoring.status import Status
from service.restart.noted import Noted
from service.wiring import log_path
from tests.support.training import events, open_model, running, same_state, settings


def labelled(label: str | int, count: int) -> list[bytes]:
    return [json.dumps({"features": {"x": number}, "label": label}).encode() for number in range(count)]


def never(_: Status) -> bool:
    return False


def settled(status: Status) -> bool:
    """Return whether everything was taken in, whatever became of it."""
    return status.events_consumed == 400


def test_a_replay_takes_the_same_labels_for_classes(tmp_path: Path) -> None:
    """If this fails, a restart refuses events that it had learned: 1 and "1" look alike, and the first one counts."""
    chosen = settings(tmp_path, task="multiclass", checkpoint={"every_seconds": 1000})
    crash = Mark(PositionLost("gone"))
    numbers, texts = [*labelled(1, 100), *labelled(2, 100)], [*labelled("1", 100), *labelled("3", 100)]
    with (
        running(open_model(chosen, MemorySource({0: [*numbers, crash], 1: texts}))) as run,
        pytest.raises(PositionLost),
    ):
        run.wait_for(never)
    before, learner = run.trainer.training.lane.count, run.trainer.training.learner
    assert before.learned > 200
    assert not run.model.store.list(), "the crash must not have left a checkpoint"
    # Now partition 1 comes first.
    with running(open_model(chosen, MemorySource({1: texts, 0: numbers}))) as run:
        recovered = run.trainer._recovered
        assert recovered.lane_version == recovered.version
        assert same_state(recovered.lane.learner.state(), learner.state()) if recovered.lane.learner else False
        status = run.wait_for(settled)
        assert status.events_learned == {"microbatch": 300}
        assert status.dead_letters == {"label": 100}
        assert sorted(map(str, status.classes)) == ["1", "2", "3"]
    # The same again, from the checkpoint that was made in the end.
    more = MemorySource({1: [*texts, *labelled("1", 10)], 0: [*numbers, *labelled(1, 10)]})
    with running(open_model(chosen, more)) as run:
        status = run.wait_for(lambda status: status.events_consumed == 420)
        assert status.events_learned == {"microbatch": 310}


def test_classes_come_back_as_they_were() -> None:
    """If this fails, a restart cannot read what was written down of integers, booleans and texts."""
    classes = ("a", 2**80, True, 1, -3)
    decision = Decision("classes", 3, {"classes": json.dumps(classes)})
    noted = Noted.of(None, [Decision("task", 2, {"task": "multiclass"}), decision], None)
    assert noted.classes == classes
    assert [type(each) for each in noted.classes] == [type(each) for each in classes]
    assert noted.task is Task.MULTICLASS
    # What looks like one that is known is left out, as a gate does it.
    assert noted.after("classes", {"classes": json.dumps(["1", "b"])}).classes == (*classes, "b")


@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_log_in_memory_that_was_replaced_is_refused(tmp_path: Path, checkpoint: bool) -> None:
    """If this fails, offsets of a deleted log are taken for offsets of the new one, and events are passed over."""
    chosen = settings(tmp_path, checkpoint={"every_seconds": 1000})
    # Without a checkpoint, the journal alone knows which log it was.
    end = [] if checkpoint else [Mark(PositionLost("gone"))]
    with running(open_model(chosen, MemorySource({0: [*events(100), *end]}, identity="one"))) as run:
        if checkpoint:
            run.wait_for(lambda status: status.events_consumed == 100)
        else:
            with pytest.raises(PositionLost):
                run.wait_for(never)
    assert bool(run.model.store.list()) is checkpoint
    model = open_model(chosen, MemorySource({0: events(200)}, identity="other"))
    with pytest.raises(LogReplaced), running(model) as run:
        run.wait_for(lambda status: status.events_consumed > 100)
    model.close()
    model.lease.release()


def append(chosen: Settings, values: list[bytes]) -> LogSource:
    path = log_path(chosen, "events")
    sink = LogSink(path)
    sink.append([NewRecord(value) for value in values])
    sink.close()
    return LogSource(path)


@pytest.mark.parametrize("count", [50, 500])
def test_an_embedded_log_that_was_made_again_is_refused(tmp_path: Path, count: int) -> None:
    """If this fails, a trainer learns a new log from the middle, or does not say what happened to the old one."""
    chosen = settings(tmp_path)
    with running(open_model(chosen, append(chosen, events(100)))) as run:
        run.wait_for(lambda status: status.events_consumed == 100)
    for file in log_path(chosen, "events").parent.iterdir():
        file.unlink()
    with (
        running(open_model(chosen, append(chosen, events(count, seed=9)))) as run,
        pytest.raises(LogReplaced, match="train --from earliest"),
    ):
        run.wait_for(lambda status: status.events_consumed > 100)
