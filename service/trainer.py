"""The trainer: one process that learns one model from one topic. Its loop is the heart of Headrace: start here.

Take a microbatch, score it with the parameters before it (test), learn from it (train), journal, publish, and, when
due, checkpoint. Before the loop stands recovery (``recovery.py``); beside it run the process that polls and decodes
(``ingest.py``) and the one that writes checkpoints (``checkpointing.py``).
"""

import threading
import time

import structlog

from consumers.microbatch import MicroBatch
from models.errors import DeviceFailed
from models.examples import Examples
from models.learner import Learner
from service.errors import OwnershipLost
from service.fallback import Fallback
from service.housekeeping import Housekeeping
from service.journal import Journal
from service.lane import Lane
from service.model import Model
from service.recovery import Recovered
from service.versions import Versions

_log = structlog.get_logger("headrace.trainer")

_TICK = 0.05
"""Seconds that the loop waits for a microbatch before it looks after the rest: status, commits, the end."""


class Trainer:
    """Learns a model until it is told to stop. Everything here belongs to one thread, but for :meth:`stop`.

    Parameters
    ----------
    model
        The model that this process owns.
    recovered
        Where it goes on.
    journal
        Of this process's epoch.

    Attributes
    ----------
    lane
        The learner that is served, and where it is in the log.
    versions, totals, journal
        The model's numbering, its counters, and what it writes down before it publishes.
    fallback
        What happens while the device is out of order.
    """

    def __init__(self, model: Model, recovered: Recovered, journal: Journal) -> None:
        self._stop = threading.Event()
        self._model = model
        self._recovered = recovered
        self.lane: Lane = recovered.lane
        self.totals = recovered.totals
        self.journal = journal
        self.versions = Versions(model, journal, self.totals, recovered.version, self._stop)
        self.fallback = Fallback(model, self)
        self._housekeeping = Housekeeping(model, self)

    def stop(self) -> None:
        """Have the loop end after the microbatch in hand."""
        self._stop.set()

    def run(self) -> None:
        """Learn until :meth:`stop`.

        Raises
        ------
        OwnershipLost
            Another trainer has taken over; nothing may be written any more.
        ConsumerError
            The log cannot be read on without an operator's decision.
        """
        try:
            self._begin()
            while not self._stop.is_set():
                batch = self.lane.batcher.next(_TICK)
                if batch is not None:
                    self.take(batch)
                self._look_after(idle=batch is None)
            self._finish()
        except OwnershipLost:
            self._housekeeping.abandon()
            raise
        finally:
            self._close()

    def take(self, batch: MicroBatch[Examples]) -> None:
        """Learn a microbatch: test, train, journal, publish. One that holds no example is passed by."""
        if batch.examples is None:
            self.lane.passed(batch)
            self._count()
            return
        try:
            self._settle()
            self._update(batch, batch.examples)
        except DeviceFailed as error:
            self.fallback.take_over(error, batch)

    def _update(self, batch: MicroBatch[Examples], examples: Examples) -> None:
        started = time.perf_counter()
        self.fallback.check_drill()
        self.lane.learn(batch)
        self.versions.updated(self.learner, batch)
        self.fallback.remember(examples)
        self.totals.updated(self.learner.name, len(examples))
        self._count()
        self.totals.histograms["microbatch_wait_seconds"].observe(batch.waited)
        self.totals.histograms["update_seconds"].observe(time.perf_counter() - started)

    @property
    def learner(self) -> Learner:
        """The learner that is served; there must be one."""
        assert self.lane.learner is not None  # noqa: S101
        return self.lane.learner

    def switch(self, lane: Lane) -> None:
        """Serve another lane from now on: a device has failed, or is back."""
        self.lane = lane
        self._count()

    def checkpoint_now(self) -> None:
        """Checkpoint at the next opportunity rather than when it is due."""
        self._housekeeping.checkpoint_now()

    def _begin(self) -> None:
        """Serve again what was served before, under its own number, or under a new one where it was overtaken."""
        self._housekeeping.start()
        recovered = self._recovered
        if recovered.device_error is not None:
            self.fallback.take_over(recovered.device_error, None)
        elif self.lane.learner is None:
            return
        elif recovered.lane_version == recovered.version:
            self.versions.publish_again(self.learner)
        else:
            origin = recovered.lane_version
            self.versions.decided(self.learner, "renumber", {"restored_from": origin}, restored_from=origin)

    def _settle(self) -> None:
        """Build the learner when the first labels have settled what is predicted."""
        if self.lane.learner is not None:
            return
        task = self.lane.ingest.task
        assert task is not None, "examples come only after the task is settled"  # noqa: S101
        self.versions.note("task", {"task": task.value})
        _log.info("task settled", task=task.value)
        self.lane.learner = self._model.build_learner(task)

    def _count(self) -> None:
        name = "microbatch" if self.lane.learner is None else self.lane.learner.name
        self.totals.reached(name, self.lane.learned, self.lane.consumed)

    def _look_after(self, *, idle: bool) -> None:
        """Do what is due beside learning."""
        self.fallback.step()
        if idle and self.lane.learner is not None:
            self.versions.flush(self.learner)
        self._housekeeping.step(idle=idle)

    def _finish(self) -> None:
        """Learn the microbatch in hand, and leave everything durable."""
        batch = self.lane.batcher.flush()
        if batch is not None:
            self.take(batch)
        if self.lane.learner is not None:
            self.versions.flush(self.learner)
        self._housekeeping.finish()

    def _close(self) -> None:
        self.fallback.close()
        self.lane.close()
        self._housekeeping.close()
        self.journal.close()
