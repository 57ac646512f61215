"""``make soak``: Headrace for an hour as an operator runs it, on a broker that is restarted again and again.

Nothing may be lost or doubled, nothing may grow, and no prediction may fail. What is measured and what must hold is in
``soak_result.py``; the result is kept, and the exit status is 1 where something does not hold.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.ingest import kafka_settings
from benchmarks.processes import usages
from benchmarks.report import add_results_option, machine
from benchmarks.soak_counts import checksum_of, ends_of
from benchmarks.soak_result import Sample, Soak, keep
from benchmarks.topics import CITIES
from tests.support.broker import Broker, create_topic
from tests.support.processes import Installation, installation, total_learned

_PARTITIONS = 5
"""The last one holds poison only, so that it is known without reading which events cannot be learned."""

_RETENTION = {"retention.bytes": str(3 * 2**30), "segment.bytes": str(64 * 2**20)}
"""A partition: many minutes of events, and a bound on what an hour takes of the disk (12 GiB)."""

_WARM_UP_SECONDS = 10.0
_AHEAD = 100_000  # events that wait in the topic while the maximum is measured
_DRAIN_SECONDS = 300.0


def main() -> int:
    """Run the soak and keep its result; return the exit status."""
    asked = _arguments()
    soak = Soak({name: value for name, value in vars(asked).items() if name != "results"})
    broker = Broker()
    broker.start()
    try:
        with tempfile.TemporaryDirectory(prefix="headrace-soak-") as folder, _memory() as publish_dir:
            topic = _new_topic(broker.address)
            settings = kafka_settings(broker.address) | {"publish_dir": publish_dir}
            with installation(Path(folder), {"topic": topic}, **settings) as place:
                _run(soak, asked, broker, topic, place)
    finally:
        broker.remove()
    print(keep(soak, machine(), asked.results))
    return 0 if all(each.holds for each in soak.criteria()) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="at half of the maximum rate (%(default)g)")
    parser.add_argument("--restart-every", type=float, default=300.0, help="seconds between restarts (%(default)g)")
    parser.add_argument("--sample-every", type=float, default=10.0, help="seconds between samples (%(default)g)")
    parser.add_argument("--calibrate", type=float, default=20.0, help="seconds of measuring the maximum (%(default)g)")
    parser.add_argument("--settle", type=float, default=10.0, help="minutes; a third of a shorter soak (%(default)g)")
    parser.add_argument("--asks", type=float, default=20.0, help="predictions a second (%(default)g)")
    add_results_option(parser)
    return parser.parse_args()


def _run(soak: Soak, asked: argparse.Namespace, broker: Broker, topic: str, place: Installation) -> None:
    up = place.start("up")
    place.wait_until_ready()
    with contextlib.closing(_Producer(broker.address, topic)) as producer, _asking(soak, place, asked.asks):
        soak.maximum_rate = _calibrate(place, producer, asked.calibrate)
        soak.rate = soak.maximum_rate / 2
        _tell(f"learned at most {soak.maximum_rate:,.0f} events/s; going on with {soak.rate:,.0f}")
        producer.rate(soak.rate)
        soak.seconds = asked.minutes * 60
        soak.settled_at = min(asked.settle * 60, soak.seconds / 3)
        with _sampling(soak, place, up.pid, asked.sample_every):
            _restart(soak, broker, asked.restart_every)
    _tell("no more events are sent; waiting until all are learned")
    _count(soak, broker.address, topic, place)
    up.terminate()
    soak.exit_status = up.wait(60)


class _Producer:
    """The producing program."""

    def __init__(self, address: str, topic: str) -> None:
        command = [sys.executable, "-m", "benchmarks.soak_producer", address, topic, str(_PARTITIONS)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)

    def rate(self, rate: float) -> None:
        """Have it send so many events a second from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{rate}\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """Have it send what it has taken on, and end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(120)


def _calibrate(place: Installation, producer: _Producer, seconds: float) -> float:
    """Return the events learned a second while there is always more in the topic."""
    producer.rate(float("inf"))
    place.wait_until_learned(1)
    _keep_ahead(place, producer, _WARM_UP_SECONDS)
    before, began = total_learned(place.state()), time.monotonic()
    _keep_ahead(place, producer, seconds)
    after, ended = total_learned(place.state()), time.monotonic()
    # What has piled up meanwhile is learned before anything else is measured.
    producer.rate(0.0)
    place.wait_for(lambda state: state["state"] == "idle", _DRAIN_SECONDS)
    return (after - before) / (ended - began)


def _keep_ahead(place: Installation, producer: _Producer, seconds: float) -> None:
    """Have the producer send whenever little is left to learn: far ahead of the learner, the drain would take hours."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        left = sum(place.state().get("lag", {}).values())
        producer.rate(float("inf") if left < _AHEAD else 0.0)
        time.sleep(0.25)


