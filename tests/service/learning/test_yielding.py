"""A trainer goes behind those who wait for an answer."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, subprocess, sys, threading
from pathlib import Path
from service.learning.yielding import yield_processors
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
ready, done = threading.Event(), threading.Event()
def wait():
    numbers.append(threading.get_native_id())
    ready.set()
    done.wait()
numbers = [os.getpid(), child.pid]
thread = threading.Thread(target=wait)
thread.start()
ready.wait()
leads = os.getsid(0) == os.getpid()
before = Path("/proc/self/autogroup").read_text().strip() if Path("/proc/self/autogroup").exists() else ""
yield_processors(7)
yield_processors(3)
print(*(os.getpriority(os.PRIO_PROCESS, number) for number in numbers))
print(before)
print(Path("/proc/self/autogroup").read_text().strip() if before else "")
done.set()
child.communicate(b"end\\n")
"""


def tell(*, leads: bool) -> tuple[list[int], str, str]:
    """Return how nice process, child and thread are that were there before, and the session's share then and now."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        start_new_session=leads,
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    nice, before, now, *_ = [*ran.stdout.splitlines(), "", "", ""]
    return list(map(int, nice.split())), before, now


@pytest.mark.skipif(sys.platform != "linux", reason="niceness of single threads is Linux's")
def test_threads_and_children_yield_too() -> None:
    """What reads and decodes, and what computes, would take the server's core as before."""
    nice, before, now = tell(leads=True)
    assert min(nice) >= 7
    assert len(nice) == 3
    if before:
        assert now.split()[-1] in {"3", "7"}  # Linux takes one change in a tenth of a second


@pytest.mark.skipif(sys.platform != "linux", reason="niceness of single threads is Linux's")
def test_it_speaks_for_no_session_of_somebody_else() -> None:
    """A trainer started in a shell would slow down the shell, and the server started beside it."""
    nice, before, now = tell(leads=False)
    assert min(nice) >= 7
    assert before == now
