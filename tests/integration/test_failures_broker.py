"""What can go wrong with a broker while real processes learn from it: it dies, the cable is pulled, too much comes.

One installation goes through all of it, with a producer that never stops; after each failure every event that the
topic holds is learned, once: by their number, and by a checksum over their places.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaError

from benchmarks.processes import usages
from benchmarks.soak_counts import checksum_of, ends_of
from tests.conftest import started_broker
from tests.support.broker import Broker, create_topic
from tests.support.processes import Installation, installation, total_learned
from tests.support.proxy import Proxy
from tests.support.training import events

TOPIC, PARTITIONS = "failing", 2

QUERY = {"features": {"x": 0.4, "y": -0.1, "city": "Oslo"}}

MODEL = {
    "topic": TOPIC,
    "learner": {"kind": "linear", "device": "cpu"},
    "microbatch": {"max_size": 64, "max_delay_ms": 20},
    "checkpoint": {"every_seconds": 1},
}

PATIENCE = {"unreachable_after": 1.5, "connect_timeout": 2.0, "delivery_timeout": 4.0}
"""Seconds; shorter than by default, so that a test need not wait for minutes."""


class Producing:
    """Sends events at a steady pace until it is ended; what the topic holds counts, not what this believes."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        values = events(2000)
        while not self._stop.is_set():
            with (
                contextlib.suppress(KafkaError),
                KafkaProducer(bootstrap_servers=self._address, linger_ms=5) as producer,
            ):
                for number in range(10**9):
                    producer.send(TOPIC, values[number % len(values)], partition=number % PARTITIONS)
                    if number % 10 == 0 and self._stop.wait(0.01):
                        return

    def end(self) -> None:
        """Wait for the last event to be sent."""
        self._stop.set()
        self._thread.join(60)


@dataclass
class Scene:
    """A broker, a cable to it, and Headrace at the other end."""

    broker: Broker
    cable: Proxy
    place: Installation

    def predict(self) -> None:
        """Ask for a prediction, which nothing of all this may keep from being answered."""
        answer = self.place.http.post("/predict", json=QUERY)
        assert answer.status_code == httpx.codes.OK, answer.text

    def wait_for(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 60.0) -> dict[str, Any]:
        """Return the first state that fulfils `condition`, asking for predictions meanwhile."""

        def asked(state: dict[str, Any]) -> bool:
            self.predict()
            return condition(state)

        return self.place.wait_for(asked, seconds)

    def check_that_all_is_learned_once(self) -> None:
        """Wait until everything is learned, and compare with what the topic holds."""
        ends = ends_of(self.broker.address, TOPIC, PARTITIONS)
        expected = sum(ends.values())
        state = self.wait_for(lambda state: total_learned(state) >= expected and state["state"] == "idle", 120)
        assert total_learned(state) == expected
        assert state["events_checksum"] == checksum_of(ends)
        assert state["dead_letters"] == {}
        assert not any(state["lag"].values())


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Yield an installation that has learned something and goes on."""
    cable = Proxy()
    broker = started_broker(listeners=["PROXIED"], advertised={"PROXIED": cable.address})
    cable.target = broker.addresses["PROXIED"]
    create_topic(broker.address, TOPIC, PARTITIONS)
    kafka = {"bootstrap_servers": cable.address, **PATIENCE}
    folder = tmp_path_factory.mktemp("failing")
    with installation(folder, MODEL, source={"kind": "kafka"}, kafka=kafka) as place:
        place.start("up")
        place.wait_until_ready()
        yield Scene(broker, cable, place)
    cable.close()
    broker.remove()


@pytest.fixture
def producing(scene: Scene) -> Iterator[Producing]:
    """Yield a producer that has begun, and of which something is learned."""
    before = total_learned(scene.place.state())
    found = Producing(scene.broker.address)
    scene.place.wait_until_learned(before + 200)
    yield found
    found.end()


def test_a_broker_that_is_restarted_in_mid_stream(scene: Scene, producing: Producing) -> None:
    """If this fails, each restart of a broker loses events, learns them twice, or stops learning or predicting."""
    scene.broker.stop()
    state = scene.wait_for(lambda state: state["state"] == "waiting_for_source")
    assert scene.cable.address in state["errors"][-1]["message"]
    refused = scene.place.http.post("/events", json={"features": {"x": 1}, "label": "up"})
    assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert int(refused.headers["retry-after"]) > 0
    scene.broker.start()
    before = total_learned(scene.place.state())
    scene.wait_for(lambda state: total_learned(state) > before + 200)
    producing.end()
    scene.check_that_all_is_learned_once()


def test_a_connection_that_is_cut(scene: Scene, producing: Producing) -> None:
    """If this fails, a pulled cable, which nobody is told of, stops learning for good or for many minutes."""
    scene.cable.cut()
    scene.wait_for(lambda state: state["state"] == "waiting_for_source")
    scene.cable.mend()
    before = total_learned(scene.place.state())
    scene.wait_for(lambda state: total_learned(state) > before + 200)
    producing.end()
    scene.check_that_all_is_learned_once()


@pytest.mark.skipif("HEADRACE_TEST_SLOW" not in os.environ, reason="takes a minute; HEADRACE_TEST_SLOW=1 has it run")
def test_a_connection_that_is_cut_for_30_seconds(tmp_path: Path) -> None:
    """The same with the patience that people have by default."""
    cable = Proxy()
    broker = started_broker(listeners=["PROXIED"], advertised={"PROXIED": cable.address})
    cable.target = broker.addresses["PROXIED"]
    create_topic(broker.address, TOPIC, PARTITIONS)
    kafka = {"bootstrap_servers": cable.address}
    with installation(tmp_path, MODEL, source={"kind": "kafka"}, kafka=kafka) as place:
        place.start("up")
        place.wait_until_ready()
        scene, producing = Scene(broker, cable, place), Producing(broker.address)
        place.wait_until_learned(200)
        cable.cut()
        until = time.monotonic() + 30
        while time.monotonic() < until:
            scene.predict()
            time.sleep(0.1)
        assert place.state()["state"] == "waiting_for_source"
        cable.mend()
        before = total_learned(place.state())
        scene.wait_for(lambda state: total_learned(state) > before + 1000)
        producing.end()
        scene.check_that_all_is_learned_once()
    cable.close()
    broker.remove()


def held_by(root: int) -> int:
    """Return KiB held by a service's processes, but for the spare trainer: it may be importing still."""
    return sum(usage.uss for role, usage in usages(root).items() if not role.startswith("spare"))


def test_producers_that_are_faster_than_learning(scene: Scene) -> None:
    """If this fails, a flood fills the memory, goes unnoticed, or is learned in part only."""
    pid = scene.place.pid("up")
    scene.check_that_all_is_learned_once()
    before = held_by(pid)
    # 160 MB, most of it blanks: much for the memory, and many small updates for the learner.
    values = [value + b" " * 8000 for value in events(500)]
    with KafkaProducer(bootstrap_servers=scene.broker.address, linger_ms=20, batch_size=262_144) as producer:
        for number in range(20_000):
            producer.send(TOPIC, values[number % len(values)], partition=number % PARTITIONS)
    lags, sizes = [], []

    def look(state: dict[str, Any]) -> bool:
        lags.append(sum(state["lag"].values()))
        sizes.append(held_by(pid))
        return bool(lags[-1] == 0 and state["state"] == "idle")

    scene.wait_for(look)
    assert max(lags) > 5_000, "learning was not behind: the test does not show anything"
    assert max(sizes) - before < 100 * 1024, "what waits is held in memory"
    scene.check_that_all_is_learned_once()
