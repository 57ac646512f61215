"""How old the news is: from an event's timestamp in the log until servers answer from parameters that learned from it.

Measured from outside: this process watches the publication as a server does and notes when each version appeared; the
journal says which events went into which version. Once at a trickle, and once at half of what the trainer can learn,
which is measured right before.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.ingest import Window, end_to_end, kafka_settings, trainer_settings
from benchmarks.measured import Series
from benchmarks.report import Result
from benchmarks.topics import PARTITIONS, new_topic
from consumers.kafka import KafkaOptions, KafkaSource
from consumers.records import Records
from service.checkpoints import CheckpointStore
from service.durability.journal_format import Update
from service.durability.journal_reading import read_journal
from service.errors import PublicationMissing
from service.publishing.subscription import Subscription
from tests.support.processes import Installation, installation

TRICKLE = 100.0
"""Events a second."""

SECONDS, WARM_UP_SECONDS = 15.0, 5.0

MAX_DELAY_MS = 50.0

ALLOWED_MS, ALLOWED_AT_HALF_MS = 10.0, 20.0
"""Beyond what an event may wait for others: at a trickle, and at half of the maximum rate."""


def measure(address: str, topic: str, folder: Path, count: int, rounds: int) -> list[Result]:
    """Measure each event's freshness at a trickle and at half of the maximum rate, round by round."""
    window = Window(warm_up=count // 5, events=count // 2, seconds=15.0)
    fastest = Series("the most that is learned a second", "of a backlog, right before")
    trickle, half = [], []
    for turn in range(rounds):
        place = folder / str(turn)
        measure_most = partial(end_to_end, place / "fastest", trainer_settings(topic), kafka_settings(address), window)
        fastest.take(measure_most)
        trickle.append(freshness(address, place / "trickle", TRICKLE))
        if not fastest.failure:
            half.append(freshness(address, place / "half", fastest.measured[-1].rate / 2))
    return [
        fastest.rate,
        *_results(f"at {TRICKLE:g} events/s", trickle, ALLOWED_MS),
        *_results("at half of that rate", half, ALLOWED_AT_HALF_MS, fastest.failure),
    ]


def freshness(
    address: str,
    folder: Path,
    rate: float,
    *,
    max_delay_ms: float = MAX_DELAY_MS,
    seconds: float = SECONDS,
    kafka: Mapping[str, object] | None = None,
) -> NDArray[np.float64]:
    """Have a trainer learn a steady stream and return each event's freshness, those of the warm-up left out.

    Parameters
    ----------
    address
        Of the broker.
    folder
        For what is installed; made here.
    rate
        Events a second.
    max_delay_ms
        Milliseconds that an event may wait for others.
    seconds
        How long it is measured.
    kafka
        Further settings of how the topic is read.

    Returns
    -------
    numpy.ndarray
        float64, shape (events,); milliseconds.
    """
    folder.mkdir(parents=True)
    topic = new_topic(address)
    # All checkpoints are kept, and so is the journal after the first: it tells which events each version holds.
    model = trainer_settings(topic, microbatch={"max_delay_ms": max_delay_ms}, checkpoint={"keep": 1000})
    total = int(rate * (WARM_UP_SECONDS + seconds))
    with installation(folder, model, **kafka_settings(address, **(kafka or {}))) as place:
        place.start("train", "--model", "default")
        _wait(place, '"idle"')
        watch = _Watch(place)
        try:
            command = [sys.executable, "-m", "benchmarks.sending", address, topic, str(rate), str(total)]
            subprocess.run(command, check=True)
            _wait(place, f'"microbatch":{total}')
        finally:
            watch.end()
        root = place.data_dir / "models" / "default"
        # The journal goes back to the oldest checkpoint; that one lies within the warm-up.
        oldest = min(each.version for each in CheckpointStore(root / "checkpoints").list())
        tail = read_journal(root / "journal", oldest)
    updates = [entry for entry in tail.entries if isinstance(entry, Update)]
    return ages(_timestamps(address, topic, total), updates, watch.seen, WARM_UP_SECONDS * 1000)


def ages(
    timestamps: Sequence[NDArray[np.int64]], updates: Iterable[Update], seen: Mapping[int, float], warm_up: float
) -> NDArray[np.float64]:
    """Return how old each event after the warm-up was when a version with it was served, in milliseconds.

    Parameters
    ----------
    timestamps
        Partition → the log's timestamp of each of its events, in order, in milliseconds.
    updates
        Which events went into which version.
    seen
        Version → when it was first served, in milliseconds.
    warm_up
        Milliseconds from the first event on that are left out.
    """
    first = min(int(times[0]) for times in timestamps if len(times)) + warm_up
    versions = np.array(sorted(seen))
    found: list[NDArray[np.float64]] = []
    for update in updates:
        # A version that came and went between two looks was followed by one that holds its events as well.
        at = seen[int(versions[np.searchsorted(versions, update.version)])]
        rows_of = dict.fromkeys((run.partition for run in update.runs), 0)
        for run in update.runs:
            rows_of[run.partition] += run.rows
        for partition, rows in rows_of.items():
            end = update.positions[partition].offset
            times = timestamps[partition][end - rows : end]
            found.append(np.float64(at) - times[times >= first].astype(np.float64))
    return np.concatenate(found)


class _Watch:
    """Notes when each version is first served."""

    def __init__(self, place: Installation) -> None:
        self.seen: dict[int, float] = {}
        self._subscription = Subscription(place.folder / "publish" / "default")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.001):
            try:
                header, _ = self._subscription.read(lambda _: None)
            except PublicationMissing:
                continue
            self.seen.setdefault(header["version"], time.time() * 1000)

    def end(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()


def _results(what: str, found: Sequence[NDArray[np.float64]], allowed: float, failure: str = "") -> list[Result]:
    note = f"{what}, max_delay {MAX_DELAY_MS:g} ms"
    halves, tails = ([float(np.percentile(each, share)) for each in found] for share in (50, 99))
    return [
        Result(f"freshness {what}, p50", "ms", halves, note, failure=failure),
        Result(f"freshness {what}, p99", "ms", tails, note, MAX_DELAY_MS + allowed, at_most=True, failure=failure),
    ]


def _wait(place: Installation, text: str) -> None:
    """Wait until the trainer's status holds `text`."""
    until = time.monotonic() + 60
    path = place.folder / "publish" / "default" / "status.json"
    while not path.exists() or text not in path.read_text():
        if time.monotonic() > until:
            raise TimeoutError(f"the trainer's status never held {text}\n{place.log('train')[-3000:]}")
        time.sleep(0.1)


def _timestamps(address: str, topic: str, total: int) -> list[NDArray[np.int64]]:
    """Return the log's timestamp of each event, partition by partition."""
    reader = KafkaSource(KafkaOptions(address, client="librdkafka"), topic).open({})
    polled: list[Records] = []
    while sum(map(len, polled)) < total:
        polled.append(Records.of(reader.poll(10_000, 1.0)))
    reader.close()
    records = Records.concatenate(polled)
    return [records.appended[records.partitions == number] for number in range(PARTITIONS)]
