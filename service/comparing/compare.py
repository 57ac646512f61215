"""What ``headrace compare`` does: a file, a turn for each learner, a table, and files to keep."""

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from models.baselines import BASELINES
from models.examples import Task
from service.comparing.comparison import Comparison, Result, rank
from service.comparing.learner_names import Entrant, fitting, parse_entrants, with_key
from service.comparing.outcome import Step, Turn
from service.comparing.page import make_page
from service.comparing.picture import draw_picture
from service.comparing.processes import TurnProcesses
from service.comparing.table import show
from service.measuring.measures import MEASURES, number
from service.measuring.processes import threads
from service.measuring.results import keep, make_folder, show_survey
from service.measuring.stream import StreamOrder, Survey
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
    entrants = with_key(parse_entrants(order.learners), order.stream.roles.key)
    processes = TurnProcesses()
    processes.prepare()
    found = show_survey(order.stream)
    known = [name for name, tasks in BASELINES.items() if found.task in tasks]
    entrants = fitting(entrants, known, chosen=order.learners is not None, task=found.task.value)
    make_folder(order.output)
    comparison = _compare(order, found, entrants, processes)
    content, page = comparison.as_json(), make_page(comparison)
    written = keep(order.output, "comparison", content, page, lambda path: draw_picture(comparison, path))
    if as_json:
        print(json.dumps(content), flush=True)
    else:
        show(comparison, Console(width=None if sys.stdout.isatty() else 120))
        print(written, flush=True)
    return 0 if comparison.ranked else 1


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
