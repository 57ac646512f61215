"""A trainer joins labels to what was observed, and a restart goes on as if nothing had happened."""

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consumers.errors import PositionLost
from consumers.source import NewRecord
from consumers.testing import EOF, Mark, MemorySource
from models.learner import LearnerState
from service.durability.journal_reading import read_journal
from service.learning.lane import TIMEOUT
from service.monitoring.status import Status
from service.restart.remaking import model_to_read, remake
from tests.support.checksums import checksum_of_places
from tests.support.training import Running, learned, open_model, running, same_state, settings

WAIT = 0.06  # seconds, which are as many thousandths as there are events: so the source in memory counts time


def delayed(count: int, seed: int = 0) -> list[bytes]:
    """Return observations and their labels, some soon, some first, some late, some never, a few twice."""
    random = np.random.default_rng(seed)
    queue: list[tuple[float, dict[str, Any]]] = []
    for name in range(count):
        x, y = random.normal(size=2).round(3).tolist()
        observed = {"id": name, "features": {"x": x, "y": y, "city": ("Oslo", "Rome")[name % 2]}}
        label = {"id": name, "label": "up" if x + y > 0 else "down"}
        place, fate = 2.0 * name, random.random()
        queue.append((place, observed))
        if fate < 0.9:
            queue.append((place + random.uniform(-20, 50), label))
        elif fate < 0.95:
            queue.append((place + 150, label))
        if fate < 0.05:
            queue.append((place + 51, label))
    return [json.dumps(event).encode() for _, event in sorted(queue, key=lambda each: each[0])]


def expected(stream: Sequence[bytes]) -> list[tuple[int, dict[str, Any]]]:
    """Return what is to be learned of a stream, in order: the offset that counts, and the whole event."""
    observed: dict[int, tuple[int, Any]] = {}
    labels: dict[int, tuple[int, Any]] = {}
    found, done = [], set()
    for offset, event in enumerate(map(json.loads, stream)):
        name = event["id"]
        if name in done:
            continue
        if "features" in event:
            observed[name] = offset, event["features"]
        else:
            labels.setdefault(name, (offset, event["label"]))
        if name in observed and name in labels:
            done.add(name)
            if abs(observed[name][0] - labels[name][0]) <= WAIT * 1000:
                found.append((labels[name][0], {"features": observed[name][1], "label": labels[name][1]}))
    return found


def joining(folder: Path, **chosen: Any) -> Any:
    """Return settings of a model that joins labels."""
    join = {"wait": WAIT} | chosen.pop("join", {})
    return settings(folder, **({"join": join, "learner": {"kind": "online"}} | chosen))


def idle(status: Status) -> bool:
    """Return whether all is read."""
    return status.state == "idle" and not sum(status.lag.values())


def consumed(events: int) -> Callable[[Status], bool]:
    """Return whether so many events are read, and no more are there, as a condition to wait for."""
    return lambda status: idle(status) and status.events_consumed == events


def states(run: Running) -> dict[str, LearnerState]:
    """Return all that a trainer's lane holds."""
    lane = run.trainer.training.lane
    assert lane.learner is not None
    return {"": lane.learner.state(), **lane.screen.states()}


def same_states(one: dict[str, LearnerState], other: dict[str, LearnerState]) -> bool:
    """Return whether two lanes hold the same, bit for bit."""
    return one.keys() == other.keys() and all(
        same_state(one[name], other[name]) and json.dumps(one[name].meta) == json.dumps(other[name].meta)
        for name in one
    )


def test_what_is_joined_is_learned_as_if_it_had_come_whole(tmp_path: Path) -> None:
    """If this fails, an example is lost or doubled, or learned with other features, or in another order."""
    stream = delayed(400)
    whole = expected(stream)
    with running(open_model(joining(tmp_path / "joined"), MemorySource({0: stream}))) as run:
        status = run.wait_for(idle)
    events = [json.dumps(event).encode() for _, event in whole]
    with running(open_model(joining(tmp_path / "whole"), MemorySource({0: events}))) as offline:
        scores = offline.wait_for(idle).scores
    assert status.scores == scores
    assert run.trainer.training.lane.learned == len(whole)
    assert status.events_checksum == checksum_of_places([(0, offset + 1, 0) for offset, _ in whole])
    assert status.join is not None
    assert status.join.outcomes["joined"] == len(whole)
    assert status.events_consumed == len(stream)


