"""``make bench-learning``: learns streams with ours and others, and adds what came out to the results.

What is there already is not run again, unless ``--again`` says so; so a run may be stopped, and may be partial.
"""

import argparse
import sys
from collections.abc import Iterator
from functools import lru_cache

from benchmarks.learning import results, throughput
from benchmarks.learning.cell import Job
from benchmarks.learning.results import Cell, Key
from benchmarks.learning.running import run_cell
from benchmarks.learning.streams import Source, Stream, sources
from benchmarks.peers.table import ENTRIES, FAMILIES
from benchmarks.report import add_results_option

DELAYS = (64, 1, 256)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("--learners", nargs="+", metavar="NAME", help=f"or FAMILY; of {', '.join(ENTRIES)}")
    parser.add_argument("--streams", nargs="+", metavar="NAME", help=f"of {', '.join(sources())}")
    parser.add_argument("--delay", nargs="+", type=int, default=list(DELAYS), metavar="ROWS", help="%(default)s")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)), metavar="SEED", help="%(default)s")
    parser.add_argument("--rows", type=int, help="at most; by default as many as streams.py says for each")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds of processor time for a cell (%(default)s)")
    parser.add_argument("--again", action="store_true", help="run also what is there already")
    parser.add_argument("--throughput", action="store_true", help="measure events a second instead of scores")
    parser.add_argument("--rounds", type=int, default=3, help="of throughput (%(default)s)")
    add_results_option(parser)
    asked = parser.parse_args(arguments)
    asked.learners = _named(parser, asked.learners, list(ENTRIES), "learner")
    asked.streams = _named(parser, asked.streams, list(sources()), "stream")
    return asked


def _named(parser: argparse.ArgumentParser, asked: list[str] | None, known: list[str], what: str) -> list[str]:
    """Return the names asked for, families spelt out; all where none is."""
    if asked is None:
        return known
    if what == "learner":
        asked = [name for word in asked for name in ([n for n in known if n.split("/")[0] == word] or [word])]
    # A kind that the registry has learned since may be asked for by its name.
    unknown = [name for name in asked if name not in known and not name.startswith("headrace/")]
    if unknown:
        parser.error(f"there is no {what} {', '.join(unknown)}; there are {', '.join(known)}")
    return asked


def jobs(asked: argparse.Namespace, kept: results.Kept) -> Iterator[Job]:
    """Yield what is missing, the most telling first."""
    found = sources()
    for delay in asked.delay:
        for seed in asked.seeds:
            for learner in asked.learners:
                for name in asked.streams:
                    job = _job(asked, kept, found[name], Key(learner, name, delay, seed, 0))
                    if job is not None:
                        yield job


def _job(asked: argparse.Namespace, kept: results.Kept, source: Source, wanted: Key) -> Job | None:
    """Return a job, unless its result is there or would say nothing."""
    entry = ENTRIES.get(wanted.learner, ENTRIES["headrace/auto"])
    # Streams that are made differ from seed to seed; on others, only what is random differs.
    if wanted.seed != asked.seeds[0] and not entry.random and not source.drifting:
        return None
    if not entry.fits(source.task, text=source.text):
        return None
    try:
        stream = _opened(wanted.stream, asked.rows, wanted.seed if source.drifting else 0)
    except FileNotFoundError as absent:
        print(f"{wanted.stream} is left out: {absent.filename} is not here", flush=True)
        return None
    cell = kept.cells.get(wanted._replace(rows=len(stream.examples)))
    if cell is not None and not cell.failure and not asked.again:
        return None
    return Job(wanted.learner, stream, wanted.delay, wanted.seed, asked.limit)


@lru_cache(maxsize=32)
def _opened(name: str, rows: int | None, seed: int) -> Stream:
    """Return a stream; many learners in turn take the same."""
    return sources()[name].open(name, rows, seed)


def _say(cell: Cell) -> None:
    scores = " ".join(f"{name} {value:.6g}" for name, value in cell.scores.items())
    rate = f"{cell.rows / cell.seconds:,.0f}/s" if cell.seconds else ""
    place = f"{cell.learner} {cell.stream} delay {cell.delay} seed {cell.seed} {cell.rows:,} rows"
    print(f"{place}: {cell.failure or scores} {rate}", flush=True)


def main() -> int:
    """Run what is asked for, keeping each result as it comes."""
    asked = parse()
    for name, family in FAMILIES.items():
        if not family.python.exists():
            print(f"{name} is not installed; its cells will say so", flush=True)
    if asked.throughput:
        learners = tuple(name for name in throughput.LEARNERS if name in asked.learners)
        for speed in throughput.measure(learners, asked.rounds):
            print(f"{speed.learner} at {speed.microbatch}: {speed.failure or f'{speed.per_second:,.0f}/s'}", flush=True)
            results.add(asked.results, speeds=[speed])
        return 0
    for job in jobs(asked, results.load(asked.results)):
        cell = run_cell(job)
        _say(cell)
        results.add(asked.results, [cell])
    results.add(asked.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
