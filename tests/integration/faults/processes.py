"""Processes of a campaign: forked off one that has imported everything, so that a start costs milliseconds."""

import ctypes
import os
import signal
import time
import traceback
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def fork(run: Callable[[], int]) -> int:
    """Run `run` in a process of its own, which ends with the status that it returns; return its number."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        end_with_parent()
        status = run()
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(status)


class Child:
    """A forked process, as its parent sees it.

    Attributes
    ----------
    pid
        Its number.
    status
        What it ended with, as ``subprocess`` has it (negative: a signal's number); None while it runs.
    """

    def __init__(self, run: Callable[[], int]) -> None:
        self.pid = fork(run)
        self.status: int | None = None

    def ended(self) -> bool:
        """Return whether it has ended."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def wait(self, seconds: float) -> bool:
        """Wait for its end, `seconds` at most; return whether it came."""
        return wait_until(self.ended, seconds)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal where it still runs."""
        if not self.ended():
            os.kill(self.pid, number)

    def kill(self) -> bool:
        """Kill it; return whether it had not ended before."""
        running = not self.ended()
        self.signal(signal.SIGKILL)
        self.wait(30)
        return running


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for `condition`, `seconds` at most; return whether it came."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= until:
            return False
        time.sleep(0.002)
    return True
