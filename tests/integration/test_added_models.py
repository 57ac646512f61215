"""Models that are added to a running service: learned, killed, broken and removed, while another one goes on."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.processes import Installation, installation

SMALL = {
    "learner": {"kind": "linear", "device": "cpu"},
    "microbatch": {"max_size": 64, "max_delay_ms": 10, "adaptive": False},
}
SHOP = {**SMALL, "topic": "shop", "checkpoint": {"every_seconds": 0.5}}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Installation]:
    # No spare: one more process that imports everything would only slow this test down.
    with installation(tmp_path, SMALL, train={"spare": False, "lease_seconds": 1.0}) as made:
        yield made


def send(place: Installation, model: str, count: int) -> None:
    """Send labelled events to a model."""
    rows = [{"features": {"x": each % 10}, "label": "up" if each % 10 > 4 else "down"} for each in range(count)]
    answer = place.http.post(f"/v1/models/{model}/events", json=rows)
    assert answer.json() == {"accepted": count, "rejected": []}


def state(place: Installation, model: str) -> dict[str, Any]:
    answer = place.http.get(f"/v1/models/{model}")
    return dict(answer.json()) if answer.status_code == 200 else {}


def wait_for(place: Installation, model: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the first state of a model that fulfils `condition`; empty is one that is not there."""
    until = time.monotonic() + 90
    while True:
        found = state(place, model)
        if condition(found):
            return found
        assert time.monotonic() < until, f"it did not happen in time: {found}\n{place.log('up')[-3000:]}"
        time.sleep(0.05)


def learned(events: int) -> Callable[[dict[str, Any]], bool]:
    return lambda found: bool(found) and found["trainer"]["up"] and found["events_learned"] >= events


@contextmanager
def undisturbed(place: Installation) -> Iterator[None]:
    """Ask and teach the model `default` all the time; it must answer each time, and learn everything."""
    stop = threading.Event()
    problems: list[str] = []
    sent = [state(place, "default")["events_learned"]]

    def go_on() -> None:
        with httpx.Client(base_url=place.http.base_url, timeout=30) as client:
            while not stop.wait(0.05):
                asked = client.post("/predict", json={"features": {"x": 7}})
                told = client.post("/events", json={"features": {"x": 7}, "label": "up"})
                sent[0] += 1
                if (asked.status_code, told.status_code) != (200, 202):
                    problems.append(f"{asked.text} {told.text}")

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not problems
    assert state(place, "default")["trainer"]["up"]
    wait_for(place, "default", lambda found: found["events_learned"] == sent[0])


def test_one_that_dies_over_and_over_is_felt_by_nobody_and_all_are_there_after_a_kill(place: Installation) -> None:
    """If this fails, one bad model takes the others down, an added one is lost with a crash, or learns things twice."""
    place.start("up")
    place.wait_until_ready()
    assert place.http.put("/v1/models/shop", json=SHOP).status_code == 201
    answer = place.http.post("/v1/models/shop/predict", json={"features": {"x": 7}}).json()
    assert answer["model_version"] == 0
    send(place, "shop", 300)
    send(place, "default", 100)
    wait_for(place, "default", learned(100))
    trainer = wait_for(place, "shop", learned(300))["trainer"]["pid"]
    with undisturbed(place):
        # A network that takes no such argument: its trainer ends as soon as it has begun, again and again.
        broken = {**SMALL, "topic": "broken", "task": "binary", "learner": {"kind": "mlp", "network": {"colour": 1}}}
        assert place.http.put("/v1/models/broken", json=broken).status_code == 201
        os.kill(trainer, signal.SIGKILL)
        send(place, "shop", 200)
        again = wait_for(place, "shop", learned(500))
        assert again["trainer"]["pid"] != trainer
        os.kill(again["trainer"]["pid"], signal.SIGKILL)
        wait_until_died(place, "broken")
        assert "colour" in state(place, "broken")["errors"][-1]["message"], "whoever added it sees why"
        assert place.http.delete("/v1/models/broken?keep=false").status_code in (202, 204)
    kept = wait_for(place, "shop", learned(500))
    assert kept["events_learned"] == 500, "none twice"
    # Now all of it at once, and up again as two halves, each by itself.
    os.kill(place.pid("up"), signal.SIGKILL)
    wait_until_silent(place)
    place.start("serve")
    place.start("train")
    place.wait_until_ready()
    send(place, "shop", 100)
    found = wait_for(place, "shop", learned(600))
    assert found["events_learned"] == 600
    assert found["model_version"] > kept["model_version"]
    assert place.http.get("/v1/models/broken").status_code == 404
    wait_for(place, "default", learned(100))
    assert place.http.put("/v1/models/shop", json={**SHOP, "checkpoint": {"keep": 2}}).status_code == 200
    changed = wait_for(
        place, "shop", lambda it: it["trainer"]["up"] and it["trainer"]["epoch"] > found["trainer"]["epoch"]
    )
    assert changed["trainer"]["pid"] == found["trainer"]["pid"], "the same process, with other settings"
    assert place.http.delete("/v1/models/shop").status_code in (202, 204)
    wait_for(place, "shop", lambda it: not it)
    assert 'model="shop"' not in place.http.get("/metrics").text
    until = time.monotonic() + 30
    while Path(f"/proc/{changed['trainer']['pid']}").exists():
        assert time.monotonic() < until, "its trainer goes on"
        time.sleep(0.05)
    assert list((place.data_dir / "models" / "shop" / "aside").glob("*/checkpoints/manifest-*"))


def wait_until_silent(place: Installation) -> None:
    """Wait for the server to be gone: it ends with the supervisor."""
    until = time.monotonic() + 30
    while place.state():
        assert time.monotonic() < until, "the server outlives its supervisor"
        time.sleep(0.05)


def wait_until_died(place: Installation, model: str) -> None:
    """Wait for the supervisor to have to start a trainer again."""
    until = time.monotonic() + 90
    while not any("died" in line and f"train {model}" in line for line in place.log("up").splitlines()):
        assert time.monotonic() < until, place.log("up")[-3000:]
        time.sleep(0.1)
