"""A device without memory, and one that is lost, under real processes: predictions go on, and no event is lost."""

from pathlib import Path
from typing import Any

from tests.integration.test_survival import QUERY, Asking, Producing
from tests.support.processes import installation, total_learned

NETWORK = Path(__file__).parents[1] / "models" / "user_networks.py"


def test_memory_that_runs_out_and_a_device_that_is_lost(tmp_path: Path) -> None:
    """If this fails, a full or broken accelerator costs answers or events, or somebody has to come and start again."""
    limit, curse = tmp_path / "limit", tmp_path / "curse"
    model: dict[str, Any] = {
        "learner": {
            "kind": f"{NETWORK}:Cursed",
            "device": "cpu",
            "replay": 0,
            "network": {"limit": str(limit), "curse": str(curse)},
        },
        "microbatch": {"max_size": 64, "max_delay_ms": 20, "adaptive": False},
        "checkpoint": {"every_seconds": 1},
    }
    limit.write_text("40")
    with installation(tmp_path, model) as place:
        place.start("up")
        place.wait_until_ready()
        producing = Producing(place, 4_000)
        place.wait_for(lambda state: total_learned(state) >= 500 and state["halvings"] == 1)
        asking = Asking(place.port)
        before = place.state()["trainer"]["pid"]
        curse.write_bytes(b"1")
        state = place.wait_for(lambda state: state["trainer"]["pid"] not in (before, None))
        producing.end()
        state = place.wait_for(lambda state: total_learned(state) == producing.count)
        answer = place.http.post("/predict", json=QUERY)
        asking.end()
        assert asking.failures == []
        assert answer.json()["learner"] == "microbatch"
        assert state["events_learned_by"] == {"microbatch": producing.count}
        log = place.log("up")
        assert "lost to this process" in log
        assert '"status": 75' in log
