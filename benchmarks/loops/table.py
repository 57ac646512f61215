"""Which loops there are, the environment that each runs in, and how much of the topic it is given. Imports none."""

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.table import ROOT


@dataclass(frozen=True, slots=True)
class Loop:
    """A program that reads a topic.

    Attributes
    ----------
    title
        What it is called in tables.
    module
        Which has ``run(address, topic, meter)``.
    packages
        Whose versions are told with its figures.
    environment
        Folder of the virtual environment, relative to the repository; empty for the one that this runs in.
    warm_up, events
        How many events it is given at most before the time is taken and while it is; all that there are where None.
        The slow ones get fewer: their rate is steady and tells as much.
    """

    title: str
    module: str
    packages: tuple[str, ...]
    environment: str = ""
    warm_up: int | None = None
    events: int | None = None

    @property
    def python(self) -> Path:
        """The interpreter; it is absent where the environment could not be made."""
        return ROOT / self.environment / "bin" / "python" if self.environment else Path(sys.executable)


POLL = Loop("kafka-python's bare poll", "benchmarks.loops.kafka_python_loop", ("kafka-python",))
CONSUME = Loop("librdkafka's bare consume", "benchmarks.loops.librdkafka_loop", ("confluent-kafka",))
RIVER = Loop(
    "hand-written loop: kafka-python + River",
    "benchmarks.loops.river_loop",
    ("kafka-python", "river"),
    warm_up=5_000,
    events=50_000,
)
PEERS = {
    "quix-streams": Loop(
        "Quix Streams + River",
        "benchmarks.loops.quix_streams_loop",
        ("quixstreams", "river"),
        ".venv-quix-streams",
        warm_up=2_000,
        events=50_000,
    ),
    "vowpal-wabbit": Loop(
        "kafka-python + Vowpal Wabbit",
        "benchmarks.loops.vowpal_wabbit_loop",
        ("kafka-python", "vowpalwabbit"),
        ".venv-peers",
        warm_up=5_000,
        events=100_000,
    ),
    "deep-river": Loop(
        "kafka-python + deep-river",
        "benchmarks.loops.deep_river_loop",
        ("kafka-python", "deep-river", "torch"),
        ".venv-deep-river",
        warm_up=1_000,
        events=5_000,
    ),
    "capymoa": Loop(
        "kafka-python + CapyMOA",
        "benchmarks.loops.capymoa_loop",
        ("kafka-python", "capymoa"),
        ".venv-peers",
        warm_up=5_000,
        events=50_000,
    ),
}
LOOPS = {"poll": POLL, "consume": CONSUME, "river": RIVER, **PEERS}
"""By the names under which ``python -m benchmarks.loops`` knows them."""
