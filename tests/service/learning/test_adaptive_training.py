"""A trainer whose microbatches and efforts follow the load: what it does is written down, told, and done again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consumers.errors import PositionLost
from consumers.testing import EOF, Mark, MemorySource
from models.effort import LEVELS, Effort
from service.checkpoints import CheckpointStore
from service.config import Settings
from service.journal import Update, read_journal
from service.learning import adaptive
from service.learning.adaptive_training import Adapting
from service.monitoring.status import Status
from service.restart.remaking import Remade, model_to_read, remake
from service.wiring import model_paths
from tests.support.training import events, learned, open_model, running, same_state, settings

MIXTURE = {
    "kind": "auto",
    "device": "cpu",
    "network": {"experts": ["linear", {"kind": "leaves", "trees": 10}, "rls", "prior"]},
}


def chosen(folder: Path, **microbatch: Any) -> Settings:
    bounds = {"max_size": 64, "max_delay_ms": 10, **microbatch}
    return settings(folder, learner=MIXTURE, microbatch=bounds, checkpoint={"every_seconds": 1000})


@pytest.fixture
def varied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have efforts vary with the updates."""

    def effort(adapting: Adapting) -> Effort:
        return LEVELS[(0, 0, 3, 3, 2, 0, 1)[adapting._training.versions.current % 7]]

    monkeypatch.setattr(Adapting, "effort", property(effort))


def efforts_of(found: Settings) -> list[int]:
    entries = read_journal(model_paths(found, "default").journal, -1).entries
    return [entry.effort for entry in entries if isinstance(entry, Update)]


@pytest.mark.usefixtures("varied")
def test_a_crash_is_recovered_from_with_the_efforts_that_there_were(tmp_path: Path) -> None:
    """Other parameters than were served would come back under their numbers."""
    found, stream = chosen(tmp_path, max_size=32, adaptive=False), events(500)
    with (
        running(open_model(found, MemorySource({0: [*stream, Mark(PositionLost("gone"))]}))) as run,
        pytest.raises(PositionLost),
    ):
        run.wait_for(learned(10**6))
    training = run.trainer.training
    assert set(efforts_of(found)) == {0, 1, 2, 3}
    model = open_model(found, MemorySource({0: stream}))
    try:
        recovered = model.recovery().run()
        recovered.lane.close()
    finally:
        model.close()
        model.lease.release()
    assert recovered.lane_version == training.versions.current
    assert recovered.lane.learner is not None
    assert same_state(recovered.lane.learner.state(), training.learner.state())


@pytest.mark.usefixtures("varied")
def test_a_checkpoint_is_made_again_with_the_efforts_that_there_were(tmp_path: Path) -> None:
    """Nobody could prove that a checkpoint stands for the log's events."""
    found = chosen(tmp_path, max_size=32, adaptive=False)
    source = MemorySource({0: [*events(200), EOF, *events(300, first=200), EOF]})
    for count in (200, 500):
        with running(open_model(found, source)) as run:
            run.wait_for(learned(count))
    store = CheckpointStore(model_paths(found, "default").checkpoints)
    first, second = (store.load(info) for info in reversed(store.list()))
    assert first is not None
    assert second is not None
    with model_to_read(found, "default", source) as model:
        assert remake(model, first, second) == Remade("same", "", 300)


def has(condition: Callable[[Any], bool]) -> Callable[[Status], bool]:
    return lambda status: status.microbatch is not None and condition(status.microbatch)


def test_a_backlog_is_learned_with_less_effort_and_the_calm_brings_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of what the load decides would reach the learner, or an operator."""
    monkeypatch.setattr(adaptive, "DRAIN", 0.01)
    monkeypatch.setattr(adaptive, "CALM", 0.1)
    found = chosen(tmp_path, max_size=256)
    with running(open_model(found, MemorySource({0: events(2000)}))) as run:
        status = run.wait_for(learned(2000))
        assert status.events_learned == {"microbatch": 2000}
        assert 3 in efforts_of(found)
        status = run.wait_for(has(lambda plan: plan.effort == 0 and plan.waiting == 0))
        assert status.microbatch is not None
        assert status.microbatch.target_events <= 256
        assert "full effort" in status.microbatch.reason
        assert status.microbatch.update_fixed_seconds > 0


def sizes_of(found: Settings) -> list[int]:
    entries = read_journal(model_paths(found, "default").journal, -1).entries
    return [sum(run.rows for run in entry.runs) for entry in entries if isinstance(entry, Update)]


def test_a_large_backlog_is_learned_in_larger_microbatches_within_their_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Millions of events would be learned at half the speed; or more at once than was allowed."""
    monkeypatch.setattr(adaptive, "BACKLOG_PARTS", 1)
    monkeypatch.setattr(adaptive, "LEARNED_PARTS", 1)
    found = chosen(tmp_path, max_size=16, backlog_size=100)
    with running(open_model(found, MemorySource({0: events(2000)}))) as run:
        run.wait_for(learned(2000))
        sizes = sizes_of(found)
    assert sum(sizes) == 2000
    assert 16 < max(sizes) <= 64, "what doubling makes of the usual size within 100"


def test_sizes_stay_as_configured_where_they_are_not_to_be_adapted(tmp_path: Path) -> None:
    """Whoever asks for microbatches of one size would get others."""
    with running(open_model(chosen(tmp_path, adaptive=False), MemorySource({0: events(640)}))) as run:
        status = run.wait_for(learned(640))
        assert status.microbatch is None
        assert status.updates == {"microbatch": 10}
        assert set(efforts_of(chosen(tmp_path))) == {0}
