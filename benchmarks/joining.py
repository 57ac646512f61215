"""``python -m benchmarks.joining``: labels that come later, in processor time, memory, and over kills.

Three things. What a joined example costs beside one that came whole: both are decoded, batched and learned here, by a
linear learner, turn by turn, in processor time of one thread (a joined example is two events). What a million
observations of ten numbers take in memory while they wait. And flights (``hflights_delayed``, where it lies beside the
project): observed when they are to leave, labelled when they are to arrive, hours of event time later; a trainer is
killed again and again on the way, and what it has learned in the end is compared, bit for bit, with a learner that was
given, offline, the pairs in the order of their labels.
"""

import argparse
import csv
import datetime as dt
import gzip
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.killing import resident
from benchmarks.learning.streams import FOLDER
from benchmarks.report import Result, add_results_option, finish, ratio
from consumers.log import LogSink
from consumers.microbatch import Decoded, MicroBatcher
from consumers.source import NewRecord, StoredRecord
from consumers.track import Track
from models.examples import Examples, FeatureKey, Features, Joint, Kind, Task
from models.learner import LearnerOptions
from models.registry import create_learner
from service.checkpoints import Checkpoint, CheckpointStore
from service.decoding.columns import features_from_rows
from service.decoding.tasks import TaskGate
from service.events import EventDecoder
from service.joining.join import Join
from service.settings.event_options import EventOptions
from service.settings.join import JoinSettings
from tests.support.processes import Installation, installation

FLIGHTS = "hflights_delayed"
NUMBERS = 10
BATCH = 1024
POLLED = 2000
HALF = 0.5
MOST_BYTES = 600e6
WAIT_HOURS = 6.0