@pytest.mark.parametrize("first", [0, 70])
def test_a_crash_is_followed_by_the_very_same_join(tmp_path: Path, first: int) -> None:
    """If this fails, a label that came once is learned twice or never after a crash, or a version is two things."""
    # No checkpoint but the one at the end, which a crash does not reach; and at first there may be no label at all.
    chosen = joining(tmp_path, checkpoint={"every_seconds": 1000}, learner={"kind": "linear", "device": "cpu"})
    alone = [json.dumps({"id": -name, "features": {"x": 1.0}}).encode() for name in range(1, first + 1)]
    stream: list[bytes | NewRecord | Mark] = [*alone, *delayed(150)]
    half = first + 150
    source = MemorySource({0: [*stream[:half], Mark(PositionLost("gone")), *stream[half:]]})
    with running(open_model(chosen, source)) as run, pytest.raises(PositionLost):
        run.wait_for(learned(10**6))
    crashed, version = states(run), run.trainer.training.versions.current
    assert len(read_journal(run.model.paths.journal, -1).entries) > half // 16
    model = open_model(chosen, MemorySource({0: stream}))
    recovered = model.recovery().run()
    try:
        assert recovered.version == recovered.lane_version == version
        assert recovered.lane.learner is not None
        assert same_states({"": recovered.lane.learner.state(), **recovered.lane.screen.states()}, crashed)
        assert recovered.lane.count == run.trainer.training.lane.count
    finally:
        recovered.lane.close()
        model.close()
        model.lease.release()


def test_observations_alone_outlast_a_crash_before_the_first_label(tmp_path: Path) -> None:
    """If this fails, what was observed before anybody knew the task is lost, or its labels are learned twice."""
    chosen = joining(tmp_path, checkpoint={"every_seconds": 1000})
    observed = [json.dumps({"id": name, "features": {"x": float(name)}}).encode() for name in range(30)]
    labels = [json.dumps({"id": name, "label": "odd" if name % 2 else "even"}).encode() for name in range(30)]
    for _ in range(2):
        source = MemorySource({0: [*observed, Mark(PositionLost("gone")), *labels]})
        with running(open_model(chosen, source)) as run, pytest.raises(PositionLost):
            run.wait_for(learned(1))
    with running(open_model(chosen, MemorySource({0: [*observed, *labels]}))) as run:
        status = run.wait_for(idle)
        assert status.events_learned == {"online": 30}
        assert status.events_consumed == 60
    with running(open_model(chosen, MemorySource({0: [*observed, *labels]}))) as run:
        assert run.wait_for(idle).version == status.version


def test_restarts_change_neither_what_is_learned_nor_what_waits(tmp_path: Path) -> None:
    """If this fails, a checkpoint forgets an observation, or a restored join goes another way than the one before."""
    stream = delayed(300)
    chosen = joining(
        tmp_path,
        task="binary",
        checkpoint={"every_seconds": 0.05},
        join={"on_timeout": "learn", "default": "down"},
    )
    cuts = [0, 101, 233, 390, len(stream)]
    items: list[bytes | NewRecord | Mark] = []
    for start, stop in pairwise(cuts):
        items += [*stream[start:stop], EOF]
    source = MemorySource({0: items})
    for stop in cuts[1:]:
        with running(open_model(chosen, source)) as run:
            run.wait_for(consumed(stop))
    found = run.trainer.training.lane
    calm = chosen.model_copy(update={"data_dir": tmp_path / "calm", "publish_dir": tmp_path / "calm" / "publish"})
    with running(open_model(calm, MemorySource({0: stream}))) as undisturbed:
        undisturbed.wait_for(idle)
    lane = undisturbed.trainer.training.lane
    assert (found.count.learned, found.count.checksum) == (lane.count.learned, lane.count.checksum)
    assert found.screen.join is not None
    assert lane.screen.join is not None
    assert found.screen.join.outcomes.counts == lane.screen.join.outcomes.counts
    assert found.screen.join.outcomes.counts["timed_out"] > 0
    with model_to_read(chosen, "default", source) as model:
        newer, older = model.store.list()[:2]
        base, target = model.store.load(older), model.store.load(newer)
        assert base is not None
        assert target is not None
        assert remake(model, base, target).outcome == "same"


def test_a_stream_that_falls_silent_times_out_and_a_crash_repeats_it(tmp_path: Path) -> None:
    """If this fails, the last impressions wait for ever, or a restart learns them otherwise than they were served."""
    chosen = joining(
        tmp_path,
        task="binary",
        checkpoint={"every_seconds": 1000},
        learner={"kind": "linear", "device": "cpu"},
        join={"on_timeout": "learn", "default": "down"},
    )
    stream = [*delayed(60), json.dumps({"id": "last", "features": {"x": 1.0}}).encode()]
    source = MemorySource({0: stream})
    with running(open_model(chosen, source)) as run:
        run.wait_for(lambda status: idle(status) and status.join is not None and not status.join.observations)
        source.append(0, *delayed(40, seed=1), Mark(PositionLost("gone")))
        with pytest.raises(PositionLost):
            run.wait_for(learned(10**6))
        silent, version = states(run), run.trainer.training.versions.current
        count = run.trainer.training.lane.count
    model = open_model(chosen, MemorySource({0: [*stream, *delayed(40, seed=1)]}))
    assert any(getattr(entry, "kind", "") == TIMEOUT for entry in read_journal(model.paths.journal, -1).entries)
    recovered = model.recovery().run()
    try:
        assert recovered.version == recovered.lane_version == version
        assert recovered.lane.learner is not None
        assert same_states({"": recovered.lane.learner.state(), **recovered.lane.screen.states()}, silent)
        assert recovered.lane.count == count
    finally:
        recovered.lane.close()
        model.close()
        model.lease.release()
