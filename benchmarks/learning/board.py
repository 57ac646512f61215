"""Finds figures among the cells that are kept: one for each learner, stream, delay and score, over the seeds."""

import statistics
from dataclasses import dataclass, field

from benchmarks.learning.results import Cell, Kept
from benchmarks.learning.streams import Source, sources
from benchmarks.peers.table import ENTRIES
from models.examples import Task

OURS = "headrace/auto"
FOREST = "river/arf-10"


@dataclass(frozen=True, slots=True)
class Figure:
    """One learner on one stream at one delay, over its seeds.

    Attributes
    ----------
    rows
        The same for all its cells: the most there are.
    values
        One a seed.
    """

    rows: int
    values: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.fmean(self.values)


@dataclass(frozen=True, slots=True)
class Column:
    """One stream in a table.

    Attributes
    ----------
    stream, delay, score
        What it shows.
    best
        The best figure in it; None where it is empty.
    rows
        Over how many rows, for most figures.
    """

    stream: str
    delay: int
    score: str
    best: float | None
    rows: int


class Board:
    """The cells, by learner, stream and delay.

    Parameters
    ----------
    kept
        The results.
    """

    def __init__(self, kept: Kept) -> None:
        self.sources = sources()
        self.cells: dict[tuple[str, str, int], list[Cell]] = {}
        for cell in kept.cells.values():
            self.cells.setdefault((cell.learner, cell.stream, cell.delay), []).append(cell)
        self.delays = sorted({cell.delay for cell in kept.cells.values()})
        # Kinds of ours that the table of peers does not name come first.
        names = {cell.learner for cell in kept.cells.values()}
        self.learners = sorted(names - set(ENTRIES)) + [name for name in ENTRIES if name in names]

    def figure(self, learner: str, stream: str, delay: int, score: str) -> Figure | None:
        """Return what there is over the most rows; None where there is nothing."""
        good = [cell for cell in self.cells.get((learner, stream, delay), []) if score in cell.scores]
        if not good:
            return None
        rows = max(cell.rows for cell in good)
        return Figure(rows, [cell.scores[score] for cell in good if cell.rows == rows])

    def failure(self, learner: str, stream: str, delay: int) -> str:
        """Return why there is nothing at all; empty where something is, or nothing was tried."""
        cells = self.cells.get((learner, stream, delay), [])
        return "" if any(cell.scores for cell in cells) else next((cell.failure for cell in cells), "")

    def streams(self, delay: int, group: str | None = None) -> list[str]:
        """Return the streams of a group (of all) that somebody has learned at a delay."""
        tried = {stream for _, stream, at in self.cells if at == delay}
        return [name for name, source in self.sources.items() if name in tried and group in (None, source.group)]

    def column(self, stream: str, delay: int, score: str) -> Column:
        """Return what a table says of a stream."""
        figures = [self.figure(learner, stream, delay, score) for learner in self.learners]
        rows = max((figure.rows for figure in figures if figure), default=0)
        means = [figure.mean for figure in figures if figure and figure.rows == rows]
        return Column(stream, delay, score, (max if score == "accuracy" else min)(means, default=None), rows)


def main_score(source: Source) -> str:
    """Return the score that a stream is judged by."""
    return "mae" if source.task is Task.REGRESSION else "accuracy"
