"""Streams of observations and labels, and the label join as a dictionary would do it: what is tested against."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from consumers.track import Track
from models.examples import Examples, FeatureKey, Features, Kind, Label
from service.settings.join import JoinSettings

KEYS = (FeatureKey("x", Kind.NUMBER),)


class Row(NamedTuple):
    """One event: an observation where it has no label, a label where it has no x."""

    name: int
    x: float | None
    label: Label | None
    time: float
    partition: int = 0
    weight: float = 1.0


class Seen(NamedTuple):
    """One row that is to be learned."""

    name: int
    x: float
    label: Label | None
    weight: float
    event: int


def examples_of(rows: Sequence[Row], first: int) -> tuple[Examples, Track]:
    """Return events, the first of which has this number, as a microbatch."""
    count = len(rows)
    ids = np.array([digest(row.name) for row in rows], np.uint64).reshape(-1, 2)
    labelled = np.array([row.label is not None for row in rows])
    featured = np.array([row.x is not None for row in rows])
    examples = Examples(
        Features(count, KEYS, np.array([[np.nan if row.x is None else row.x] for row in rows]).reshape(-1, 1)),
        [row.label for row in rows],  # type: ignore[misc]  # where there is none
        np.array([row.weight for row in rows], np.float32),
        np.full(count, np.nan),
        ids,
        labelled=None if labelled.all() else labelled,
        featured=None if featured.all() else featured,
    )
    numbers = np.arange(first, first + count)
    partitions = np.array([row.partition for row in rows], np.int32)
    appended = np.array([row.time * 1000 for row in rows], np.int64)
    events = np.zeros(count, np.int32)
    return examples, Track(partitions, numbers + 1, events, np.ones(count, np.int32), appended)


def digest(name: int) -> tuple[int, int]:
    """Return an id's digest; 0 is none."""
    return (name * 2**61 % 2**64, name) if name else (0, 0)


def seen(examples: Examples, track: Track) -> list[Seen]:
    """Return the rows that a join gave; `track` is of all events."""
    events = dict(zip(track.checksums().tolist(), range(len(track)), strict=True))
    checksums = track.checksums()[-len(examples) :] if examples.checksums is None else examples.checksums
    ids = examples.ids
    found = zip(
        [0] * len(examples) if ids is None else ids[:, 1].tolist(),
        examples.features.numbers.reshape(len(examples), -1)[:, 0].tolist() if len(examples) else [],
        examples.labels,
        examples.weights.tolist(),
        [events.get(checksum, -1) for checksum in checksums.tolist()],
        strict=True,
    )
    return [Seen(*each) for each in found]


@dataclass
class PlainJoin:
    """The label join, row by row, in dictionaries."""

    settings: JoinSettings
    default: Label | None = None
    default_weight: float = 1.0
    open: dict[int, tuple[Row, int]] = field(default_factory=dict)
    labels: dict[int, tuple[Row, int]] = field(default_factory=dict)
    lapsed: dict[int, tuple[Row, int]] = field(default_factory=dict)
    past: dict[int, str] = field(default_factory=dict)
    clocks: dict[int, float] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)

    def take(self, rows: Sequence[Row], first: int) -> list[Seen]:
        """Return what is to be learned now."""
        for row in rows:
            self.clocks[row.partition] = max(self.clocks.get(row.partition, row.time), row.time)
        found = [each for event, row in enumerate(rows, first) for each in self._row(row, event)]
        found += self._time_out()
        for table in (self.open, self.labels, self.lapsed):
            while len(table) > self.settings.max_open:
                del table[next(iter(table))]
                self.outcomes["evicted"] += table is not self.lapsed
        return found

    def _row(self, row: Row, event: int) -> Iterator[Seen]:
        if row.x is not None and row.label is not None:
            yield Seen(row.name, row.x, row.label, row.weight, event)
            if row.name:
                if self.open.pop(row.name, None):
                    self.outcomes["superseded"] += 1
                    self.past[row.name] = "closed"
                if self.labels.pop(row.name, None):
                    self.outcomes["duplicate"] += 1
        elif row.label is None:
            yield from self._observation(row, event)
        else:
            yield from self._label(row, event)

    def _observation(self, row: Row, event: int) -> Iterator[Seen]:
        if row.name in self.open or row.name in self.past:
            self.outcomes["duplicate"] += 1
            return
        waits = self.labels.get(row.name)
        if waits is not None and row.time - waits[0].time > self.settings.wait:
            self.outcomes["unmatched"] += 1
            del self.labels[row.name]
            waits = None
        self.open[row.name] = row, event
        if waits is not None and self.settings.duplicates == "first":
            yield self._joined(*self.labels.pop(row.name))

    def _label(self, row: Row, event: int) -> Iterator[Seen]:
        observed, past = self.open.get(row.name), self.past.get(row.name)
        late = past == "lapsed" if observed is None else row.time - observed[0].time > self.settings.wait
        if late:
            self.outcomes["late"] += 1
            if self.settings.late == "learn" and (row.name in self.open or row.name in self.lapsed):
                known = self.open.pop(row.name, None) or self.lapsed.pop(row.name)
                self.past[row.name] = "closed"
                named = row.name if observed is not None else 0
                yield self._pair(known[0], row, event)._replace(name=named)
            return
        if past == "closed":
            self.outcomes["duplicate"] += 1
            return
        before = self.labels.get(row.name)
        if self.settings.duplicates == "first":
            if observed is not None:
                yield self._joined(row, event)
            elif before is not None:
                self.outcomes["duplicate"] += 1
            else:
                self.labels[row.name] = row, event
            return
        if before is not None:
            del self.labels[row.name]
            row = row._replace(time=before[0].time)
            if self.settings.duplicates == "sum":
                row, event = row._replace(label=row.label + before[0].label), -1  # type: ignore[operator]  # only numbers are summed
            else:
                self.outcomes["duplicate"] += 1
        self.labels[row.name] = row, event

    def _joined(self, label: Row, event: int) -> Seen:
        self.outcomes["joined"] += 1
        self.past[label.name] = "closed"
        return self._pair(self.open.pop(label.name)[0], label, event)

    @staticmethod
    def _pair(observed: Row, label: Row, event: int) -> Seen:
        assert observed.x is not None
        return Seen(observed.name, observed.x, label.label, observed.weight * label.weight, event)

    def _is_up(self, row: Row, wait: float) -> bool:
        return row.time + wait < self.clocks[row.partition] or row.time + self.settings.patience < max(
            self.clocks.values()
        )

    def _time_out(self) -> Iterator[Seen]:
        due = [name for name, (row, _) in self.open.items() if self._is_up(row, self.settings.wait)]
        met = [name for name in due if name in self.labels]
        for name in met:
            yield self._joined(*self.labels.pop(name))
        for name in due:
            if name in met:
                continue
            row, event = self.open.pop(name)
            assert row.x is not None
            self.outcomes["timed_out"] += 1
            self.past[name] = "lapsed"
            if self.default is not None and name % self.settings.sample == 0:
                yield Seen(name, row.x, self.default, row.weight * self.default_weight, event)
            if self.settings.late == "learn":
                self.lapsed[name] = row, event
        for name in [name for name, (row, _) in self.labels.items() if self._is_up(row, self.settings.wait)]:
            if name not in self.open:
                self.outcomes["unmatched"] += 1
                del self.labels[name]
        for name in [name for name, (row, _) in self.lapsed.items() if self._is_up(row, self.settings.patience)]:
            del self.lapsed[name]


def outcomes_of(counts: Any) -> dict[str, int]:
    """Return counts that are not 0."""
    return {name: count for name, count in counts.items() if count}
