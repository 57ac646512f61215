"""How fast events go from the broker into the parameters, beside the client's bare poll and a hand-written loop."""

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.report import Result, ratio
from service.monitoring.status import Status, read_status
from tests.support.processes import Installation, installation

_RIVER_EVENTS = 20_000
"""The loop is slow and its rate steady, so fewer events tell it as well."""

_RIVER_NOTE = "kafka-python, json.loads, River's StandardScaler and LogisticRegression, one event at a time"


def measure(address: str, topic: str, folder: Path, events: int, rounds: int) -> list[Result]:
    """Measure each in turn, `rounds` times."""
    polled, learned, looped = [], [], []
    for turn in range(rounds):
        polled.append(_loop("poll", address, topic, events))
        learned.append(_end_to_end(address, topic, folder / str(turn), events))
        looped.append(_loop("river", address, topic, min(events, _RIVER_EVENTS)))
    poll = Result("raw poll of kafka-python", "events/s", polled)
    whole = Result(
        "Headrace end to end, `mlp` 64×2", "events/s", learned, "fetch, decode, test, train, journal, publish"
    )
    loop = Result("hand-written loop", "events/s", looped, _RIVER_NOTE)
    return [
        poll,
        whole,
        loop,
        ratio("end to end over raw poll", whole, poll, 0.6),
        ratio("end to end over loop", whole, loop),
    ]


def _loop(kind: str, address: str, topic: str, events: int) -> float:
    command = [sys.executable, "-m", "benchmarks.loops", kind, address, topic, str(events)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return float(found["events"] / found["seconds"])


def trainer_settings(topic: str, **others: object) -> dict[str, object]:
    """Return settings of a model on `topic`: what a user gets by default, with the network named."""
    return {"topic": topic, "learner": {"kind": "mlp"}, **others}


def kafka_settings(address: str) -> dict[str, object]:
    """Return the sections that name the broker."""
    return {"source": {"kind": "kafka"}, "kafka": {"bootstrap_servers": address}}


def _end_to_end(address: str, topic: str, folder: Path, events: int) -> float:
    """Return events a second from the trainer's first report with events to the last while it was busy.

    The very last report comes when it has noticed that it is done, which is no part of the rate.
    """
    folder.mkdir(parents=True)
    with installation(folder, trainer_settings(topic), **kafka_settings(address)) as place:
        place.start("train", "--model", "default")
        reports = _reports(place, events)
    first, last = reports[0], reports[-2]
    gained = sum(last.events_learned.values()) - sum(first.events_learned.values())
    return gained / (last.written_at - first.written_at)


def _reports(place: Installation, events: int, seconds: float = 300.0) -> list[Status]:
    """Return the trainer's reports from the first with events to the one with all of them."""
    path = place.folder / "publish" / "default" / "status.json"
    found: list[Status] = []
    until = time.monotonic() + seconds
    while True:
        status = read_status(path)
        learned = sum(status.events_learned.values()) if status else 0
        if status and learned and (not found or status.written_at > found[-1].written_at):
            found.append(status)
        if learned >= events:
            return found
        if time.monotonic() > until:
            raise TimeoutError(f"only {learned} of {events} events were learned\n{place.log('train')[-3000:]}")
        time.sleep(0.02)
