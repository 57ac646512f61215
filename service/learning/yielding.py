"""A trainer yields: where processors are short, a prediction goes before what is learned in its absence.

On the path it stands where a trainer has recovered and begins to learn: coming back is as urgent as anything else. A
trainer at full rate takes all the processor time there is, and a server that shares the cores with it would wait for
its slices. Where nothing else wants the cores, it costs nothing.
"""

import contextlib
import os
import sys
from pathlib import Path

_PROC = Path("/proc")


def yield_processors(niceness: int, folder: Path = _PROC) -> None:
    """Have this process, its children, and what they start from now on, go behind others. On Linux; else nothing.

    Parameters
    ----------
    niceness
        From 0, for as urgent as others, to 19. What cannot be set, as in some sandboxes, stays as it was; so does one
        that is higher already.
    folder
        Where Linux tells of processes.
    """
    if sys.platform != "linux":
        return
    own = folder / "self"
    for task in _tasks(own):
        _set(int(task.name), niceness)
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                for thread in _tasks(folder / child):
                    _set(int(thread.name), niceness)
    # Niceness counts within a session where sessions have their shares (sched(7), autogroup); its leader speaks for it.
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            (own / "autogroup").write_text(str(niceness))


def _tasks(process: Path) -> list[Path]:
    """Return where Linux tells of a process's threads: each has a niceness of its own."""
    with contextlib.suppress(OSError):
        return list((process / "task").iterdir())
    return []


def _set(thread: int, niceness: int) -> None:
    with contextlib.suppress(OSError):
        if os.getpriority(os.PRIO_PROCESS, thread) < niceness:
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
