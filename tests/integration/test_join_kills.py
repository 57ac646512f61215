"""SIGKILL while observations wait for their labels: each pair is learned once, with the features of then."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np

from consumers.log import LogSink
from consumers.source import NewRecord
from models.examples import Examples, Task
from models.learner import LearnerOptions
from models.registry import create_learner
from service.checkpoints import CheckpointStore
from service.decoding.columns import features_from_rows
from service.monitoring.status import Status, read_status
from tests.support.checksums import checksum_of_places
from tests.support.processes import Installation, installation

MODEL = {
    "learner": {"kind": "online"},
    "task": "binary",
    "microbatch": {"max_size": 32, "adaptive": False},
    "checkpoint": {"every_seconds": 0.3},
    "canary": {"enabled": False},
}
COUNT, DELAY, KILLS = 2400, 300, 3


def wait_for(place: Installation, consumed: int) -> Status:
    """Return the first status that says so many events were consumed."""
    until = time.monotonic() + 90
    while True:
        status = read_status(place.folder / "publish" / "default" / "status.json")
        if status is not None and status.pid == place.pid("train") and status.events_consumed >= consumed:
            return status
        assert time.monotonic() < until, f"it did not happen in time; the status was {status}\n{place.log('train')}"
        time.sleep(0.01)


def test_kills_change_neither_what_is_learned_nor_its_count(tmp_path: Path) -> None:
    """If this fails, a label that came once is learned twice or never, or with other features, after a SIGKILL."""
    random = np.random.default_rng(0)
    rows = [{"x": x, "y": y, "city": ("Oslo", "Rome")[x > y]} for x, y in random.normal(size=(COUNT, 2)).tolist()]
    labels = [row["x"] + row["y"] > 0 for row in rows]
    order = np.argsort(np.arange(COUNT) + random.uniform(-50, DELAY, COUNT)).tolist()
    events: list[dict[str, object]] = []
    for step in range(COUNT + DELAY):
        events += [{"id": step, "features": rows[step]}] if step < COUNT else []
        events += [{"id": order[step - DELAY], "label": labels[order[step - DELAY]]}] if step >= DELAY else []
    parts = np.array_split(np.arange(len(events)), KILLS + 1)
    with installation(tmp_path, MODEL, train={"spare": False}) as place:
        sink = LogSink(place.data_dir / "log" / "events.sqlite")
        done = 0
        for kill, part in enumerate(parts):
            sink.append([NewRecord(json.dumps(events[number]).encode()) for number in part.tolist()])
            process = place.start("train")
            # In the midst of it: some of the part is learned, and some not.
            status = wait_for(place, done + 200 if kill < KILLS else len(events))
            done = int(part[-1]) + 1
            if kill < KILLS:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
        sink.close()
        process.terminate()
        process.wait(60)
        kept = CheckpointStore(place.data_dir / "models" / "default" / "checkpoints").load()
    assert kept is not None
    joined = [number for number, event in enumerate(events) if "label" in event]
    assert status.join is not None
    assert status.join.outcomes["joined"] == COUNT == status.events_learned["online"]
    assert status.join.observations == status.join.labels == 0
    assert status.events_consumed == len(events)
    assert status.events_checksum == checksum_of_places([(0, number + 1, 0) for number in joined])
    offline = create_learner(LearnerOptions(kind="online"), Task.BINARY)
    times, ones = np.full(COUNT, np.nan), np.ones(COUNT, np.float32)
    offline.learn(
        Examples(features_from_rows([rows[name] for name in order]), [labels[name] for name in order], ones, times)
    )
    expected = offline.state().arrays
    assert expected.keys() == kept.learner.arrays.keys()
    for name, array in expected.items():
        assert array.tobytes() == kept.learner.arrays[name].tobytes(), name
