"""How fast predictions are answered: beside other servers of the same network, and while the trainer learns.

Each server has one worker and a core of its own, and the client has the next one, as far as there are two. While the
trainer learns, nothing is pinned: broker, trainer, server and client share the cores, and the trainer yields.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.ingest import kafka_settings, trainer_settings
from benchmarks.measured import MeasurementFailed, between
from benchmarks.processes import descendants, processor_seconds
from benchmarks.report import Result, ratio
from benchmarks.serving_peers.running import SERVERS, Running, Server, running
from tests.support.processes import Installation, installation

SECONDS = 4.0
CONNECTIONS = (16, 1)
"""Clients that ask for one row at a time: busy servers have several, and one alone tells how long an answer takes."""

BUSY_CONNECTIONS = 4
MANY = 1000
MANY_CONNECTIONS = 2

ONE_ROW_BAR, MANY_BAR, BUSY_BAR = 2.2, 100_000.0, 3.0
"""At least so many times the rate of FastAPI with pydantic; rows a second; p99 while learning over idle, at most."""


@dataclass
class Asked:
    """What one way of asking found, round by round: requests a second, p99, processor time, failures."""

    rates: list[float] = field(default_factory=list)
    tails: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    failed: float = 0.0

    def take(self, server: int, port: int, path: str, connections: int, rows: int = 1, *, pinned: bool = True) -> None:
        """Ask the server that runs as process `server` once more."""
        command = [sys.executable, "-m", "benchmarks.asking", str(port), str(connections), str(SECONDS)]
        command += ["--rows", str(rows), "--path", path]
        before = processor_seconds(server)
        with _next_core() if pinned else contextlib.nullcontext():
            ran = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(ran.stdout)
        self.rates.append(found["rate"])
        self.tails.append(found["p99_ms"])
        self.costs.append((processor_seconds(server) - before) / (found["rate"] * SECONDS) * 1e6)
        self.failed += found["failed"]


def measure(address: str, topic: str, folder: Path, count: int, rounds: int) -> list[Result]:
    """Measure servers beside each other, then predictions idle and while the topic is learned from its beginning."""
    del count
    folder.mkdir(parents=True, exist_ok=True)
    with _learned(address, topic, folder / "learned") as place:
        ours = Running(Server("Headrace", ()), place.port, place.pid("serve"))
        found = _beside_others(ours, folder, rounds)
    return found + _while_learning(address, topic, folder, rounds)


@dataclass(frozen=True)
class Way:
    """A way of asking.

    Attributes
    ----------
    connections, rows
        How many at once, and rows of a request.
    """

    connections: int
    rows: int = 1

    def ask(self, asked: Asked, each: Running) -> None:
        """Ask a server once more."""
        path = each.server.path if self.rows == 1 else each.server.path_of_many
        asked.take(each.pid, each.port, path, self.connections, self.rows)

    @property
    def note(self) -> str:
        """What a reader must know."""
        rows = "one row" if self.rows == 1 else f"{self.rows:,} rows"
        return f"{rows} a request, {self.connections} connection{'s' if self.connections > 1 else ''}"


def _beside_others(ours: Running, folder: Path, rounds: int) -> list[Result]:
    """Ask ours and each other server in turn, in each way: each is alive alone beside ours."""
    ways = (*map(Way, CONNECTIONS), Way(MANY_CONNECTIONS, MANY))
    own = {way: Asked() for way in ways}
    results: list[Result] = []
    for server in SERVERS.values():
        results += _beside(ours, server, own, folder, rounds)
    for way in ways:
        results += [
            Result(f"Headrace, {way.note}", "requests/s", own[way].rates),
            Result(f"Headrace, {way.note}: processor time", "µs a request", own[way].costs),
        ]
    rows = [rate * MANY for rate in own[ways[-1]].rates]
    return [*results, Result("rows a second of Headrace", "rows/s", rows, ways[-1].note, bar=MANY_BAR)]


def _beside(ours: Running, server: Server, own: dict[Way, Asked], folder: Path, rounds: int) -> list[Result]:
    """Ask ours before and after each round of the other server."""
    others, firsts, failure = {way: Asked() for way in own}, {way: len(own[way].rates) for way in own}, ""
    try:
        with running(server, folder) as peer:
            for each in (ours, peer):
                _pin(each.pid, 0)
            for way, asked in own.items():
                way.ask(asked, ours)
                for _ in range(rounds):
                    way.ask(others[way], peer)
                    way.ask(asked, ours)
    except MeasurementFailed as failed:
        failure = str(failed)
    results: list[Result] = []
    for way, other in others.items():
        bar = ONE_ROW_BAR if (server.title, way) == (SERVERS["fastapi"].title, Way(CONNECTIONS[0])) else None
        mine = between(own[way].rates[firsts[way] :])
        ratios = [one / there for one, there in zip(mine, other.rates, strict=False)]
        results += [
            Result(f"{server.title}, {way.note}", "requests/s", other.rates, failure=failure),
            Result(f"{server.title}, {way.note}: processor time", "µs a request", other.costs, failure=failure),
            Result(f"Headrace over {server.title}, {way.note}", "×", ratios, bar=bar, failure=failure),
        ]
    return results


def _while_learning(address: str, topic: str, folder: Path, rounds: int) -> list[Result]:
    """Ask for one row at a time: idle, then anew while the topic, which is long enough to last, is learned."""
    idle, busy = Asked(), Asked()
    for turn in range(rounds):
        with _learned(address, topic, folder / str(turn)) as place:
            idle.take(place.pid("serve"), place.port, "/predict", BUSY_CONNECTIONS, pinned=False)
        with _served(address, topic, folder / f"{turn}-busy") as place:
            place.start("serve")
            place.wait_until_ready()
            place.start("train", "--model", "default")
            place.wait_for(lambda state: state["events_learned"] > 0, 60)
            busy.take(place.pid("serve"), place.port, "/predict", BUSY_CONNECTIONS, pinned=False)
    note = f"one row a request, {BUSY_CONNECTIONS} connections, broker, trainer, server and client on the same cores"
    tails = [
        Result("p99 of a prediction, idle", "ms", idle.tails, note),
        Result("p99 of a prediction, while learning", "ms", busy.tails, note),
    ]
    over = ratio("p99 while learning over idle", tails[1], tails[0])
    return [
        Result("predictions, idle", "requests/s", idle.rates, note),
        Result("predictions, while learning", "requests/s", busy.rates, note),
        *tails,
        Result(over.name, over.unit, over.values, bar=BUSY_BAR, at_most=True),
        Result("failed predictions", "", [idle.failed + busy.failed], bar=0.0, at_most=True),
    ]


@contextlib.contextmanager
def _learned(address: str, topic: str, folder: Path) -> Iterator[Installation]:
    """Yield a server of a model that has learned the topic, its trainer having nothing to do."""
    with _served(address, topic, folder) as place:
        place.start("serve")
        place.start("train", "--model", "default")
        place.wait_until_ready()
        place.wait_for(lambda state: state["state"] == "idle" and state["events_learned"] > 0, 300)
        yield place


def _served(address: str, topic: str, folder: Path) -> contextlib.AbstractContextManager[Installation]:
    folder.mkdir(parents=True)
    return installation(folder, trainer_settings(topic), **kafka_settings(address))


def _pin(root: int, core: int) -> None:
    """Keep a process, all its threads and all below it on one core."""
    cores = sorted(os.sched_getaffinity(0))
    for pid in descendants(root):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), {cores[core % len(cores)]})


@contextlib.contextmanager
def _next_core() -> Iterator[None]:
    """Have what is started meanwhile on the core beside the server's."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(cores)[1 % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
