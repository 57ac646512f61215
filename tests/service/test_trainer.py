"""The trainer's promises: each event once, the same parameters after a restart, and a device that may fail."""

from pathlib import Path

import numpy as np
import pytest

from consumers.errors import PositionLost
from consumers.source import NewRecord
from consumers.testing import ABORT, EOF, Aborted, Mark, MemorySource
from models.effort import FULL, Effort
from models.errors import DeviceFailed
from models.examples import Examples, Task
from models.learner import Learner, LearnerOptions, LearnReport
from models.registry import create_learner, load_predictor
from service.decoding.columns import features_from_rows
from service.durability.journal_format import Decision, Update
from service.durability.journal_reading import read_journal
from service.durability.lease import Lease
from service.errors import ConfigurationInvalid, OwnershipLost
from service.learning.trainer_process import start_trainer
from service.publishing.subscription import Subscription
from service.wiring import model_paths
from tests.support.checksums import checksum_of_single
from tests.support.training import Running, events, learned, open_model, running, same_state, settings


def test_it_learns_every_event_once_and_serves_what_it_learned(tmp_path: Path) -> None:
    """If this fails, nothing else about Headrace matters."""
    source = MemorySource({0: events(300), 1: events(200, first=300)})
    with running(open_model(settings(tmp_path), source)) as run:
        status = run.wait_for(learned(500))
        run.wait_for(lambda status: status.state == "idle")
        assert status.events_learned == {"microbatch": 500}
        assert status.task == "multiclass"
        assert sorted(map(str, status.classes)) == ["down", "up"]
        assert sum(status.lag.values()) == 0
        assert status.events_checksum == checksum_of_single({0: 300, 1: 200})
        rows = features_from_rows([{"x": 2.0, "y": 2.0, "city": "Oslo"}, {"x": -2.0, "y": -2.0, "city": "Rome"}])
        header, served = Subscription(run.model.paths.publication).read(
            lambda view: load_predictor(view.spec, view.arrays).predict(rows)
        )
        own = run.trainer.training.learner.predictor().predict(rows)
        assert header["version"] == status.version == run.trainer.training.versions.current
        assert served.probabilities is not None
        assert own.probabilities is not None
        np.testing.assert_allclose(served.probabilities, own.probabilities, atol=1e-6)


def test_a_former_owner_without_events_notices_that_it_is_one(tmp_path: Path) -> None:
    """If this fails, a frozen trainer that wakes goes on reporting, and the state swings between two."""
    run = Running(open_model(settings(tmp_path), MemorySource({0: events(20)})))
    before = run.wait_for(learned(20))
    successor = Lease.acquire(run.model.paths.lease, lease_seconds=0.0)
    assert successor is not None
    with pytest.raises(OwnershipLost):
        run.wait_for(lambda status: status.written_at > before.written_at + 60)
    last = run.status().written_at
    run.end()
    assert run.status().written_at == last
    successor.release()


def test_what_cannot_be_used_costs_one_event_each(tmp_path: Path) -> None:
    """If this fails, one bad event stops the stream, disappears, or is counted again after a restart."""
    bad = [b"{not json", b'{"features": {"x": 1}, "label": {}}', b"[1]"]
    chosen = settings(tmp_path)
    source = MemorySource({0: [*events(40), *bad, *events(40, first=40)]})
    for _ in range(2):
        with running(open_model(chosen, source)) as run:
            status = run.wait_for(learned(80))
            assert sum(status.dead_letters.values()) == 3
            assert status.events_learned == {"microbatch": 80}
    assert status.events_consumed == 83


def test_a_restart_goes_on_with_the_same_parameters(tmp_path: Path) -> None:
    """If this fails, a restart forgets, or learns something twice."""
    stream = events(1000)
    calm, broken = settings(tmp_path / "calm"), settings(tmp_path / "broken")
    with running(open_model(calm, MemorySource({0: stream}))) as run:
        run.wait_for(learned(1000))
    expected = run.trainer.training.learner.state()

    source = MemorySource({0: [*stream[:333], EOF, *stream[333:700], EOF, *stream[700:]]})
    versions = []
    for count in (333, 700, 1000):
        with running(open_model(broken, source)) as run:
            versions.append(run.wait_for(learned(count)).version)
    assert versions == sorted(set(versions))
    status = run.status()
    assert status.events_learned == {"microbatch": 1000}
    assert status.updates["microbatch"] == status.version
    # The microbatches at the two interruptions were cut short by the delay, so only the number of events can be equal.
    assert run.trainer.training.lane.learned == 1000
    assert status.events_checksum == checksum_of_single({0: 1000})
    assert expected.arrays.keys() == run.trainer.training.learner.state().arrays.keys()


def test_another_task_than_the_one_learned_is_refused(tmp_path: Path) -> None:
    """If this fails, a changed `task:` does nothing, and nobody is told."""
    with running(open_model(settings(tmp_path), MemorySource({0: events(100)}))) as run:
        run.wait_for(learned(100))
    model = open_model(settings(tmp_path, task="regression"), MemorySource({0: events(100)}))
    with pytest.raises(ConfigurationInvalid, match=r"task: regression is configured, but .* is multiclass"):
        start_trainer(model)
    model.close()
    model.lease.release()


