"""A trainer whose stream was mostly refused: it says that it pauses, recovers in that state, and goes on when told."""

from pathlib import Path

import pytest

from consumers.testing import MemorySource
from tests.support.training import events, learned, open_model, running, same_state, settings


def test_a_paused_trainer_recovers_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a crash while learning is paused loses what was learned before, or learning never goes on."""
    chosen = settings(tmp_path, dead_letters={"pause_window": 20}, checkpoint={"every_seconds": 1000})
    source = MemorySource({0: [*events(64), *[b"{broken"] * 80]})
    with running(open_model(chosen, source)) as run:
        status = run.wait_for(lambda status: status.state == "paused" and sum(status.events_learned.values()) == 64)
        assert status.paused is not None
        assert "80 of the last" not in status.paused.detail
        assert status.dead_letters == {"malformed": 80}
        assert any(error.message == status.paused.detail for error in status.errors)
        source.append(0, *events(64, first=64))
        # As after a kill: no checkpoint, only the journal.
        monkeypatch.setattr(run.trainer._housekeeping, "finish", lambda: None)
    # Asked for once it has ended, for a learner belongs to the thread that learns.
    before, version = run.trainer.training.learner.state(), run.trainer.training.versions.current
    assert not list(run.model.paths.checkpoints.glob("manifest-*"))
    with running(open_model(chosen, source)) as run:
        status = run.wait_for(lambda status: status.state == "paused" and bool(status.ends))
        assert run.trainer.training.versions.current == version
        assert status.events_learned == {"microbatch": 64}
    assert same_state(run.trainer.training.learner.state(), before)
    with running(open_model(chosen, source)) as run:
        run.wait_for(lambda status: status.state == "paused")
        run.model.dead_letters.pauses.end()
        status = run.wait_for(learned(128))
        assert status.dead_letters == {"malformed": 80}
        assert run.wait_for(lambda status: status.state == "idle").paused is None
