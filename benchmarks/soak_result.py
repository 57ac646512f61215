"""What a soak must show, judged from its samples and counts, and kept as JSON for programs and Markdown for people."""

import datetime as dt
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.processes import Usage
from service.measuring.machine import Machine

WINDOW_SECONDS = 300.0
"""Memory and descriptors are medians over so long: a time in which the broker restarts once, which they show."""

MAY_GROW = 0.05


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment: seconds since the start, processes by role, events learned, and the lag."""

    at: float
    usages: dict[str, Usage]
    learned: int
    lag: int


@dataclass(frozen=True)
class Criterion:
    """One thing that must hold: what, whether it did, and the figures."""

    name: str
    holds: bool
    figures: str


@dataclass
class Soak:
    """Everything that a soak found.

    Attributes
    ----------
    asked
        How it was run.
    maximum_rate, rate
        Events a second: learned while the producer sent as fast as it could, and sent afterwards.
    seconds
        For how long events were sent at `rate`.
    samples, restarts
        In order; a restart is (seconds since the start, seconds without a broker, by force).
    settled_at
        Seconds after which memory and descriptors are to stay as they are.
    counts
        What the topic holds and what was made of it.
    predictions, failed_predictions
        Asked meanwhile.
    checksum, expected_checksum
        Of the learned events, as the trainer reports it and as the topic has it; None where this version reports none.
    exit_status
        Of ``headrace up``, told to end after all was learned.
    """

    asked: dict[str, Any]
    maximum_rate: float = 0.0
    rate: float = 0.0
    seconds: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    restarts: list[tuple[float, float, bool]] = field(default_factory=list)
    settled_at: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    predictions: int = 0
    failed_predictions: int = 0
    checksum: str | None = None
    expected_checksum: str | None = None
    exit_status: int | None = None

    def criteria(self) -> list[Criterion]:
        """Return what must hold."""
        counts = self.counts
        criteria = [
            Criterion(
                "every event that can be learned is learned once",
                counts["learned"] == counts["events"],
                f"{counts['learned']:,} learned of {counts['events']:,} in the topic",
            ),
            Criterion(
                "every other is a dead letter once",
                counts["dead_letters"] == counts["poison"],
                f"{counts['dead_letters']:,} dead letters of {counts['poison']:,} poison messages",
            ),
            Criterion(
                "no prediction failed",
                self.failed_predictions == 0,
                f"{self.failed_predictions:,} of {self.predictions:,} failed",
            ),
            Criterion("it ends in order", self.exit_status == 0, f"exit status {self.exit_status}"),
        ]
        if self.checksum is not None:
            figures = f"{self.checksum} learned, {self.expected_checksum} in the topic"
            same = self.checksum == self.expected_checksum
            criteria.append(Criterion("the learned events are those of the topic, by checksum", same, figures))
        return criteria + [each for role in self._roles() for each in self._of_process(role)]

    def _roles(self) -> list[str]:
        return list(self.samples[-1].usages) if self.samples else []

    def _of_process(self, role: str) -> list[Criterion]:
        """Return what must hold for one process: it lived on, and it grew in neither memory nor descriptors."""
        then, now = self._windows(role)
        pids = {each.pid for each in [*then, *now]}
        if not then or not now:
            return [Criterion(f"{role}: there from beginning to end", False, "not sampled in both windows")]
        memory = _change(then, now, lambda usage: usage.rss)
        own = _change(then, now, lambda usage: usage.uss)
        files = [statistics.median(usage.descriptors for usage in window) for window in (then, now)]
        allowed = max(usage.descriptors for usage in then)
        return [
            Criterion(f"{role}: never restarted", len(pids) == 1, f"process {', '.join(map(str, sorted(pids)))}"),
            Criterion(
                f"{role}: resident memory at the end within 5 % of that when settled",
                memory[2] <= MAY_GROW,
                f"{memory[0]:.1f} → {memory[1]:.1f} MiB ({memory[2]:+.1%}); its own {own[0]:.1f} → {own[1]:.1f} MiB",
            ),
            Criterion(
                f"{role}: no descriptor leaked", files[1] <= allowed, f"{files[0]:g} → {files[1]:g} (at most {allowed})"
            ),
        ]

    def _windows(self, role: str) -> tuple[list[Usage], list[Usage]]:
        """Return the usages of a process around the time when it had settled, and at the end."""
        end = self.samples[-1].at
        length = min(WINDOW_SECONDS, max(0.0, end - self.settled_at) / 2)
        settled = [each for each in self.samples if self.settled_at <= each.at <= self.settled_at + length]
        last = [each for each in self.samples if each.at >= end - length]
        return [one.usages[role] for one in settled if role in one.usages], [
            one.usages[role] for one in last if role in one.usages
        ]


def _change(then: Sequence[Usage], now: Sequence[Usage], memory: Callable[[Usage], int]) -> tuple[float, float, float]:
    """Return MiB then, MiB now, and the relative change."""
    before, after = (statistics.median(map(memory, window)) for window in (then, now))
    return before / 1024, after / 1024, after / before - 1


def keep(soak: Soak, where: Machine, folder: Path) -> str:
    """Write ``soak-DATE.json`` and ``soak-DATE.md`` and return the latter's text."""
    now = dt.datetime.now(dt.UTC)
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"soak-{now:%Y-%m-%d}"
    criteria = soak.criteria()
    found = {
        "measured_at": now.isoformat(timespec="seconds"),
        "machine": asdict(where),
        "criteria": [asdict(each) for each in criteria],
        **asdict(soak),
    }
    stem.with_suffix(".json").write_text(json.dumps(found) + "\n")
    text = _markdown(soak, criteria, where, now)
    stem.with_suffix(".md").write_text(text)
    return text


