"""A history that is learned before the stream, by real processes, one of which is killed in the middle of it."""

import time
from pathlib import Path
from typing import Any

from service.checkpoints import Checkpoint, CheckpointStore
from tests.support.processes import START_SECONDS, Installation, installation
from tests.support.training import events, same_state, write_table

MODEL = {
    "learner": {"kind": "mlp", "device": "cpu"},
    "microbatch": {"max_size": 32, "max_delay_ms": 20},
    "checkpoint": {"every_seconds": 1},
}
ROWS = 12_000
ASKED = {"features": {"x": 2.0, "y": 1.0, "city": "Oslo"}}


def checkpoint(made: Installation) -> Checkpoint | None:
    """Return the newest checkpoint."""
    return CheckpointStore(made.data_dir / "models" / "default" / "checkpoints").load()


def wait_for_line(made: Installation, name: str, line: str) -> None:
    """Wait until a process has printed something."""
    until = time.monotonic() + START_SECONDS
    while line not in made.log(name):
        assert time.monotonic() < until, made.log(name)
        time.sleep(0.02)


def is_kept(state: dict[str, Any]) -> bool:
    """Return whether the newest version is in a checkpoint."""
    return state["checkpoint"] is not None and state["checkpoint"]["version"] == state["model_version"]


def test_a_history_is_learned_once_whatever_dies_meanwhile(tmp_path: Path) -> None:
    """If this fails, a trainer that is killed in its history learns half of it, or some of it twice."""
    path = write_table(tmp_path / "history.csv", events(ROWS, seed=3), "label")
    command = ("train", "--history", str(path), "--label", "label")
    for name in ("undisturbed", "killed"):
        (tmp_path / name).mkdir()
    with installation(tmp_path / "undisturbed", MODEL) as undisturbed:
        assert undisturbed.start(*command, "--exit").wait(START_SECONDS * 2) == 0, undisturbed.log("train")
        expected = checkpoint(undisturbed)
    with installation(tmp_path / "killed", MODEL) as made:
        process = made.start(*command)
        wait_for_line(made, "train", "learning history.csv:")
        process.kill()
        process.wait()
        assert checkpoint(made) is None, "it was killed too late to show anything"
        made.start("serve")
        again = made.start(*command, name="again")
        made.wait_for(lambda state: state["state"] == "beginning" and state["trainer"]["epoch"] == 2)
        assert made.http.post("/predict", json=ASKED).json()["predictions"][0]["label"] is None, "that is version 0"
        made.wait_for(lambda state: state.get("model_version", 0) > 0)
        found = checkpoint(made)
        assert expected is not None
        assert found is not None
        assert same_state(found.learner, expected.learner)
        assert found.service["begun"]["rows"] == ROWS
        # It knows what the history told before it has learned any event, and then goes on as any model does.
        answer = made.http.post("/predict", json=ASKED).json()
        assert answer["predictions"][0]["label"] == "up"
        assert made.state()["events_learned"] == 0
        body = b"\n".join(events(500))
        made.http.post("/events", content=body, headers={"content-type": "application/x-ndjson"}).raise_for_status()
        state = made.wait_until_learned(500)
        assert state["scores"]["stream"]["scored"] == state["scores"]["stream"]["count"] == 500
        assert state["scores"]["stream"]["accuracy"] > 0.95
        # Killed again, it learns nothing of the history, and every checkpoint is what the log makes of the first one.
        again.kill()
        again.wait()
        made.start(*command, name="third")
        made.wait_for(lambda state: state["trainer"]["epoch"] == 3 and is_kept(state))
        assert "learning history.csv" not in made.log("third")
        assert made.state()["events_learned"] == 500
        last = checkpoint(made)
        assert last is not None
        assert last.learner.meta["counters"]["rows"] == ROWS + 500
        assert made.start("checkpoints", "verify", "--replay", "1").wait(START_SECONDS) == 0, made.log("checkpoints")
        assert "the same, bit for bit" in made.log("checkpoints")
