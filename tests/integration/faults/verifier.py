"""What the parameters must be: reads the log itself, decodes it itself, and learns it undisturbed, in a fresh process.

It shares with the product what is to be taken as given, the learner and what a teacher said, and nothing else: not the
reader, the decoder, the microbatcher, recovery, checkpoints or the journal's replay. Each line on stdin is a request:
check everything now.
"""

import hashlib
import json
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import numpy as np
import pyarrow as pa
import torch
from safetensors.numpy import load

from models.effort import FULL, LEVELS, Effort
from models.examples import Examples, FeatureKey, Features, Kind, Task
from models.learner import Learner
from models.registry import create_contest, create_learner
from service.learning.lessons import decode_lesson
from tests.integration.faults.place import MAX_SIZE, MODEL, Place, Variety
from tests.integration.faults.watcher import digest, spec_text

_WRAP = (1 << 64) - 1


class Event(NamedTuple):
    """One event that can be learned from, and the position after it."""

    features: Mapping[str, Any]
    label: str | None
    weight: float
    place: tuple[int, int, int]


@dataclass
class Partition:
    """One log, as far as it was read."""

    path: Path
    number: int
    taught: bool
    row: int = 0
    events: list[Event] = field(default_factory=list)
    broken: int = 0
    unused: int = 0

    def read(self) -> None:
        """Take in what was appended since."""
        connection = sqlite3.connect(self.path)
        found = connection.execute(
            "SELECT id, value, extra FROM records WHERE id > ? ORDER BY id", (self.row,)
        ).fetchall()
        connection.close()
        for row, value, extra in found:
            self.row = row
            self._decode(row - 1, value, b"" if extra is None else extra)

    def _decode(self, offset: int, value: bytes, headers: bytes) -> None:
        try:
            events = _events_of(value, headers)
        except ValueError:
            self.broken += 1
            return
        usable = []
        for index, event in enumerate(events):
            if not isinstance(event["features"], dict):
                self.broken += 1
            elif "label" not in event and not self.taught:
                self.unused += 1
            else:
                usable.append((index, event))
        for index, event in usable:
            after = (offset + 1, 0) if index == usable[-1][0] else (offset, index + 1)
            weight = event.get("weight", 1.0)
            self.events.append(Event(event["features"], event.get("label"), weight, (self.number, *after)))


def _events_of(value: bytes, headers: bytes) -> list[Any]:
    """Return the events of a message; of an Arrow stream, what is null is left out."""
    if b"arrow" in headers:
        rows = pa.ipc.open_stream(value).read_all().to_pylist()
        return [_without_nulls(row) | {"features": _without_nulls(row["features"])} for row in rows]
    if b"ndjson" in headers:
        return [json.loads(line) for line in value.splitlines()]
    message = json.loads(value)
    return message if isinstance(message, list) else [message]


def _without_time(meta: dict[str, Any]) -> dict[str, Any]:
    """Return what a learner is without the log's time, by which nothing is decided here."""
    meta.get("contest", {}).pop("seconds", None)
    return meta


def _without_nulls(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found for name, found in row.items() if found is not None}


def examples_of(events: Sequence[Event]) -> Examples:
    """Return events as columns."""
    columns: dict[FeatureKey, list[float]] = {}
    categories: dict[str, list[str | None]] = {}
    for row, event in enumerate(events):
        for name, value in event.features.items():
            if isinstance(value, str):
                categories.setdefault(name, [None] * len(events))[row] = value
            else:
                kind = Kind.BOOLEAN if isinstance(value, bool) else Kind.NUMBER
                columns.setdefault(FeatureKey(name, kind), [np.nan] * len(events))[row] = float(value)
    numbers = np.array(list(columns.values()), np.float64).T if columns else np.empty((len(events), 0))
    features = Features(len(events), tuple(columns), np.ascontiguousarray(numbers), categories)
    weights = np.array([event.weight for event in events], np.float32)
    labels = [cast("str", event.label) for event in events]
    labelled = np.array([event.label is not None for event in events], np.bool_)
    return Examples(features, labels, weights, np.full(len(events), np.nan), labelled=labelled)


def checksum_of(events: Sequence[Event]) -> int:
    """Return the sum, modulo 2^64, of what SplitMix64 makes of each event's position."""
    total = 0
    for event in events:
        mixed = 0
        for number in event.place:
            mixed = _mix((mixed + number) & _WRAP)
        total += mixed
    return total & _WRAP


def _mix(value: int) -> int:
    mixed = (value + 0x9E3779B97F4A7C15) & _WRAP
    mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) & _WRAP
    mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & _WRAP
    return mixed ^ mixed >> 31


