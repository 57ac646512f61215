"""A trainer goes behind those who wait for an answer."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, sys, threading
from pathlib import Path
from service.learning.yielding import yield_processors
yield_processors(7, Path(sys.argv[1]))
yield_processors(3, Path(sys.argv[1] + "-again"))
def tell():
    print(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
thread = threading.Thread(target=tell)
thread.start()
thread.join()
os.execvp(sys.executable, [sys.executable, "-c", "import os; print(os.getpriority(os.PRIO_PROCESS, 0))"])
"""


def tell(file: Path, *, leads: bool) -> list[int]:
    """Return how nice a thread and a program are that were started afterwards."""
    command = [sys.executable, "-c", PROGRAM, str(file)]
    ran = subprocess.run(
        command, start_new_session=leads, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )
    return [int(line) for line in ran.stdout.split()]


def test_threads_and_children_yield_too(tmp_path: Path) -> None:
    """What reads and decodes, and what computes, would take the server's core as before."""
    file = tmp_path / "autogroup"
    nice = max(7, os.getpriority(os.PRIO_PROCESS, 0))
    assert tell(file, leads=True) == [nice, nice]
    assert file.read_text() == "7"


def test_it_speaks_for_no_session_of_somebody_else(tmp_path: Path) -> None:
    """A trainer started in a shell would slow down the shell, and the server started beside it."""
    assert tell(tmp_path / "autogroup", leads=False)
    assert not (tmp_path / "autogroup").exists()
