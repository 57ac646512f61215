"""A trainer yields: where processors are short, a prediction goes before what is learned in its absence.

On the path it stands at the very beginning of a trainer's process, before there are threads or children, which inherit
it. A trainer at full rate takes all the processor time there is, and a server that shares the cores with it would wait
for its slices. Where nothing else wants the cores, it costs nothing.
"""

import contextlib
import os
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")
"""Where Linux shares processors between sessions first (`man 7 sched`), a session's niceness; else not there."""


def yield_processors(niceness: int, autogroup: Path = AUTOGROUP) -> None:
    """Have this process, and what it starts from now on, go behind others.

    Parameters
    ----------
    niceness
        From 0, for as urgent as others, to 19. What cannot be set, as in some sandboxes, stays as it was; so does one
        that is higher already.
    autogroup
        For tests.
    """
    with contextlib.suppress(OSError):
        if os.getpriority(os.PRIO_PROCESS, 0) < niceness:
            os.setpriority(os.PRIO_PROCESS, 0, niceness)
    # Niceness counts within a session, where sessions have their shares; this one's leader speaks for it.
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            autogroup.write_text(str(niceness))
