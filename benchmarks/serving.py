"""How fast predictions are answered, with nothing else to do and while the trainer learns at full rate beside them."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.ingest import kafka_settings, trainer_settings
from benchmarks.report import Result, ratio
from tests.support.processes import Installation, installation

SECONDS = 5
CONNECTIONS = 4


def measure(address: str, topic: str, folder: Path, count: int, rounds: int) -> list[Result]:
    """Ask for one row at a time over a few connections: idle, then while the topic is learned from its beginning."""
    del count
    idle, busy = [], []
    for turn in range(rounds):
        with _served(address, topic, folder / str(turn)) as place:
            place.start("serve")
            place.start("train", "--model", "default", name="first")
            place.wait_until_ready()
            place.wait_for(lambda state: state["state"] == "idle" and state["events_learned"] > 0, 300)
            idle.append(_ask(place.port))
        # Anew, and asked while it learns: the topic is long enough to last.
        with _served(address, topic, folder / f"{turn}-busy") as place:
            place.start("serve")
            place.wait_until_ready()
            place.start("train", "--model", "default")
            place.wait_for(lambda state: state["events_learned"] > 0, 60)
            busy.append(_ask(place.port))
    note = f"one row a request, {CONNECTIONS} connections, broker, trainer, server and client on the same cores"
    results = [
        Result("predictions, idle", "requests/s", [each["rate"] for each in idle], note),
        Result("predictions, while learning", "requests/s", [each["rate"] for each in busy]),
        Result("p99 of a prediction, idle", "ms", [each["p99_ms"] for each in idle]),
        Result("p99 of a prediction, while learning", "ms", [each["p99_ms"] for each in busy]),
    ]
    failed = Result(
        "failed predictions", "", [one["failed"] + other["failed"] for one, other in zip(idle, busy, strict=True)]
    )
    return [*results, ratio("p99 while learning over idle", results[3], results[2]), failed]


def _served(address: str, topic: str, folder: Path) -> contextlib.AbstractContextManager[Installation]:
    folder.mkdir(parents=True)
    return installation(folder, trainer_settings(topic), **kafka_settings(address))


def _ask(port: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.asking", str(port), str(CONNECTIONS), str(SECONDS)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
