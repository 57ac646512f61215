"""Killing a trainer in mid-stream and waiting until it learns again: what the measurements of recovery share."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

from consumers.log import LogSink
from consumers.source import NewRecord
from service.errors import PublicationMissing
from service.monitoring.status import read_status
from service.publishing.subscription import Subscription
from tests.support.processes import Installation
from tests.support.training import events

MODEL = {"learner": {"kind": "mlp", "device": "cpu"}}

LATEST = 60.0
"""Seconds within which learning must go on, or the measurement ends."""


class Stream:
    """Appends events at a steady rate until it is closed."""

    def __init__(self, place: Installation, rate: float) -> None:
        self.appended = 0
        self._rate = rate
        self._sink = LogSink(place.data_dir / "log" / "events.sqlite")
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Append no more."""
        self._end.set()
        self._thread.join()
        self._sink.close()

    def _run(self) -> None:
        values = events(5000)
        began = time.monotonic()
        while not self._end.wait(0.02):
            due = int((time.monotonic() - began) * self._rate) - self.appended
            if due > 0:
                some = [NewRecord(values[(self.appended + each) % len(values)]) for each in range(due)]
                self._sink.append(some)
                self.appended += due


class Watch:
    """Sees which version is served and who trains."""

    def __init__(self, place: Installation) -> None:
        self._folder = place.folder / "publish" / "default"
        self._subscription = Subscription(self._folder)

    def version(self) -> int:
        """Return the version that is served; -1 where there is none."""
        try:
            return int(self._subscription.header()["version"])
        except PublicationMissing:
            return -1

    def trainer(self) -> int:
        """Return the process that reports; 0 where none does."""
        status = read_status(self._folder / "status.json")
        return 0 if status is None else status.pid

    def wait_for_version(self, version: int) -> float:
        """Wait until `version` or a later one is served; return when that was, in seconds since the epoch."""
        until = time.monotonic() + LATEST
        while self.version() < version:
            if time.monotonic() > until:
                raise SystemExit(f"nothing was learned for {LATEST:g} s; version {self.version()}")
            time.sleep(0.002)
        return time.time()


def kill(watch: Watch) -> tuple[int, float]:
    """Kill the trainer; return the first version that only a new one can give, and when it was killed."""
    os.kill(watch.trainer(), signal.SIGKILL)
    killed = time.time()
    # The dead one may have journaled one update that it did not come to publish: that is no new one.
    return watch.version() + 2, killed


def spare_of(supervisor: int, trainer: int) -> int:
    """Return the spare below a supervisor, which `trainer` once was, too; 0 where there is none."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    for pid in children:
        with contextlib.suppress(OSError):
            if int(pid) != trainer and b"\0spare\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
    return 0


def wait_for_spare(supervisor: int, watch: Watch) -> int:
    """Wait until the spare has imported everything: until it uses the processor no more; return its process."""
    until = time.monotonic() + LATEST
    used = -1
    while time.monotonic() < until:
        pid = spare_of(supervisor, watch.trainer())
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            now = int(fields[11]) + int(fields[12])
            if pid and now == used and now > 50:
                return pid
            used = now
        time.sleep(0.7)
    raise SystemExit(f"there was no spare within {LATEST:g} s")


def resident(pid: int) -> float:
    """Return the MiB that a process shares with nobody."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    private = [int(line.split()[1]) for line in lines if line.startswith("Private_")]
    return sum(private) / 1024
