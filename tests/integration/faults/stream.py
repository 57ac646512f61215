"""The stream of a campaign: what its messages hold, and the process that goes on appending them while trainers die.

Each message follows from the seed, its partition and its number alone. Most hold one event, some several, as an array,
as lines or as an Arrow stream; new features, categories and a new class turn up on the way; a few cannot be decoded,
and a few events cannot be used or have no label. Where a teacher says what it would be, a third has none.
"""

import json
import os
import signal
import time
from pathlib import Path
from random import Random
from typing import Any

from consumers.log import LogSink
from consumers.source import NewRecord
from service.replaying.message_forms import CONTENT_TYPES, Format, body_of
from tests.integration.faults.processes import end_with_parent

NEW_FEATURE, NEW_CLASS = 400, 700
"""Numbers of the messages from which on a feature and a class occur that were not there before."""


UNLABELLED = 0.3
"""Share of the events without a label, where these are of use."""


def message(seed: int, partition: int, number: int, *, taught: bool = False) -> tuple[NewRecord, int]:
    """Return message `number` of a partition, and how many of its events a learner is given."""
    random = Random(f"{seed}/{partition}/{number}")
    kind = random.random()
    if kind < 0.004:
        return NewRecord(b'{"features": {"x": 1}, "label"'), 0
    if kind < 0.8:
        return NewRecord(json.dumps(_event(random, number, taught=taught)).encode()), 1
    events = [_event(random, number, taught=taught) for _ in range(random.randint(2, 6))]
    usable = len(events)
    if random.random() < 0.05:
        chosen = random.choice(({"features": 3, "label": "up"}, {"features": {"x": 0.5}}))
        events[random.randrange(usable)] = chosen
        usable -= not taught or "label" in chosen
    # An Arrow stream has no place for what is no event.
    form: Format = random.choice(("json", "ndjson", "arrow") if usable == len(events) else ("json", "ndjson"))
    value = body_of([json.dumps(event).encode() for event in events], form)
    return NewRecord(value, None, (("content-type", CONTENT_TYPES[form].encode()),)), usable


def _event(random: Random, number: int, *, taught: bool) -> dict[str, Any]:
    x, y = random.gauss(0, 1), random.gauss(0, 1)
    features: dict[str, Any] = {"x": x, "y": y, "city": f"city-{random.randrange(3 + min(number // 200, 40))}"}
    if number >= NEW_FEATURE and random.random() < 0.5:
        features["later"] = random.random()
    if random.random() < 0.3:
        features["express"] = random.random() < 0.5
    label = "up" if x + y > 0 else "down"
    if number >= NEW_CLASS and abs(x) < 0.1:
        label = "level"
    event: dict[str, Any] = {"features": features, "label": label}
    if random.random() < 0.1:
        event["weight"] = 0.5
    if taught and random.random() < UNLABELLED:
        del event["label"]
    return event


class Producer:
    """A process that appends to every partition until it is told to pause, and says what it has appended.

    Parameters
    ----------
    logs
        The file of each partition's log.
    seed
        Of the stream.
    rate
        Events a second, about.
    align
        It pauses once the number of usable events is a multiple of this.
    taught
        Whether many events have no label, and are usable without one.
    """

    def __init__(self, logs: list[Path], seed: int, rate: float, align: int, *, taught: bool = False) -> None:
        self._logs, self._seed, self._rate, self._align, self._taught = logs, seed, rate, align, taught
        ours, theirs = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            end_with_parent()
            try:
                self._run(theirs[0], ours[1])
            finally:
                os._exit(1)
        self._answers, self._commands = ours[0], theirs[1]

    def pause(self) -> int:
        """Stop appending; return the usable events in the logs."""
        os.write(self._commands, b"p")
        return int(os.read(self._answers, 64))

    def go_on(self) -> None:
        """Append again."""
        os.write(self._commands, b"g")

    def end(self) -> None:
        """End the process."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def _run(self, commands: int, answers: int) -> None:
        os.set_blocking(commands, False)
        random = Random(f"{self._seed}/pace")
        sinks = [LogSink(path) for path in self._logs]
        numbers = [0] * len(sinks)
        usable = 0
        while True:
            partition = random.randrange(len(sinks))
            wanted = random.randint(1, 60)
            records, found = self._some(partition, numbers, wanted)
            sinks[partition].append(records)
            usable += found
            if _heard(commands) == b"p":
                while usable % self._align:
                    records, found = self._some(0, numbers, 1)
                    sinks[0].append(records)
                    usable += found
                os.write(answers, str(usable).encode())
                while _heard(commands) != b"g":
                    time.sleep(0.005)
            time.sleep(wanted / self._rate)

    def _some(self, partition: int, numbers: list[int], wanted: int) -> tuple[list[NewRecord], int]:
        """Return the next messages of a partition, at most `wanted` usable events, or one message."""
        records: list[NewRecord] = []
        found = 0
        limit = max(1, wanted)
        while len(records) < limit and found < wanted:
            record, usable = message(self._seed, partition, numbers[partition], taught=self._taught)
            numbers[partition] += 1
            records.append(record)
            found += usable
        return records, found


def _heard(commands: int) -> bytes:
    try:
        return os.read(commands, 1)
    except BlockingIOError:
        return b""