class Verifier:
    """An undisturbed run over the same log."""

    def __init__(self, place: Place) -> None:
        self._place = place
        taught = place.variety == "taught"
        self._partitions = [Partition(path, number, taught) for number, path in enumerate(place.logs)]
        chosen = place.settings().models[MODEL]
        rules = chosen.contest.rules()
        self._learner: Learner = create_contest(chosen.contenders, rules, Task.MULTICLASS, create_learner)
        self._digests: dict[int, str] = {}
        self._taken = [0] * len(self._partitions)
        self._version = self._updates = self._learned = self._checksum = self._passed = self._taught = 0
        self._updates_read = 0
        self._versions_read = 0
        self._served: dict[int, str] = {}
        self._newest_served = -1
        self.problems: list[str] = []

    def check(self) -> dict[str, Any]:
        """Learn what came since, and compare; return figures and problems."""
        for partition in self._partitions:
            partition.read()
        for version, events, lesson, effort in self._microbatches():
            self._learn(version, events, lesson, LEVELS[effort])
        self._check_complete()
        self._check_checkpoint()
        self._check_served()
        self._check_dead_letters()
        return {
            "events": self._learned + self._passed,
            "taught": self._taught,
            "updates": self._updates,
            "promotions": (self._learner.status().contest or {}).get("promotions", 0),
            "versions_seen": len(self._served),
            "dead_letters": sum(partition.broken for partition in self._partitions),
            "problems": self.problems[:20],
        }

    def _learn(self, version: int, events: Sequence[Event], lesson: str, effort: Effort) -> None:
        if events:  # none: the same parameters under another number, where numbering has skipped ahead
            taught = decode_lesson(bytes.fromhex(lesson), len(events))
            given = replace(examples_of(events), taught=taught)
            self._learner.learn(given if taught is not None else given.known(), effort)
            self._updates += 1
            self._taught += len(events) if taught is not None else 0
            learned = [event for event in events if taught is not None or event.label is not None]
            self._passed += len(events) - len(learned)
            events = learned
        published = self._learner.published(flush=True)
        self._digests[version] = digest(spec_text(json.loads(json.dumps(published.spec))), published.arrays)
        self._version = version
        self._learned += len(events)
        self._checksum = (self._checksum + checksum_of(events)) & _WRAP

    def _microbatches(self) -> Iterator[tuple[int, list[Event], str, int]]:
        """Yield what each update learns: every `MAX_SIZE` events, or as the journals of the campaign had it."""
        if self._place.sized:
            events = self._partitions[0].events
            while len(events) - self._taken[0] >= MAX_SIZE:
                yield self._version + 1, self._take(0, MAX_SIZE), "", FULL.level
            return
        lines = self._place.updates.read_text().splitlines()
        for line in lines[self._updates_read :]:
            update = json.loads(line)
            events = [one for number, rows in update["runs"] for one in self._take(number, rows)]
            yield update["version"], events, update["lesson"], update["effort"]
        self._updates_read = len(lines)

    def _take(self, number: int, rows: int) -> list[Event]:
        start = self._taken[number]
        self._taken[number] += rows
        found = self._partitions[number].events[start : start + rows]
        if len(found) < rows:
            self.problems.append(f"an update learned {rows - len(found)} events more than partition {number} holds")
        return found

    def _check_complete(self) -> None:
        for partition, taken in zip(self._partitions, self._taken, strict=True):
            left = len(partition.events) - taken
            if left:
                self.problems.append(f"{left} events of partition {partition.number} are in no update")

    def _check_checkpoint(self) -> None:
        manifest, arrays = newest_checkpoint(self._place.model / "checkpoints")
        expected = self._learner.state()
        lane = manifest["service"]["lane"]
        self._same("version", manifest["version"], self._version)
        self._same("events learned", lane["learned"], self._learned)
        self._same("checksum of the events", lane["events_checksum"], f"{self._checksum:016x}")
        unused = sum(partition.unused + partition.broken for partition in self._partitions) + self._passed
        if not self._learned <= lane["consumed"] <= self._learned + unused:
            self.problems.append(f"events passed: {lane['consumed']}, of which {self._learned} were learned")
        positions = {str(each.number): [each.row, 0] for each in self._partitions}
        self._same("positions", manifest["positions"], positions)
        self._same(
            "meta", _without_time(manifest["learners"][""]), _without_time(json.loads(json.dumps(expected.meta)))
        )
        self._same("names of arrays", sorted(arrays), sorted(expected.arrays))
        for name, array in expected.arrays.items():
            found = arrays.get(name)
            if found is None or (found.dtype, found.shape) != (array.dtype, array.shape):
                self.problems.append(f"array {name} has another shape at version {self._version}")
            elif found.tobytes() != array.tobytes():
                self.problems.append(f"array {name} differs at version {self._version}")

    def _check_served(self) -> None:
        """Compare what the watcher saw with what each version must be."""
        lines = self._place.versions.read_text().splitlines()
        for line in lines[self._versions_read :]:
            number, found = line.split()
            version = int(number)
            if version < self._newest_served:
                self.problems.append(f"version {version} was served after {self._newest_served}")
            self._newest_served = version
            if self._served.setdefault(version, found) != found:
                self.problems.append(f"version {version} stood for two sets of parameters")
            if version and self._digests.get(version) != found:
                self.problems.append(f"version {version} was not what an undisturbed run has there")
        self._versions_read = len(lines)

    def _check_dead_letters(self) -> None:
        connection = sqlite3.connect(self._place.model / "dead_letters.sqlite")
        places = connection.execute('SELECT partition, "offset", "index" FROM dead_letters').fetchall()
        connection.close()
        self._same("dead letters", len(places), sum(partition.broken for partition in self._partitions))
        self._same("dead letters, each once", len(places), len(set(places)))

    def _same(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            self.problems.append(f"{what}: {found!r} instead of {expected!r}"[:600])


def newest_checkpoint(folder: Path, path: Path | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the newest manifest, or that at `path`, and its learner's arrays.

    Read without the product's help, checksums checked.
    """
    manifest = json.loads((path or max(folder.glob("manifest-*.json"))).read_text())
    arrays: dict[str, Any] = {}
    for key, segment in manifest["segments"][""].items():
        content = (folder / "segments" / segment["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == segment["sha256"]
        arrays |= {f"{key}/{name}" if key else name: array for name, array in load(content).items()}
    return manifest, arrays


def main() -> None:
    """Answer each line on stdin with a line of JSON."""
    folder, named = sys.argv[1:]
    (variety,) = (each for each in get_args(Variety) if each == named)
    torch.set_num_threads(1)
    verifier = Verifier(Place(Path(folder), variety))
    for _ in sys.stdin:
        print(json.dumps(verifier.check()), flush=True)


if __name__ == "__main__":
    main()
