"""Going back to an earlier version under load: whether a request fails, and when the old version answers.

``python -m benchmarks.rollback`` starts the service on the embedded log, has clients ask for predictions without a
pause and a producer send events, and then, round by round: keeps the version of the moment under a name, sends events
with the labels turned round until answers are wrong, and goes back. What is printed, and with ``--to`` kept as JSON, is
how many requests failed, how long it took until the old version answered, and whether its answers were the very same.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.processes import Installation, installation

ASKED = {"features": {"x": 1.5, "y": 1.0}}
"""What all clients ask for: well within the class ``up``."""

BATCH, RATE = 50, 1000.0
"""Events in a request, and a second."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One request: when it was sent and answered (monotonic seconds), its status, version and answer."""

    sent: float
    at: float
    status: int
    version: int
    answer: Any


@dataclass
class Load:
    """Clients that ask and a producer that sends, until told to end.

    Attributes
    ----------
    answered
        Of all clients.
    turned
        Whether the producer's labels are turned round.
    failures
        What kept a request from being answered.
    """

    address: str
    answered: list[Answered] = field(default_factory=list)
    turned: bool = False
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        """Ask again and again."""
        with httpx.Client(base_url=self.address, timeout=10) as client:
            while not self._stop.is_set():
                sent = time.monotonic()
                try:
                    answer = client.post("/predict", json=ASKED)
                except httpx.TransportError as error:
                    self.failures.append(repr(error))
                    continue
                body = answer.json()
                found = (body.get("model_version", -1), body.get("predictions"))
                self.answered.append(Answered(sent, time.monotonic(), answer.status_code, *found))

    def send(self) -> None:
        """Send events at a steady rate; what it takes to send them is part of it."""
        drawn, due = random.Random(0), time.monotonic()
        with httpx.Client(base_url=self.address, timeout=10) as client:
            while not self._stop.is_set():
                events = []
                for _ in range(BATCH):
                    x, y = drawn.gauss(0, 1), drawn.gauss(0, 1)
                    label = "up" if (x + y > 0) != self.turned else "down"
                    events.append({"features": {"x": x, "y": y}, "label": label})
                client.post("/events", json=events).raise_for_status()
                due += BATCH / RATE
                self._stop.wait(max(0.0, due - time.monotonic()))

    @contextmanager
    def running(self, clients: int) -> Iterator[None]:
        """Have so many clients ask, and the producer send."""
        threads = [threading.Thread(target=self.ask) for _ in range(clients)]
        threads.append(threading.Thread(target=self.send))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()


def measure(folder: Path, rounds: int, clients: int) -> dict[str, Any]:
    """Go back so many times under load, and return what was seen."""
    with installation(folder, {"learner": {"kind": "linear", "device": "cpu"}}) as place:
        place.start("up")
        place.wait_until_ready()
        load = Load(f"http://127.0.0.1:{place.port}")
        with load.running(clients):
            place.wait_until_learned(500)
            each = [_go_back(place, load, turn) for turn in range(rounds)]
    failed = len(load.failures) + sum(answered.status != 200 for answered in load.answered)
    return {"requests": len(load.answered), "failed": failed, "clients": clients, "rounds": each}


def _go_back(place: Installation, load: Load, turn: int) -> dict[str, Any]:
    """Spoil what was learned, go back, and return how that went."""
    name = f"good-{turn}"
    # What was turned round and not learned yet when somebody went back is learned afterwards.
    place.wait_for(lambda _: _predicted(place)["predictions"][0]["label"] == "up")
    _obeyed(place, place.http.post("/pause"))
    kept = _obeyed(place, place.http.put(f"/checkpoints/{name}"))["version"]
    expected = _predicted(place)["predictions"]
    _obeyed(place, place.http.post("/resume"))
    load.turned = True
    # Until the service itself answers otherwise, however slow this machine is.
    place.wait_for(lambda _: _predicted(place)["predictions"][0]["label"] == "down")
    spoilt = _predicted(place)["model_version"]
    load.turned = False
    began, seen = time.monotonic(), len(load.answered)
    back = _obeyed(place, place.http.post("/rollback", json={"name": name, "then": "pause"}))
    acknowledged = time.monotonic()
    until = acknowledged + 30
    while (
        not (late := [each for each in load.answered[seen:] if each.sent > acknowledged]) and time.monotonic() < until
    ):
        time.sleep(0.01)
    after = [each for each in load.answered[seen:] if each.version >= back["model_version"]]
    _obeyed(place, place.http.post("/resume"))
    assert back["restored_from"] == kept < spoilt < back["model_version"]
    return {
        "seconds_until_acknowledged": acknowledged - began,
        "seconds_until_old_answers": min(each.at for each in after) - began,
        "stale_after_acknowledged": sum(each.version < back["model_version"] for each in late),
        "same_answers": all(each.answer == expected for each in after if each.version == back["model_version"]),
    }


def _predicted(place: Installation) -> dict[str, Any]:
    return dict(place.http.post("/predict", json=ASKED).json())


def _obeyed(place: Installation, answer: httpx.Response) -> dict[str, Any]:
    """Return what was done, waiting for it where the trainer takes long."""
    until = time.monotonic() + 60
    while answer.status_code == httpx.codes.ACCEPTED and time.monotonic() < until:
        found = place.http.get(answer.headers["Location"]).json()
        if found["state"] != "waiting":
            return dict(found["outcome"])
        time.sleep(0.05)
    assert answer.status_code == httpx.codes.OK, answer.text
    return dict(answer.json())


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the status is 1 where a request failed or an answer was another one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--to", type=Path, help="keep the result in this file, as JSON")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="headrace-rollback-") as folder:
        result = measure(Path(folder), asked.rounds, asked.clients)
    text = json.dumps(result, indent=1)
    print(text)
    if asked.to is not None:
        asked.to.write_text(f"{text}\n")
    wrong = any(each["stale_after_acknowledged"] or not each["same_answers"] for each in result["rounds"])
    return int(bool(result["failed"]) or wrong)


if __name__ == "__main__":
    sys.exit(main())
