"""Repeats of events in a whole trainer: learned once, counted, and the same after a crash or a failed device."""

import json
from pathlib import Path

import pytest

from consumers.errors import PositionLost
from consumers.source import NewRecord
from consumers.testing import EOF, Mark, MemorySource
from models.effort import FULL, Effort
from models.errors import DeviceFailed
from models.examples import Examples, Task
from models.learner import Learner, LearnerOptions, LearnReport
from models.registry import create_learner
from service.config import ModelSettings
from tests.support.training import events, learned, open_model, running, same_state, settings

WINDOW = {"dedup_window": 500}


def named(stream: list[bytes]) -> list[bytes]:
    """Return events that are called by their place."""
    return [json.dumps({**json.loads(event), "id": place}).encode() for place, event in enumerate(stream)]


STREAM = named(events(200))
REPEATED = [*STREAM[:120], *STREAM[60:120], *STREAM[100:], *STREAM[:30]]


def test_repeats_are_learned_once_and_counted(tmp_path: Path) -> None:
    """A producer that tries again would have its events count twice."""
    chosen = settings(tmp_path, events=WINDOW)
    source = MemorySource({0: [*REPEATED[:150], EOF, *REPEATED[150:]]})
    for _ in range(2):  # a checkpoint is written at the end, and goes on
        with running(open_model(chosen, source)) as run:
            status = run.wait_for(lambda status: status.events_consumed >= 150)
    with running(open_model(chosen, source)) as run:
        status = run.wait_for(lambda status: status.events_consumed == len(REPEATED))
    assert status.events_learned == {"microbatch": 200}
    assert (status.duplicates, status.unlabelled) == (len(REPEATED) - 200, 0)


def test_without_a_window_all_is_learned(tmp_path: Path) -> None:
    """Events would be thrown away though nobody asked for it."""
    with running(open_model(settings(tmp_path), MemorySource({0: list(REPEATED)}))) as run:
        assert run.wait_for(learned(len(REPEATED))).duplicates == 0


def test_a_crash_finds_the_same_duplicates(tmp_path: Path) -> None:
    """Parameters after a crash would differ from those that were served under the same version."""
    chosen = settings(tmp_path, events=WINDOW, checkpoint={"every_seconds": 1000})
    stream: list[bytes | NewRecord | Mark] = [*REPEATED, Mark(PositionLost("gone"))]
    with running(open_model(chosen, MemorySource({0: stream}))) as run, pytest.raises(PositionLost):
        run.wait_for(learned(10**6))
    lane, version = run.trainer.training.lane, run.trainer.training.versions.current
    assert lane.learner is not None
    model = open_model(chosen, MemorySource({0: list(REPEATED)}))
    recovered = model.recovery().run()
    try:
        assert recovered.lane.learner is not None
        assert recovered.version == recovered.lane_version == version
        assert same_state(recovered.lane.learner.state(), lane.learner.state())
        assert recovered.lane.count == lane.count
        assert recovered.totals.duplicates == lane.count.duplicates
    finally:
        recovered.lane.close()
        model.close()
        model.lease.release()


class Failing:
    """A learner whose device fails in the middle of the stream. Everything else is the real learner's."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._left = 60

    def __getattr__(self, name: str) -> object:
        return getattr(self._learner, name)

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:
        """Learn until the device fails."""
        self._left -= len(examples)
        if self._left < 0:
            raise DeviceFailed("out of order")
        return self._learner.learn(examples, effort)


def test_what_a_device_failed_over_is_no_duplicate(tmp_path: Path) -> None:
    """The microbatch in hand would be lost when the stand-in takes over."""

    def make(task: Task) -> Learner:
        return Failing(create_learner(LearnerOptions(kind="linear", device="cpu"), task))  # type: ignore[return-value] # all but one method is the learner's

    with running(open_model(settings(tmp_path, events=WINDOW), MemorySource({0: list(REPEATED)}), make)) as run:
        status = run.wait_for(learned(200))
        status = run.wait_for(lambda status: status.events_consumed == len(REPEATED))
        assert sum(status.events_learned.values()) == 200
        assert status.learner == "online"


def test_a_share_needs_to_know_whose_events_are_whose() -> None:
    """A bound would be configured and bound nobody."""
    with pytest.raises(ValueError, match=r"events\.source"):
        ModelSettings.model_validate({"influence": {"key_share": 0.1}})


def test_a_greedy_source_is_scored_and_not_learned(tmp_path: Path) -> None:
    """One sender would decide what is learned though its share is bounded."""
    source = MemorySource({0: [NewRecord(each, key=b"%d" % (i % 20 if i % 2 else 7)) for i, each in enumerate(STREAM)]})
    chosen = settings(tmp_path, events={"source": "$key"}, influence={"key_share": 0.1})
    with running(open_model(chosen, source)) as run:
        status = run.wait_for(learned(200))
        # Every other event is the greedy one's; eleven sources may have twice an equal part each.
        assert 60 < status.limited < 100
        assert run.status().scores["stream"]["count"] == 200
