"""How fast a trainer learns a topic, as a user runs one: seen from outside, by what it reports while it is busy.

The trainer's reports each hold the moment and the events learned at that moment, so that two of them give an exact
rate however seldom they come. The first is taken once a part of the topic is learned, when what was imported, compiled
or read ahead at the start no longer counts; the last while there is still much more in the topic, so that broker,
reading and learning are all at work all the time. Clients' own rates are measured in the same way (``loops/meter.py``).
"""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measured import Measured, MeasurementFailed
from benchmarks.processes import last_words, processor_seconds, resident_mib
from service.monitoring.status import Status, read_status
from tests.support.processes import Installation, installation

STARTING, STALLED = 180.0, 60.0
"""Seconds without an event, and without a new one, after which a trainer is given up: imports may take minutes."""


@dataclass(frozen=True)
class Window:
    """What part of a topic is measured.

    Attributes
    ----------
    warm_up
        Events learned before the time is taken.
    events, seconds
        It is enough after so many further events, or after so many seconds of them.
    """

    warm_up: int
    events: int
    seconds: float = 30.0


@dataclass(frozen=True)
class Look:
    """A trainer at the moment of one of its reports.

    Attributes
    ----------
    at
        Unix seconds.
    learned
        Events so far.
    processor_seconds, resident_mib
        Of the trainer and the program that reads for it.
    status
        The report itself.
    """

    at: float
    learned: int
    processor_seconds: float
    resident_mib: float
    status: Status


def trainer_settings(topic: str, **others: object) -> dict[str, object]:
    """Return settings of a model on `topic`: what a user gets by default, with the network named."""
    return {"topic": topic, "learner": {"kind": "mlp"}, **others}


def kafka_settings(address: str, **others: object) -> dict[str, object]:
    """Return the sections that name the broker."""
    return {"source": {"kind": "kafka"}, "kafka": {"bootstrap_servers": address, **others}}


def end_to_end(folder: Path, model: dict[str, object], kafka: dict[str, object], window: Window) -> Measured:
    """Start a trainer anew in `folder`, measure it, and end it.

    Raises
    ------
    MeasurementFailed
        It ended, or stopped learning.
    """
    folder.mkdir(parents=True)
    with installation(folder, model, **kafka) as place:
        trainer = place.start("train", "--model", "default")
        first: Look | None = None
        for look in looks(place, trainer):
            if look.learned < window.warm_up:
                continue
            first = first or look
            if look.learned - first.learned >= window.events or look.at - first.at >= window.seconds:
                return measured(first, look)
    raise AssertionError("looks end only by raising")


def measured(first: Look, last: Look) -> Measured:
    """Return what happened between two looks."""
    spent = last.processor_seconds - first.processor_seconds
    return Measured(last.learned - first.learned, last.at - first.at, spent)


def looks(place: Installation, trainer: subprocess.Popen[bytes]) -> Iterator[Look]:
    """Yield the trainer at each report with events in it, for as long as the caller wants.

    Raises
    ------
    MeasurementFailed
        It ended, or learned nothing for too long.
    """
    path = place.folder / "publish" / "default" / "status.json"
    written, learned, moved = 0.0, 0, time.monotonic()
    while True:
        status = read_status(path)
        now = sum(status.events_learned.values()) if status else 0
        if now > learned:
            learned, moved = now, time.monotonic()
        if status and now and status.written_at > written:
            written = status.written_at
            yield Look(written, now, processor_seconds(trainer.pid), resident_mib(trainer.pid), status)
        if trainer.poll() is not None:
            raise MeasurementFailed(f"the trainer ended: {last_words(place.log('train'))}")
        patience = STALLED if learned else STARTING
        if time.monotonic() - moved > patience:
            raise MeasurementFailed(f"the trainer learned {learned} events and then none for {patience:.0f} s")
        time.sleep(0.01)
