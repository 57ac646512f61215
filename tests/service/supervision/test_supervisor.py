"""What died must come back, and what is told to end must end: with real processes and real signals."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from service.supervision.half import Half
from service.supervision.supervisor import Supervisor

SLEEP = "import time; time.sleep(60)"


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for `condition`; fail where it does not come."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def run(supervisor: Supervisor) -> tuple[threading.Thread, list[int]]:
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(supervisor.run()))
    thread.start()
    return thread, statuses


def test_a_half_that_is_killed_comes_back() -> None:
    """If this fails, one crash ends learning or serving until somebody notices."""
    half = Half("sleeper", [sys.executable, "-c", SLEEP])
    supervisor = Supervisor([half], shutdown_seconds=10)
    thread, statuses = run(supervisor)
    wait_until(lambda: half.pid is not None)
    first = half.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: half.pid not in (None, first))
    supervisor.stop()
    thread.join()
    assert statuses == [0]


def test_a_half_that_cannot_start_ends_all_with_its_status() -> None:
    """If this fails, a wrong configuration is tried for ever instead of being reported."""
    sleeper = Half("sleeper", [sys.executable, "-c", SLEEP])
    broken = Half("broken", [sys.executable, "-c", "raise SystemExit(2)"])
    assert Supervisor([sleeper, broken], shutdown_seconds=10).run() == 2
    assert sleeper.pid is not None
    assert not Path(f"/proc/{sleeper.pid}").exists()


def test_ending_is_graceful_and_bounded(tmp_path: Path) -> None:
    """If this fails, a stop loses the last checkpoint, or hangs on a half that does not listen."""
    polite = (
        "import signal, sys, time, pathlib\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(tmp_path / 'done')!r}).touch(), sys.exit(0)))\n"
        f"pathlib.Path({str(tmp_path / 'polite')!r}).touch()\n" + SLEEP
    )
    deaf = (
        "import signal, time, pathlib\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(tmp_path / 'deaf')!r}).touch()\n" + SLEEP
    )
    halves = [Half("polite", [sys.executable, "-c", polite]), Half("deaf", [sys.executable, "-c", deaf])]
    supervisor = Supervisor(halves, shutdown_seconds=1)
    thread, statuses = run(supervisor)
    wait_until(lambda: (tmp_path / "polite").exists() and (tmp_path / "deaf").exists())
    supervisor.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert (tmp_path / "done").exists()
    assert statuses == [0]
