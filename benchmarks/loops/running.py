"""Runs one of the loops in its own environment, and says what it measured or why nothing was."""

import json
import subprocess

from benchmarks.loops.table import LOOPS, Loop
from benchmarks.measured import Measured, MeasurementFailed
from benchmarks.peers.table import ROOT
from benchmarks.processes import last_words

STARTING = 150.0
"""Seconds that a loop may take to import its libraries, connect and warm up, on a busy machine."""

SECONDS = 5.0
"""Seconds after which a measurement is over, however few events there were."""


def run(name: str, address: str, topic: str, warm_up: int, events: int) -> Measured:
    """Run a loop over the beginning of a topic.

    Parameters
    ----------
    name
        In :data:`benchmarks.loops.table.LOOPS`.
    warm_up, events
        Events before the time is taken, and while it is; the loop's own, smaller numbers go before them.

    Raises
    ------
    MeasurementFailed
        It is not installed, died, or did not end in time (then it is ended).
    """
    loop = LOOPS[name]
    if not loop.python.exists():
        raise MeasurementFailed(f"not installed: {loop.environment} could not be made")
    bounds = [min(warm_up, loop.warm_up or warm_up), min(events, loop.events or events), SECONDS]
    command = [str(loop.python), "-m", "benchmarks.loops", name, address, topic, *map(str, bounds)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=STARTING + 3 * SECONDS
        )
    except subprocess.TimeoutExpired:
        raise MeasurementFailed(f"not done after {STARTING + 3 * SECONDS:.0f} s") from None
    return _measured(loop, done)


def _measured(loop: Loop, done: subprocess.CompletedProcess[str]) -> Measured:
    if done.returncode:
        raise MeasurementFailed(f"{loop.title} died: {last_words(done.stderr) or f'status {done.returncode}'}")
    found = json.loads(done.stdout.splitlines()[-1])
    versions = ", ".join(f"{package} {version}" for package, version in found["versions"].items())
    return Measured(found["events"], found["seconds"], found["processor_seconds"], versions)
