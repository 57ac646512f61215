"""A model with a key through a crash: keys that were spilled are where they were, to the bit."""

from pathlib import Path

import msgspec
import pytest

from consumers.errors import PositionLost
from consumers.testing import Mark, MemorySource
from models import keyed_spill
from models.examples import Task
from tests.support.keyed import KEY, keyed_stream
from tests.support.training import learned, open_model, running, same_state, settings

EVENTS = 600


def events() -> list[bytes]:
    """Return events of sixty devices."""
    given = keyed_stream(Task.REGRESSION, EVENTS, keys=60)
    names = [key.name for key in given.features.keys]
    return [
        msgspec.json.encode({"features": {**dict(zip(names, row, strict=True)), KEY: device}, "label": label})
        for row, device, label in zip(
            given.features.numbers.tolist(), given.features.categories[KEY], given.labels, strict=True
        )
    ]


def test_a_crash_is_followed_by_the_same_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill would leave spilled keys that contradict the checkpoint: forgotten, doubled, or of another time."""
    monkeypatch.setattr(keyed_spill, "ROWS", 16)
    # Checkpoints are made where a trainer ends in order, and not by a crash.
    chosen = settings(tmp_path, key={"feature": KEY, "most": 8}, checkpoint={"every_seconds": 1000})
    stream = events()
    with running(open_model(chosen, MemorySource({0: stream[:400]}))) as run:
        run.wait_for(learned(400))
    run_model = open_model(chosen, MemorySource({0: [*stream, Mark(PositionLost("gone"))]}))
    with running(run_model) as run, pytest.raises(PositionLost):
        run.wait_for(learned(10**6))
    learner = run.trainer.training.learner
    crashed = learner.state()
    assert learner.status().experts["keys"]["known"] == 60
    kept = run_model.store.load()
    assert kept is not None
    assert any(name.startswith(keyed_spill.SPILLED) for name in kept.learner.arrays)
    assert kept.version < run.trainer.training.versions.current

    model = open_model(chosen, MemorySource({0: stream}))
    recovered = model.recovery().run()
    try:
        assert recovered.lane.learner is not None
        assert same_state(recovered.lane.learner.state(), crashed)
    finally:
        recovered.lane.close()
        model.close()
        model.lease.release()
