"""Throughput on one core with ten features: ours, River's forest and CapyMOA's in turn, compared round by round.

What is counted is processor time, on one core that all of them share in turn: other work on the machine slows the
clock on the wall, not this one. Java's compiler and garbage collector count like everything else.
"""

import os
from collections.abc import Iterator

from benchmarks.learning.cell import Job
from benchmarks.learning.results import Speed, now
from benchmarks.learning.running import run_cell
from benchmarks.learning.streams import sources

STREAM = "hyperplane-rotating"
"""Ten features, two classes, and no end of drift."""

LEARNERS = ("headrace/auto", "headrace/leaves", "river/arf-10", "capymoa/arf-10")
MICROBATCHES = (64, 1024)
WARM_UP, ROWS = 2_048, 6_144
"""Rows before the time is taken, and those over which it is: whole microbatches of both sizes."""

LIMIT = 300.0


def measure(learners: tuple[str, ...], rounds: int, rows: int = ROWS) -> Iterator[Speed]:
    """Yield each learner's throughput, round by round."""
    run = now()
    stream = sources()[STREAM].open(STREAM, WARM_UP + rows, seed=0)
    core = max(os.sched_getaffinity(0))
    for number in range(rounds):
        for microbatch in MICROBATCHES:
            for learner in learners:
                yield _one(Job(learner, stream, microbatch, number, LIMIT, WARM_UP, core), run)


def _one(job: Job, run: str) -> Speed:
    cell = run_cell(job)
    if cell.failure:
        return Speed(job.learner, job.delay, run, job.seed, failure=cell.failure)
    return Speed(job.learner, job.delay, run, job.seed, cell.rows / cell.seconds)
