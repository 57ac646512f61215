"""How old the news is: from an event's timestamp in the log until servers answer from parameters that learned from it.

Measured from outside: this process watches the publication as a server does and notes when each version appeared; the
journal says which events went into which version.
"""

import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from numpy.typing import NDArray

from benchmarks.ingest import kafka_settings, trainer_settings
from benchmarks.report import Result
from benchmarks.topics import PARTITIONS, events, new_topic
from service.checkpoints import CheckpointStore
from service.durability.journal_format import Update
from service.durability.journal_reading import read_journal
from service.errors import PublicationMissing
from service.publishing.subscription import Subscription
from tests.support.processes import Installation, installation

RATE = 1000
SECONDS = 15
WARM_UP_SECONDS = 3
MAX_DELAY_MS = 50

ALLOWED_MS = MAX_DELAY_MS + 50


def measure(address: str, topic: str, folder: Path, count: int, rounds: int) -> list[Result]:
    """Send a steady stream and measure each event's freshness."""
    del topic, count
    halves, tails = [], []
    for turn in range(rounds):
        found = _one(address, folder / str(turn))
        halves.append(float(np.percentile(found, 50)))
        tails.append(float(np.percentile(found, 99)))
    note = f"{RATE} events/s, max_delay {MAX_DELAY_MS} ms"
    return [
        Result("freshness p50", "ms", halves, note),
        Result("freshness p99", "ms", tails, note, ALLOWED_MS, at_most=True),
    ]


class _Watch:
    """Notes when each version is first served."""

    def __init__(self, place: Installation) -> None:
        self.seen: dict[int, float] = {}
        self._subscription = Subscription(place.folder / "publish" / "default")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.0005):
            try:
                header, _ = self._subscription.read(lambda _: None)
            except PublicationMissing:
                continue
            self.seen.setdefault(header["version"], time.time() * 1000)

    def end(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()


def _one(address: str, folder: Path) -> NDArray[np.float64]:
    """Return each event's freshness in milliseconds, those of the warm-up left out."""
    folder.mkdir(parents=True)
    topic = new_topic(address)
    microbatch = {"max_delay_ms": MAX_DELAY_MS}
    # All checkpoints are kept, and so is the journal after the first: it tells which events each version holds.
    model = trainer_settings(topic, microbatch=microbatch, checkpoint={"every_seconds": 2, "keep": 100})
    with installation(folder, model, **kafka_settings(address)) as place:
        place.start("train", "--model", "default")
        _wait(place, '"idle"')
        watch = _Watch(place)
        total = RATE * (WARM_UP_SECONDS + SECONDS)
        _send(address, topic, total)
        _wait(place, f'"microbatch":{total}')
        watch.end()
        root = place.data_dir / "models" / "default"
        # The journal goes back to the oldest checkpoint; that one lies within the warm-up.
        oldest = min(each.version for each in CheckpointStore(root / "checkpoints").list())
        tail = read_journal(root / "journal", oldest)
    updates = [entry for entry in tail.entries if isinstance(entry, Update)]
    return _freshness(_timestamps(address, topic, total), updates, watch.seen)


def _send(address: str, topic: str, total: int) -> None:
    """Send `total` events at a steady rate, spread over the partitions."""
    producer = KafkaProducer(bootstrap_servers=address, linger_ms=1)
    began = time.perf_counter()
    for number, value in enumerate(events(total)):
        producer.send(topic, value=value, partition=number % PARTITIONS)
        ahead = number / RATE - (time.perf_counter() - began)
        if ahead > 0.001:
            time.sleep(ahead)
    producer.flush()
    producer.close()


def _wait(place: Installation, text: str) -> None:
    """Wait until the trainer's status holds `text`."""
    until = time.monotonic() + 60
    path = place.folder / "publish" / "default" / "status.json"
    while not path.exists() or text not in path.read_text():
        if time.monotonic() > until:
            raise TimeoutError(f"the trainer's status never held {text}\n{place.log('train')[-3000:]}")
        time.sleep(0.1)


def _timestamps(address: str, topic: str, total: int) -> dict[int, list[int]]:
    """Return the log's timestamp of each event, partition by partition."""
    consumer = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    found: dict[int, list[int]] = {number: [] for number in range(PARTITIONS)}
    while sum(map(len, found.values())) < total:
        for partition, records in consumer.poll(timeout_ms=1000).items():
            found[partition.partition] += [record.timestamp for record in records]
    consumer.close()
    return found


def _freshness(timestamps: dict[int, list[int]], updates: list[Update], seen: dict[int, float]) -> NDArray[np.float64]:
    """Return, for each event after the warm-up, the time until a version with it was served."""
    first = min(times[0] for times in timestamps.values()) + WARM_UP_SECONDS * 1000
    versions = np.array(sorted(seen))
    found: list[float] = []
    for update in updates:
        # A version that came and went between two looks was followed by one that holds its events as well.
        at = seen[int(versions[np.searchsorted(versions, update.version)])]
        rows_of: Counter[int] = Counter()
        for run in update.runs:
            rows_of[run.partition] += run.rows
        for partition, rows in rows_of.items():
            end = update.positions[partition].offset
            found += [at - time_ for time_ in timestamps[partition][end - rows : end] if time_ >= first]
    return np.array(found)
