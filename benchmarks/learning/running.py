"""Cells are run one after the other, each in a process of its own on one thread, in its learner's environment."""

import json
import os
import pickle
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.learning.cell import Job
from benchmarks.learning.results import Cell, now
from benchmarks.peers.table import ROOT, family_of
from benchmarks.processes import last_words

STARTING, PATIENCE = 120.0, 10.0
"""A process is ended after so many seconds, and so many times its limit: it may share its core with much else."""

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "CAPYMOA_JVM_ARGS": "-Xmx6g -Xss10M -XX:+UseSerialGC",
}
"""What makes libraries compute on one thread; Java collects its garbage on one, too."""


class CellFailed(Exception):
    """A process gave no result; the message says why."""


def run_cell(job: Job) -> Cell:
    """Return the cell of a job, with its failure where it failed."""
    rows = len(job.stream.examples) - job.warm_up
    cell = Cell(job.learner, job.stream.name, job.delay, job.seed, rows, measured_at=now())
    try:
        return replace(cell, **run(job))
    except CellFailed as failure:
        return replace(cell, failure=str(failure))


def run(job: Job) -> dict[str, Any]:
    """Return what ``cell.py`` says of a job.

    Raises
    ------
    CellFailed
    """
    python = family_of(job.learner).python
    if not python.exists():
        raise CellFailed(f"not installed: {python.parents[1].name} could not be made")
    with tempfile.TemporaryDirectory(prefix="headrace-cell-") as folder:
        job_file, result_file = Path(folder) / "job", Path(folder) / "result"
        job_file.write_bytes(pickle.dumps(job))
        command = [str(python), "-m", "benchmarks.learning.cell", str(job_file), str(result_file)]
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=os.environ | ONE_THREAD,
                capture_output=True,
                text=True,
                check=False,
                timeout=STARTING + PATIENCE * job.limit,
            )
        except subprocess.TimeoutExpired:
            raise CellFailed(f"neither done nor stopped after {STARTING + PATIENCE * job.limit:,.0f} s") from None
        if not result_file.exists():
            raise CellFailed(last_words(done.stderr) or f"ended with status {done.returncode}")
        result: dict[str, Any] = json.loads(result_file.read_text())
        return result
