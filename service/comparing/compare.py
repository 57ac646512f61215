"""What ``headrace compare`` does: a file, a turn for each learner, a table, and files to keep."""

import errno
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from models.baselines import BASELINES
from models.examples import Task
from service.comparing.comparison import MEASURES, Comparison, Result, rank
from service.comparing.learner_names import Entrant, fitting, parse_entrants
from service.comparing.outcome import Step, Turn
from service.comparing.page import write_page
from service.comparing.picture import write_picture
from service.comparing.processes import TurnProcesses, threads
from service.comparing.stream import StreamOrder, Survey, survey
from service.comparing.table import show
from service.comparing.words import number
from service.replaying.progress import StreamProgress

SECONDS = 90.0
"""What all learners may take where nobody says which are to be compared, so that a first look takes two minutes."""

_SHARE = 0.5
"""Of the time that is left, what one learner may take: most need far less, and the last one may take all of it."""


@dataclass(frozen=True, slots=True)
class CompareOrder:
    """What is to be compared; the options of the command, which explains them."""

    stream: StreamOrder
    learners: str | None
    delay: int
    seconds: float | None
    seed: int
    output: Path


def run_compare(order: CompareOrder, *, as_json: bool) -> int:
    """Compare, print the result, and keep it; return the exit status: 1 where no learner could be tested.

    Raises
    ------
    ServiceError, OSError
    """
    entrants = parse_entrants(order.learners)
    processes = TurnProcesses()
    processes.prepare()
    found = _survey(order.stream)
    known = [name for name, tasks in BASELINES.items() if found.task in tasks]
    entrants = fitting(entrants, known, chosen=order.learners is not None, task=found.task.value)
    _make_folder(order.output)
    comparison = _compare(order, found, entrants, processes)
    written = _keep(comparison, order.output)
    if as_json:
        print(json.dumps(comparison.as_json()), flush=True)
    else:
        show(comparison, Console(width=None if sys.stdout.isatty() else 120))
        print(written, flush=True)
    return 0 if comparison.ranked else 1


def _make_folder(folder: Path) -> None:
    """Make the folder for the files, and see that they can be written before anybody waits for them."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _survey(stream: StreamOrder) -> Survey:
    with StreamProgress(f"reading {stream.file.name}") as progress:
        found = survey(stream, progress.show)
    if found.first:
        print(f"rows that cannot be used: {sum(found.refused.values()):,}; the first is {found.first}", file=sys.stderr)
    return found


def _compare(order: CompareOrder, found: Survey, entrants: Sequence[Entrant], processes: TurnProcesses) -> Comparison:
    stream = replace(order.stream, task=found.task)
    limit = SECONDS if order.seconds is None and order.learners is None else order.seconds
    processes.wait()
    began, results = time.monotonic(), []
    for place, entrant in enumerate(entrants):
        # What the quick ones leave over goes to those after them.
        share = max(_SHARE, 1 / (len(entrants) - place))
        most = max(0.0, limit + began - time.monotonic()) * share if limit else None
        turn = Turn(entrant, stream, found.task, found.rows, order.delay, most, order.seed, threads())
        with StreamProgress(f"{entrant.name} ({place + 1} of {len(entrants)})") as progress:
            results.append(Result(entrant, processes.run(turn, _Showing(progress, found.rows, found.task))))
    left_out = found.refused + Counter(unlabelled=found.unlabelled)
    return Comparison(
        stream=stream.file.name,
        label=stream.roles.label,
        task=found.task,
        rows=found.rows,
        delay=order.delay,
        seed=order.seed,
        left_out=left_out,
        results=rank(results, found.task),
    )


@dataclass(frozen=True, slots=True)
class _Showing:
    """Shows how far a learner has come."""

    progress: StreamProgress
    rows: int
    task: Task

    def __call__(self, step: Step) -> None:
        measure = MEASURES[self.task][0]
        score = step.scores.get(measure.key)
        words = "" if score is None else f"{measure.name} {number(score, measure)}"
        self.progress.show(step.rows / self.rows, step.rows, step.rate, words)


def _keep(comparison: Comparison, folder: Path) -> str:
    """Write the files, and return where they are."""
    (folder / "comparison.json").write_text(json.dumps(comparison.as_json()) + "\n")
    names = ["comparison.json", write_page(comparison, folder).name]
    picture = write_picture(comparison, folder)
    if picture is None:
        print("for a picture (comparison.png), install matplotlib: headrace[plot]", file=sys.stderr)
    else:
        names.append(picture.name)
    return f"{folder}: {', '.join(names)}"
