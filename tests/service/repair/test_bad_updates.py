"""Updates that must not count, through a whole trainer: masked, counted, and nothing else changes."""

import json
from pathlib import Path

import numpy as np

from consumers.testing import MemorySource
from tests.support.training import events, learned, open_model, running, settings

NETWORK = Path(__file__).parents[2] / "models" / "user_networks.py"


def far_off(event: bytes) -> bytes:
    """Return an event over which the network's output, and so its gradient, is infinite."""
    content = json.loads(event)
    content["features"]["x"] = 1e6
    return json.dumps(content).encode()


def test_gradients_that_are_not_finite_cost_their_updates_and_nothing_else(tmp_path: Path) -> None:
    """If this fails, one event that a network cannot bear spoils the parameters, or stops the stream."""
    stream = [far_off(event) if number % 160 == 100 else event for number, event in enumerate(events(640))]
    config = settings(
        tmp_path, learner={"kind": f"{NETWORK}:Fragile", "device": "cpu", "replay": 0}, canary={"share": None}
    )
    with running(open_model(config, MemorySource({0: stream}))) as run:
        status = run.wait_for(learned(640))
        status = run.wait_for(lambda status: status.state == "idle")
        assert 1 <= status.updates_skipped["non_finite"] <= 4
        assert status.updates == {"microbatch": 40}, "each has a version, masked or not"
        assert status.events_learned == {"microbatch": 640}
        assert status.rollbacks == 0
        for name, array in run.trainer.training.learner.published(flush=True).arrays.items():
            # A column that has no number yet has no first one either.
            assert np.isfinite(array).all() or name == "encoder/origins", name
