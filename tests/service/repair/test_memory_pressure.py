"""A device without room for a microbatch: smaller ones, from the same place on, and in the end the online learner."""

import json
from pathlib import Path
from typing import Any

import pytest

from consumers.testing import MemorySource
from service.config import Settings
from tests.support.training import events, learned, open_model, running, same_state, settings

NETWORK = Path(__file__).parents[2] / "models" / "user_networks.py"
STREAM = events(640)
LARGE = 40


def widened(event: bytes) -> bytes:
    """Return an event with so many features more that the network grows."""
    content = json.loads(event)
    content["features"] |= {f"more {number}": number / LARGE for number in range(LARGE)}
    return json.dumps(content).encode()


def chosen(folder: Path, limit: Path, max_size: int = 64, from_inputs: int = 0) -> Settings:
    """Return settings under which every microbatch but the last is as large as may be, and is one step."""
    learner: dict[str, Any] = {
        "kind": f"{NETWORK}:Hungry",
        "network": {"limit": str(limit), "from_inputs": from_inputs},
        "device": "cpu",
        "step_size": 0,
        "replay": 0,
    }
    microbatch = {"max_size": max_size, "max_delay_ms": 2000, "adaptive": False}
    return settings(folder, learner=learner, microbatch=microbatch, checkpoint={"every_seconds": 1000.0})


@pytest.mark.parametrize("before", [0, 320], ids=["from the start", "in mid-stream"])
def test_what_does_not_fit_is_learned_in_smaller_pieces(tmp_path: Path, before: int) -> None:
    """If this fails, one large microbatch costs the device, or events are lost or learned twice over it."""
    limit, stream = tmp_path / "limit", [*STREAM[:before], *map(widened, STREAM[before:])]
    limit.write_text("20")
    config, source = chosen(tmp_path, limit, from_inputs=2 * LARGE), MemorySource({0: stream[:before]})
    with running(open_model(config, source)) as run:
        run.wait_for(learned(before))
        source.append(0, *stream[before:])
        status = run.wait_for(learned(640))
        assert status.learner == "microbatch"
        assert (status.halvings, status.microbatch_max_size) == (2, 16)
        assert status.events_learned == {"microbatch": 640}
        assert status.version == status.updates["microbatch"] == before // 64 + (640 - before) // 16
        assert any("16 in a microbatch" in error.message for error in status.errors)

    none, source = tmp_path / "none", MemorySource({0: []})
    for first, goal, max_size in ((0, before, 64), (before, 640, 16)):
        source.append(0, *stream[first:goal])
        with running(open_model(chosen(none, none / "limit", max_size, 2 * LARGE), source)) as calm:
            calm.wait_for(learned(goal))
    expected = calm.trainer.training
    assert run.trainer.training.lane.count == expected.lane.count, "not the same events"
    assert same_state(run.trainer.training.learner.state(), expected.learner.state())


def test_a_device_without_any_room_is_stood_in_for(tmp_path: Path) -> None:
    """If this fails, a trainer halves for ever, or dies of a device that is full."""
    limit = tmp_path / "limit"
    source = MemorySource({0: STREAM[:320]})
    with running(open_model(chosen(tmp_path, limit), source)) as run:
        run.wait_for(learned(320))
        limit.write_text("8")
        source.append(0, *STREAM[320:])
        status = run.wait_for(learned(640))
        assert status.events_learned == {"microbatch": 320, "online": 320}
        limit.unlink()
        status = run.wait_for(lambda status: status.learner == "microbatch")
        assert run.trainer.training.lane.learned == 640
