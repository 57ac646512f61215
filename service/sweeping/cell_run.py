"""One cell, in a process of its own: a learner is made, learns the file in microbatches of one size, and is timed.

An update is what the trainer does at each microbatch for the parameters' sake: predict, learn, and publish where a
server would read it. Reading, decoding, the journal and checkpoints are not in it.
"""

import time
from collections.abc import Callable

from models.devices import choose_device, peak_memory, wait_for_device
from models.examples import Examples
from models.learner import LearnerOptions
from models.registry import create_learner, prepare
from service.measuring.process_memory import growth, memory_held
from service.measuring.stream import blocks
from service.publication import Publisher
from service.sweeping.cells import CellOrder, CellOutcome, CellStep, ScoredUntil
from service.sweeping.update_times import UpdateTimes

WARMING_ROWS = 2048
"""Rows whose updates are not timed, for much is made at first: buffers, trees, columns."""

WARMING_SHARE = 0.2
"""Of the cell's time, after which updates are timed however few rows there were; the first one never is."""

ENOUGH_UPDATES, ENOUGH_SECONDS = 10, 1.5
"""What has to be timed before a cell ends; until then it goes through the file again, unscored."""

MOST_PASSES = 5
"""How often it goes through the file, at most: what is not enough by then is quick, and reading would take the time."""

_LOOK_EVERY = 0.2  # seconds between two reports of progress


def run_cell(order: CellOrder, notice: Callable[[CellStep], None]) -> CellOutcome:
    """Measure a cell; the main function of its process.

    Parameters
    ----------
    order
        What is measured.
    notice
        Called a few times a second.

    Raises
    ------
    ModelError, ServiceError
        There can be no such learner, or it cannot learn this stream.
    """
    prepare(order.threads)
    return _Run(order, notice).outcome()


class _Run:
    """A cell while it is measured."""

    def __init__(self, order: CellOrder, notice: Callable[[CellStep], None]) -> None:
        self._order, self._notice = order, notice
        self._before = memory_held()
        cell = order.cell
        options = LearnerOptions(kind=cell.learner, device=cell.device, seed=order.seed)
        self._device = choose_device(cell.device)
        self._learner = create_learner(options, order.task)
        self._publisher = Publisher(order.folder, epoch=1)
        self._times = UpdateTimes(cell.size)
        self._began = self._looked = time.perf_counter()
        self._updates = self._rows = 0
        self._curve: list[ScoredUntil] = []
        self._seconds = 0.0  # of all updates, those before the first that is timed included

    def outcome(self) -> CellOutcome:
        """Learn, and return what came out."""
        early, late = self._first_pass()
        after = memory_held()
        rows = self._rows
        for _ in range(1, MOST_PASSES):
            if self._enough() or self._over():
                break
            self._pass()
        return CellOutcome(
            timing=self._times.timing(),
            rows=rows,
            early=early,
            late=late,
            curve=tuple(self._curve),
            memory_bytes=growth(self._before, after),
            peak_bytes=after.peak if after else None,
            device_memory_bytes=peak_memory(self._device),
        )

    def _first_pass(self) -> tuple[ScoredUntil, ScoredUntil]:
        """Learn the file, and return the scores at the row from which on they count, and at the end."""
        early = ScoredUntil()
        for block in blocks(self._order.stream, self._order.cell.size):
            before = self._rows
            self._take(block)
            if before.bit_length() < self._rows.bit_length():
                self._curve.append(self._scores())
            if not early.rows and self._rows >= self._order.scored_from:
                early = self._scores()
            if self._over():
                break
        return early, self._scores()

    def _pass(self) -> None:
        """Learn the file once more, for the times only."""
        for block in blocks(self._order.stream, self._order.cell.size):
            self._take(block)
            if self._enough() or self._over():
                break

    def _take(self, block: Examples) -> None:
        took = self._update(block)
        spent = time.perf_counter() - self._began
        warm = self._rows >= WARMING_ROWS or spent > WARMING_SHARE * self._order.seconds
        if self._updates and warm and len(block) == self._order.cell.size:
            self._times.seconds.append(took)
        self._updates += 1
        self._rows += len(block)
        self._seconds += took
        now = time.perf_counter()
        if now - self._looked > _LOOK_EVERY:
            self._looked = now
            self._notice(CellStep(min(1.0, self._rows / self._order.rows), self._rows, self._rows / self._seconds))

    def _update(self, block: Examples) -> float:
        """Learn a microbatch and publish what was learned; return how long it took."""
        began = time.perf_counter()
        self._learner.learn(block)
        published = self._learner.published()
        self._publisher.publish(published, {"model": "sweep", "version": self._updates, "published_at": time.time()})
        wait_for_device()
        return time.perf_counter() - began

    def _scores(self) -> ScoredUntil:
        return ScoredUntil(self._rows, self._learner.status().scores["stream"])

    def _enough(self) -> bool:
        return len(self._times.seconds) >= ENOUGH_UPDATES and sum(self._times.seconds) >= ENOUGH_SECONDS

    def _over(self) -> bool:
        return time.perf_counter() - self._began > self._order.seconds
