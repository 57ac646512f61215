"""``python -m benchmarks.learning.cell JOB RESULT``: one learner over one stream, in a process of its own.

So a peer's virtual machine, memory and threads touch no other's, and a peer that crashes takes nothing with it. It
runs in the environment of the learner's family, and imports nothing that is not there.
"""

import json
import os
import pickle
import resource
import sys
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from benchmarks.learning.measure import prequential
from benchmarks.learning.streams import Stream
from benchmarks.peers.competitor import Create
from benchmarks.peers.rows import readable
from benchmarks.peers.table import Family, family_of


@dataclass(frozen=True, slots=True)
class Job:
    """What the process is to do.

    Attributes
    ----------
    learner, stream, delay, seed
        Who learns what, in blocks of how many rows.
    limit
        Seconds of processor time that it may take.
    warm_up
        Rows that are learned before the time is taken.
    core
        The one processor core that it gets; any where None.
    """

    learner: str
    stream: Stream
    delay: int
    seed: int
    limit: float
    warm_up: int = 0
    core: int | None = None


def perform(job: Job) -> dict[str, object]:
    """Return what is kept of it, as JSON can carry it."""
    if job.core is not None:
        os.sched_setaffinity(0, {job.core})
    family = family_of(job.learner)
    stream = job.stream if family.reads_dates else replace(job.stream, examples=readable(job.stream.examples))
    create: Create = import_module(family.module).create
    competitor = create(job.learner.partition("/")[2], stream, job.seed)
    if job.warm_up:
        before, after = stream.examples.split(job.warm_up)
        prequential(competitor, replace(stream, examples=before), job.delay, job.limit)
        stream = replace(stream, examples=after)
    measured = prequential(competitor, stream, job.delay, job.limit)
    return {
        "scores": measured.scores,
        "seconds": measured.seconds,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "version": _versions(family),
    }


def _versions(family: Family) -> str:
    return ", ".join(f"{name} {version(name)}" for name in family.packages)


def main(job_file: Path, result_file: Path) -> None:
    """Read a job, perform it, and write its result: peers print to the standard output what they like."""
    job: Job = pickle.loads(job_file.read_bytes())
    result_file.write_text(json.dumps(perform(job)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