def _restart(soak: Soak, broker: Broker, every: float) -> None:
    """Restart the broker again and again, in order and by force in turn, until the time is over."""
    began = time.monotonic()
    for turn in range(1, int(soak.seconds / every) + 1):
        due = began + turn * every
        if due >= began + soak.seconds:
            break
        time.sleep(max(0.0, due - time.monotonic()))
        stopped, kill = time.monotonic(), turn % 2 == 0
        broker.stop(kill=kill)
        broker.start()
        soak.restarts.append((stopped - began, time.monotonic() - stopped, kill))
        _tell(f"minute {(time.monotonic() - began) / 60:.1f}: broker {'killed' if kill else 'restarted'}")
    time.sleep(max(0.0, began + soak.seconds - time.monotonic()))


@contextlib.contextmanager
def _meanwhile(every: float, step: Callable[[], None]) -> Iterator[None]:
    """Take `step` in a thread, again and again."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(every):
            step()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


@contextlib.contextmanager
def _asking(soak: Soak, place: Installation, rate: float) -> Iterator[None]:
    """Ask for predictions meanwhile, over one connection."""
    with httpx.Client(base_url=f"http://127.0.0.1:{place.port}", timeout=30) as http:

        def ask() -> None:
            soak.predictions += 1
            features = {f"n{index}": index / 10 for index in range(10)} | {"city": CITIES[soak.predictions % 50]}
            try:
                answer = http.post("/predict", json={"features": features})
            except httpx.TransportError:
                soak.failed_predictions += 1
                return
            soak.failed_predictions += answer.status_code != httpx.codes.OK

        with _meanwhile(1 / rate, ask):
            yield


@contextlib.contextmanager
def _sampling(soak: Soak, place: Installation, root: int, every: float) -> Iterator[None]:
    """Take samples meanwhile."""
    began = time.monotonic()

    def look() -> None:
        state = place.state()
        lag = sum(state.get("lag", {}).values())
        soak.samples.append(Sample(time.monotonic() - began, usages(root), total_learned(state), lag))

    with _meanwhile(every, look):
        yield


def _count(soak: Soak, address: str, topic: str, place: Installation) -> None:
    """Count what the topic holds and what was made of it, once nothing more comes."""
    ends = ends_of(address, topic, _PARTITIONS)
    poison = ends.pop(_PARTITIONS - 1)
    everything = sum(ends.values()) + poison

    def passed(state: dict[str, Any]) -> bool:
        dead_letters = sum(state["dead_letters"].values())
        return total_learned(state) + dead_letters >= everything and bool(state["state"] == "idle")

    with contextlib.suppress(AssertionError):  # the counts say by how much it misses
        place.wait_for(passed, _DRAIN_SECONDS)
    time.sleep(1)
    state = place.state()
    soak.counts = {
        "events": sum(ends.values()),
        "poison": poison,
        "learned": total_learned(state),
        "dead_letters": sum(state["dead_letters"].values()),
    }
    soak.checksum, soak.expected_checksum = state["events_checksum"], checksum_of(ends)


def _new_topic(address: str) -> str:
    topic = f"soak-{uuid.uuid4().hex[:8]}"
    create_topic(address, topic, _PARTITIONS, _RETENTION)
    create_topic(address, f"{topic}.dead-letters")
    return topic


@contextlib.contextmanager
def _memory() -> Iterator[str]:
    """Yield a folder for publications, in memory where the system has such a place."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="headrace-soak-", dir=shared if shared.is_dir() else None) as folder:
        yield folder


def _tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
