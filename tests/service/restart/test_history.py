"""Which of the journal's entries a restart follows, and that it comes to the same parameters by them."""

from pathlib import Path
from typing import Any

import pytest

from consumers.errors import PositionLost
from consumers.testing import Mark, MemorySource
from models.learner import LearnerState
from service.durability.journal_format import Decision, Entry
from service.learning.model import Model
from service.monitoring.status import Status
from service.restart.history import history
from service.restart.recovery import Recovered
from tests.support.checksums import checksum_of_single
from tests.support.journaling import update, updates
from tests.support.training import events, learned, open_model, running, same_state, settings


def renumber(version: int, origin: int) -> Entry:
    return Decision("renumber", version, {"restored_from": origin})


def test_all_updates_and_rollbacks_lead_on() -> None:
    """If this fails, a restart leaves something out, or takes a note for a step."""
    rollback = Decision("rollback", 6, {"restored_from": 4})
    entries = [*updates(4, 5), rollback, Decision("classes", 6, {"classes": "[]"}), *updates(7, 8)]
    past = history(3, entries, "microbatch")
    assert past.steps == [*updates(4, 5), rollback, *updates(7, 8)]
    assert not past.others


def test_what_was_given_up_is_not_followed() -> None:
    """If this fails, a second restart after a failed one learns events twice."""
    entries = [*updates(4, 7), renumber(8, 5), *updates(9, 10)]
    assert history(3, entries, "microbatch").steps == [*updates(4, 5), renumber(8, 5), *updates(9, 10)]
    assert history(3, entries[:5], "microbatch").steps[-1].version == 8


@pytest.mark.parametrize("end", [Decision("fallback", 6, {}), renumber(6, 2)])
def test_there_is_no_way_on_where_another_learner_or_an_older_checkpoint_was_gone_on_from(end: Entry) -> None:
    """If this fails, a restart gives version numbers that were served to other parameters."""
    past = history(3, [*updates(4, 5), end, update(7)], "microbatch")
    assert past.steps == updates(4, 5)
    assert past.others == [end, update(7)]
    assert past.gap


def recovered_by(model: Model) -> Recovered:
    """Recover a model, and let go of it."""
    try:
        recovered = model.recovery().run()
        recovered.lane.close()
        return recovered
    finally:
        model.close()
        model.lease.release()


def never(_: Status) -> bool:
    return False


def crashed(folder: Path, stream: list[bytes], count: int, **model: Any) -> tuple[LearnerState, int]:
    """Learn `count` events of a stream, then break, without a checkpoint; return the state and the version."""
    source = MemorySource({0: stream})
    chosen = settings(folder, checkpoint={"every_seconds": 1000}, **model)
    with running(open_model(chosen, source)) as run:
        run.wait_for(learned(count))
        source.append(0, Mark(PositionLost("gone")))
        with pytest.raises(PositionLost):
            run.wait_for(never)
    assert run.trainer.training.lane.learned == count
    return run.trainer.training.learner.state(), run.trainer.training.versions.current


def test_a_restart_that_could_not_follow_the_journal_is_followed_itself(tmp_path: Path) -> None:
    """If this fails, one accident costs exactness until the next checkpoint."""
    good, none = events(1)[0].decode(), '{"features": {"x": 1}}'
    usual = ", ".join(event.decode() for event in events(30, first=1))
    crashed(tmp_path, [f"[{usual}]".encode(), f"[{good}, {none}, {good}]".encode()], 32)
    # As many events as before, from the same messages, but not the same ones: these are learned under new numbers.
    other = [f"[{usual}]".encode(), f"[{none}, {good}, {good}]".encode(), *events(20, first=50)]
    state, version = crashed(tmp_path, other, 52)
    recovered = recovered_by(open_model(settings(tmp_path), MemorySource({0: other})))
    assert recovered.lane_version == recovered.version == version
    assert recovered.lane.learned == 52
    assert recovered.lane.learner is not None
    assert same_state(recovered.lane.learner.state(), state)


def test_after_a_crash_changed_settings_give_new_numbers(tmp_path: Path) -> None:
    """If this fails, a version that was served under the old settings comes back with other parameters."""
    stream = events(100)
    _, served = crashed(tmp_path, stream, 100, learner={"kind": "linear", "device": "cpu"})
    changed = settings(tmp_path, learner={"kind": "linear", "device": "cpu", "learning_rate": 0.5})
    with running(open_model(changed, MemorySource({0: stream}))) as run:
        assert run.trainer._recovered.lane_version == 0
        status = run.wait_for(lambda status: status.version > served + 100 // 16 and status.state == "idle")
        assert status.events_checksum == checksum_of_single({0: 100})
        assert status.events_learned == {"microbatch": 100}
    # What shapes no update may change.
    recovered = recovered_by(open_model(settings(tmp_path / "other", fallback={"learner": "none"}), MemorySource()))
    assert recovered.version == 0