def main() -> int:
    """Measure, keep the result, and say with the status whether the bars are met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joining", description="Labels that come later.")
    parser.add_argument("--rounds", type=int, default=3, help="of the comparison in processor time (%(default)s)")
    parser.add_argument("--rows", type=int, default=100_000, help="examples of each round (%(default)s)")
    parser.add_argument("--waiting", type=int, default=1_000_000, help="observations in memory (%(default)s)")
    parser.add_argument("--flights", type=int, default=0, help="flights at most; 0: all (%(default)s)")
    parser.add_argument("--kills", type=int, default=20, help="of the trainer that learns flights (%(default)s)")
    add_results_option(parser)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-joining-") as folder:
        results = [*throughput(asked.rows, asked.rounds, Path(folder)), *memory(asked.waiting, Path(folder))]
        if (FOLDER / f"{FLIGHTS}.csv.gz").exists():
            results += flights(asked.flights, asked.kills, Path(folder))
    return finish(results, asked.results, "joining")


def throughput(rows: int, rounds: int, folder: Path) -> list[Result]:
    """Compare what examples cost that came whole with what they cost where the label comes later."""
    whole, later = _events(rows, rows // 5)
    for records in (whole[: 2 * BATCH], later[: 2 * BATCH]):
        _seconds(records, folder)
    costs: dict[str, list[float]] = {"whole": [], "joined": []}
    for _ in range(rounds):
        costs["whole"].append(_seconds(whole, folder) / rows * 1e6)
        costs["joined"].append(_seconds(later, folder, 2 * BATCH) / rows * 1e6)
    note = (
        "processor time: decoded, batched, learned by a linear learner, 1,024 examples an update; JSON of ten numbers"
    )
    came = Result("an example that came whole", "µs", costs["whole"], note=note)
    joined = Result("an example whose label came later", "µs", costs["joined"], note=f"{note}; two events each")
    return [came, joined, ratio("throughput of joined examples over whole ones", came, joined, bar=HALF)]


def memory(waiting: int, folder: Path) -> list[Result]:
    """Measure what observations take while they wait."""
    random = np.random.default_rng(0)
    keys = tuple(FeatureKey(f"feature{place}", Kind.NUMBER) for place in range(NUMBERS))
    join = Join(JoinSettings(wait=1e6), folder / "waiting")
    before = resident(os.getpid())
    for start in range(0, waiting, BATCH):
        rows = min(BATCH, waiting - start)
        ids = random.integers(1, 2**63, (rows, 2)).astype(np.uint64)
        features = Features(rows, keys, random.normal(size=(rows, NUMBERS)))
        nothing = np.zeros(rows, np.bool_)
        ones, times = np.ones(rows, np.float32), np.full(rows, np.nan)
        labels: list[Any] = [None] * rows
        examples = Examples(features, labels, ones, times, ids, labelled=nothing)
        offsets, zeros = np.arange(start, start + rows), np.zeros(rows, np.int32)
        join.take(examples, Track(zeros, offsets + 1, zeros, zeros, offsets))
    taken = (resident(os.getpid()) - before) * 2**20
    status = join.status()
    note = f"{status.observations:,} observations of ten numbers, the index included; resident memory"
    return [
        Result("memory of observations that wait", "MB", [taken / 1e6], note=note, bar=MOST_BYTES / 1e6, at_most=True),
        Result("the same, as the state reports it", "MB", [status.bytes / 1e6]),
    ]


def flights(most: int, kills: int, folder: Path) -> list[Result]:
    """Have a trainer learn flights over kills, and compare it with one that was given the pairs."""
    stream, pairs, late = _flights(most)
    place_settings = {
        "learner": {"kind": "online"},
        "task": "binary",
        "join": {"wait": f"{WAIT_HOURS:g}h", "clock": "event"},
        "checkpoint": {"every_seconds": 2},
        "canary": {"enabled": False},
    }
    (folder / "flights").mkdir()
    with installation(folder / "flights", place_settings, train={"spare": False}) as place:
        sink = LogSink(place.data_dir / "log" / "events.sqlite")
        place.start("serve")
        ends = [len(stream) * part // (kills + 1) for part in range(1, kills + 2)]
        done = begin = 0
        for end in ends:
            process = place.start("train", "--model", "default")
            sink.append([NewRecord(event) for event in stream[begin:end]])
            # Somewhere in what this trainer was the first to read, and before it is in any checkpoint.
            state = _wait_for(place, process.pid, end if end == len(stream) else (begin + end) / 2)
            if end < len(stream):
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                done += 1
            begin = end
        sink.close()
        process.terminate()
        process.wait(60)
        kept = CheckpointStore(place.data_dir / "models" / "default" / "checkpoints").load()
    assert kept is not None
    outcomes = state["join"]["outcomes"]
    figures = {
        "flights observed": float(len(stream) - len(pairs) - late),
        "labels joined": float(outcomes["joined"]),
        "labels joined, in an offline computation": float(len(pairs)),
        "labels that came after the wait": float(outcomes["late"]),
    }
    results = [Result(name, "", [value], note=f"{done} kills") for name, value in figures.items()]
    same = _same(kept, pairs) and (outcomes["joined"], outcomes["late"]) == (len(pairs), late)
    note = "parameters, scores and counts, bit for bit; 1: they are the same"
    return [*results, Result("learned over kills as offline", "", [float(same)], note=note, bar=1.0)]


def _wait_for(place: Installation, trainer: int, consumed: float) -> dict[str, Any]:
    """Return the state once this trainer, not one that was killed, says that it is so far."""
    return place.wait_for(
        lambda state: state["trainer"]["pid"] == trainer and state["events_consumed"] >= consumed, seconds=1200
    )


def _events(rows: int, delay: int) -> tuple[list[StoredRecord], list[StoredRecord]]:
    """Return examples that come whole, and the same ones whose label comes so many later."""
    random = np.random.default_rng(0)
    values = random.normal(size=(rows, NUMBERS)).round(4)
    labels = (values[:, 0] + values[:, 1] > 0).tolist()
    features = [{f"feature{place}": value for place, value in enumerate(row)} for row in values.tolist()]
    whole: list[dict[str, Any]] = []
    later: list[dict[str, Any]] = []
    for place in range(rows + delay):
        if place < rows:
            observed = {"id": f"event-{place}", "features": features[place]}
            later.append(observed)
            whole.append(observed | {"label": labels[place]})
        if place >= delay:
            later.append({"id": f"event-{place - delay}", "label": labels[place - delay]})
    return _records(whole), _records(later)


def _records(events: Sequence[dict[str, Any]]) -> list[StoredRecord]:
    return [StoredRecord(0, place, place, None, json.dumps(event).encode()) for place, event in enumerate(events)]


def _seconds(records: Sequence[StoredRecord], folder: Path, size: int = BATCH) -> float:
    """Return the processor time that it takes to learn records, from bytes on."""
    join = Join(JoinSettings(wait=1e6), folder / "waiting")
    learner = create_learner(LearnerOptions(kind="linear", device="cpu"), Task.BINARY)
    batcher = MicroBatcher(
        _Feed(records), max_size=size, max_delay=0, max_bytes=1 << 30, start={}, joint=Joint, clock=lambda: 1.0
    )
    begun = time.process_time()
    while (batch := batcher.next(0)) is not None:
        if batch.examples is not None:
            examples = join.take(batch.examples, batch.track)
            if len(examples):
                learner.learn(examples)
    return time.process_time() - begun


class _Feed:
    """Decodes records as they are asked for."""

    def __init__(self, records: Sequence[StoredRecord]) -> None:
        self._chunks = self._decoded(records)

    def take(self, timeout: float) -> Decoded[Examples] | None:  # noqa: ARG002 -- nothing is waited for
        """Return the next chunk."""
        return next(self._chunks, None)

    @staticmethod
    def _decoded(records: Sequence[StoredRecord]) -> Iterator[Decoded[Examples]]:
        decoder, gate = EventDecoder(EventOptions(), {}, joined=True), TaskGate(Task.BINARY)
        for start in range(0, len(records), POLLED):
            for piece in decoder.pieces(records[start : start + POLLED]):
                for each in gate.offer(piece):
                    yield Decoded(each.examples, each.track, each.positions, 0.0)


def _flights(most: int) -> tuple[list[bytes], list[tuple[dict[str, Any], float, int]], int]:
    """Return events in the order of their times, the pairs in the order of their labels, and how many come too late."""
    queue: list[tuple[float, int, dict[str, Any]]] = []
    pairs: list[tuple[float, int, dict[str, Any], float, int]] = []
    late = 0
    with gzip.open(FOLDER / f"{FLIGHTS}.csv.gz", "rt", newline="") as file:
        for name, row in enumerate(csv.DictReader(file)):
            if most and name >= most:
                break
            label = int(row.pop("delayed"))
            features = {key: float(value) if _is_number(value) else value for key, value in row.items()}
            day = dt.datetime(2011, int(row["month"]), int(row["day"]), tzinfo=dt.UTC).timestamp()
            leaves, arrives = (day + 60 * float(row[key]) for key in ("sched_dep_min", "sched_arr_min"))
            arrives += 86_400 if arrives <= leaves else 0
            queue.append((leaves, 2 * name, {"id": name, "features": features, "timestamp": leaves}))
            queue.append((arrives, 2 * name + 1, {"id": name, "label": label, "timestamp": arrives}))
            if arrives - leaves <= WAIT_HOURS * 3600:
                pairs.append((arrives, 2 * name + 1, features, leaves, label))
            else:
                late += 1
    queue.sort(key=lambda each: each[:2])
    pairs.sort(key=lambda each: each[:2])
    return [json.dumps(event).encode() for _, _, event in queue], [pair[2:] for pair in pairs], late


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()


def _same(kept: Checkpoint, pairs: Sequence[tuple[dict[str, Any], float, int]]) -> bool:
    """Whether a checkpoint's learner is what learning pairs offline comes to."""
    learner = create_learner(LearnerOptions(kind="online"), Task.BINARY)
    for start in range(0, len(pairs), BATCH):
        features, times, labels = map(list, zip(*pairs[start : start + BATCH], strict=True))
        weights = np.ones(len(labels), np.float32)
        learner.learn(Examples(features_from_rows(features), labels, weights, np.array(times)))
    state = learner.state()
    return state.arrays.keys() == kept.learner.arrays.keys() and all(
        array.tobytes() == kept.learner.arrays[name].tobytes() for name, array in state.arrays.items()
    )


if __name__ == "__main__":
    sys.exit(main())
