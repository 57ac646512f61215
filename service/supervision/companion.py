"""``headrace train`` without ``--model`` trains the configuration's one model itself, and has a companion for others.

Models may be added while it runs, and each needs a process. Once there is one, a second program is started that keeps a
trainer for each (``trainers``, which nobody calls by hand); it ends with this one.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from service.config import Settings
from service.errors import ServiceError
from service.roster.roster import Roster
from service.supervision.half import wait_or_kill
from service.supervision.supervisor import make_supervisor, run_supervisor

_EVERY = 0.25
"""Seconds between two looks for a model that was added."""

_AGAIN_AFTER = 5.0
"""Seconds after which a companion that died is started again."""

_log = structlog.get_logger("headrace.supervisor")


@contextmanager
def companion(settings: Settings, config_path: Path | None) -> Iterator[None]:
    """Have models that are added trained in the meantime."""
    stop = threading.Event()
    thread = threading.Thread(target=_accompany, args=(settings, config_path, stop), name="companion", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def run_companion(settings: Settings, config_path: Path | None) -> int:
    """Run trainers of added models until stdin ends, or SIGTERM; return the exit status."""
    supervisor = make_supervisor(settings, config_path, declared=False, serve=False)

    def wait() -> None:
        # Nothing is ever sent: it ends when whoever holds the other end does.
        sys.stdin.read()
        supervisor.stop()

    threading.Thread(target=wait, name="stdin", daemon=True).start()
    return run_supervisor(supervisor)


def _accompany(settings: Settings, config_path: Path | None, stop: threading.Event) -> None:
    roster = Roster(settings)
    config = ["--config", str(config_path)] if config_path is not None else []
    command = [sys.executable, "-P", "-m", "service.cli", "trainers", *config]
    process: subprocess.Popen[bytes] | None = None
    not_before = 0.0
    while not stop.wait(_EVERY):
        if process is not None and process.poll() is not None:
            _log.warning("the trainers of added models died; starting again", status=process.returncode)
            _close(process)
            process, not_before = None, time.monotonic() + _AGAIN_AFTER
        if process is None and time.monotonic() >= not_before and _any(roster):
            # A pipe and not a signal at the parent's death, for that comes when the thread ends that started it.
            process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603
    if process is not None:
        _close(process)
        wait_or_kill("trainers", process, time.monotonic() + settings.shutdown_seconds)


def _any(roster: Roster) -> bool:
    try:
        return bool(roster.wanted())
    except ServiceError:
        return False  # whoever serves says so


def _close(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None  # noqa: S101 -- started with a pipe
    process.stdin.close()