def _markdown(soak: Soak, criteria: Sequence[Criterion], where: Machine, now: dt.datetime) -> str:
    libraries = ", ".join(f"{name} {number}" for name, number in where.libraries.items())
    away = ", ".join(f"{seconds:.1f} s{' (killed)' if killed else ''}" for _, seconds, killed in soak.restarts)
    lags = [sample.lag for sample in soak.samples]
    lines = [
        f"# Soak of {now:%Y-%m-%d}",
        "",
        f"{where.processor}, {where.cores} cores, {where.memory_gib} GiB, {where.system}, Python {where.python}.",
        f"{libraries}.",
        "",
        f"`headrace up` on a topic of a real broker for {soak.seconds / 60:.1f} minutes at {soak.rate:,.0f} events/s,",
        f"half of the {soak.maximum_rate:,.0f} events/s learned while a producer beside it sent as fast as it could.",
        f"{len(soak.restarts)} restarts of the broker, which was away for {away or 'no time'}.",
        f"{soak.predictions:,} predictions asked meanwhile. Largest lag seen: {max(lags, default=0):,} events.",
        f"Memory and descriptors are medians over {WINDOW_SECONDS / 60:g} minutes (or a part of a shorter soak), from",
        f"minute {soak.settled_at / 60:.1f} on and at the end, of {len(soak.samples)} samples.",
        "",
        "| what must hold | figures | |",
        "| --- | --- | --- |",
        *(f"| {each.name} | {each.figures} | {'holds' if each.holds else '**fails**'} |" for each in criteria),
        "",
        "| minute | "
        + " | ".join(f"{role}: resident MiB, descriptors" for role in soak._roles())
        + " | learned | lag |",
        "| ---: " * (3 + len(soak._roles())) + "|",
        *_timeline(soak),
    ]
    return "\n".join(lines) + "\n"


def _timeline(soak: Soak) -> list[str]:
    """Return a row for each five minutes or so."""
    step = max(1, len(soak.samples) // 12)
    rows = []
    for sample in soak.samples[::step]:
        cells = [
            f"{sample.usages[role].rss / 1024:.0f}, {sample.usages[role].descriptors}" if role in sample.usages else "–"
            for role in soak._roles()
        ]
        rows.append(f"| {sample.at / 60:.1f} | {' | '.join(cells)} | {sample.learned:,} | {sample.lag:,} |")
    return rows
