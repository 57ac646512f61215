"""Progress of a stream, on stderr: a bar on a terminal, a line now and then anywhere else."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

_LINE_EVERY = 5.0
"""Seconds between two lines where no bar can be drawn."""


class StreamProgress:
    """Shows how far a stream has come, how fast it goes, and the live score; a context.

    Parameters
    ----------
    title
        What is going on.
    console
        Where to show it; None for stderr.
    """

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._title = title
        self._console = console or Console(stderr=True)
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._next_line = 0.0
        self._line = self._said = ""
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = _bar(self._console)
            self._task = self._bar.add_task(self._title, total=1.0, events=0, rate=0.0, score="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._line != self._said:  # how it ended is told, however soon that was after the last line
            print(self._line, file=sys.stderr, flush=True)

    def show(self, fraction: float | None, events: int, rate: float | None = None, score: str = "") -> None:
        """Show where it stands.

        Parameters
        ----------
        fraction
            Of the stream that is done, 0 to 1; None where it cannot be known.
        events
            Number of events so far.
        rate
            Events per second; None for as many as there were since this was made.
        score
            In words; empty for none.
        """
        if rate is None:
            rate = events / max(time.monotonic() - self._began, 1e-9)
        if self._bar is not None:
            self._bar.update(self._task, completed=fraction or 0.0, events=events, rate=rate, score=score)
            return
        share = f"{fraction:4.0%}, " if fraction is not None else ""
        self._line = f"{self._title}: {share}{_amount(events, rate)}, {score}".rstrip(", ")
        if time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _LINE_EVERY
            print(self._line, file=sys.stderr, flush=True)
            self._said = self._line


class _Amount(ProgressColumn):
    """Events, and events per second."""

    def render(self, task: Task) -> Text:
        """Return the column."""
        return Text(_amount(task.fields["events"], task.fields["rate"]), style="progress.data.speed")


def _amount(events: int, rate: float) -> str:
    return f"{events:,} events, {rate:,.0f}/s"


def _bar(console: Console) -> Bar:
    return Bar(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        _Amount(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[score]}"),
        console=console,
    )