def test_a_crash_is_followed_by_the_very_same_versions(tmp_path: Path) -> None:
    """If this fails, a version number stands for two different sets of parameters."""
    # No checkpoint but the one at the end, which a crash does not reach: everything must come from the journal.
    chosen = settings(tmp_path, checkpoint={"every_seconds": 1000})
    stream: list[bytes | NewRecord | Mark] = [*events(300), Mark(PositionLost("gone")), *events(300, first=300)]
    source = MemorySource({0: stream, 1: events(300, seed=5)})
    run_model = open_model(chosen, source)
    with running(run_model) as run, pytest.raises(PositionLost):
        run.wait_for(learned(10**6))
    crashed, version = run.trainer.training.learner.state(), run.trainer.training.versions.current
    entries = [entry for entry in read_journal(run_model.paths.journal, -1).entries if isinstance(entry, Update)]
    assert entries[-1].version == version
    assert not run_model.store.list(), "the crash must not have left a checkpoint"

    model = open_model(chosen, MemorySource({0: events(300), 1: events(300, seed=5)}))
    recovered = model.recovery().run()
    try:
        assert recovered.version == recovered.lane_version == version
        assert recovered.lane.learner is not None
        assert same_state(recovered.lane.learner.state(), crashed)
    finally:
        recovered.lane.close()
        model.close()
        model.lease.release()


def test_a_crash_is_not_followed_into_other_events(tmp_path: Path) -> None:
    """If this fails, other events than before are learned under version numbers that were served."""
    chosen = settings(tmp_path, checkpoint={"every_seconds": 1000})
    good, none = (event.decode() for event in (*events(1), b'{"features": {"x": 1}}'))
    usual = [event.decode() for event in events(30, first=1)]
    stream = [f"[{', '.join(usual)}]", f"[{good}, {none}, {good}]"]
    source = MemorySource({0: [each.encode() for each in stream] + [Mark(PositionLost("gone"))]})
    with running(open_model(chosen, source)) as run, pytest.raises(PositionLost):
        run.wait_for(learned(10**6))
    served = run.trainer.training.versions.current
    assert run.trainer.training.lane.learned == 32
    # As many events as before, from the same messages, but not the same ones; and no letter to tell which was refused.
    model_paths(chosen, "default").dead_letters.unlink()
    stream[1] = f"[{none}, {good}, {good}]"
    with running(open_model(chosen, MemorySource({0: [each.encode() for each in stream]}))) as run:
        status = run.wait_for(learned(32))
        assert run.trainer.training.lane.learned == 32
        assert status.events_learned == {"microbatch": 32}
        assert status.version > served
        journal = read_journal(run.model.paths.journal, -1).entries
        assert any(isinstance(entry, Decision) and entry.kind == "renumber" for entry in journal)


class Fragile:
    """A learner whose device fails when a test says so. Everything else is the real learner's."""

    broken = False

    def __init__(self, learner: Learner) -> None:
        self._learner = learner

    def __getattr__(self, name: str) -> object:
        return getattr(self._learner, name)

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:
        if Fragile.broken:
            raise DeviceFailed("injected")
        return self._learner.learn(examples, effort)


def test_the_online_learner_stands_in_and_the_other_comes_back_having_missed_nothing(tmp_path: Path) -> None:
    """If this fails, a dead device means a model that stops learning, or one that has lost or doubled events."""

    def make(task: Task) -> Fragile:
        if Fragile.broken:
            raise DeviceFailed("injected")
        return Fragile(create_learner(LearnerOptions(kind="linear", device="cpu"), task))

    source = MemorySource({0: events(400)})
    try:
        with running(open_model(settings(tmp_path), source, make)) as run:  # type: ignore[arg-type] # all but two methods are the learner's
            run.wait_for(learned(400))
            Fragile.broken = True
            source.append(0, *events(100, first=400))
            status = run.wait_for(lambda status: status.events_learned.get("online") == 100)
            assert status.learner == "online"
            assert status.errors
            before = status.version
            header, _ = Subscription(run.model.paths.publication).read(lambda _: None)
            assert header["learner"] == "online"
            Fragile.broken = False
            run.wait_for(lambda status: status.learner == "microbatch")
            source.append(0, *events(50, first=500))
            status = run.wait_for(learned(550))
            assert status.events_learned == {"microbatch": 450, "online": 100}
            assert status.version > before
            assert run.trainer.training.lane.learned == 550, "the returned learner missed something"
            assert run.trainer.training.lane.count.hex == checksum_of_single({0: 550})
            header, _ = Subscription(run.model.paths.publication).read(lambda _: None)
            assert header["learner"] == "microbatch"
        with running(open_model(settings(tmp_path), source)) as run:
            status = run.wait_for(learned(550))
            assert run.trainer.training.lane.learned == 550
    finally:
        Fragile.broken = False


def test_a_device_that_does_not_answer_at_start_is_stood_in_for(tmp_path: Path) -> None:
    """If this fails, a trainer that restarts because of a dead device never comes up again."""
    chosen, source = settings(tmp_path), MemorySource({0: events(200)})
    with running(open_model(chosen, source)) as run:
        run.wait_for(learned(200))
    run.model.paths.drill.touch()
    source.append(0, *events(100, first=200))
    with running(open_model(chosen, source)) as run:
        status = run.wait_for(learned(300))
        assert status.events_learned == {"microbatch": 200, "online": 100}
        assert status.events_checksum == checksum_of_single({0: 300})
        run.model.paths.drill.unlink()
        run.wait_for(lambda status: status.learner == "microbatch")
        assert run.trainer.training.lane.count.hex == checksum_of_single({0: 300})
        assert run.trainer.training.lane.learned == 300


def test_a_log_that_breaks_ends_the_trainer_with_the_reason(tmp_path: Path) -> None:
    """If this fails, a trainer that cannot read goes on as if nothing had happened."""
    source = MemorySource({0: [*events(50), ABORT]})
    with running(open_model(settings(tmp_path), source)) as run, pytest.raises(Aborted, match="told to break"):
        run.wait_for(learned(10**6))
