"""Versions: each update gets a number, is journaled under it, and is then handed to the servers.

On the path it stands behind the learner. In this order: journal, look whether the model is still ours, publish. Whoever
takes over claims the model first and reads the journal after, so whatever may still be published here is known there,
and is made again under the same number.
"""

import threading
import time
from collections.abc import Iterator

import numpy as np
import structlog
from numpy.typing import NDArray

from consumers.microbatch import MicroBatch
from models.contesting import Contesting
from models.effort import FULL, Effort
from models.examples import Examples
from models.learner import Json, Learner
from service.durability.journal_format import NOBODY, Decision, Entry, Update
from service.errors import StorageFailed
from service.journal import Journal
from service.learning.lessons import encode_lesson
from service.learning.model import Model
from service.learning.totals import Totals
from service.restart.contest_steps import PUT_OUT
from service.restart.rollback import DECISION as ROLLBACK

_log = structlog.get_logger("headrace.trainer")

_STORAGE_RETRY = 1.0
"""Seconds between two tries to write where the disk is full: learning waits, the parameters go on being served."""


class Versions:
    """Numbers, journals and publishes. Owned by the learning thread.

    Parameters
    ----------
    model, journal, totals
        What belongs to the model, the journal of this process's epoch, and the counters.
    version
        The highest number that was ever given.
    stop
        Set when the process is to end: then a full disk is an error, not something to wait for.

    Attributes
    ----------
    current
        The newest number.
    restored_from
        The version whose parameters the newest one repeats; None for an ordinary update.
    """

    def __init__(self, model: Model, journal: Journal, totals: Totals, version: int, stop: threading.Event) -> None:
        self.current = version
        self.restored_from: int | None = None
        self._model = model
        self._journal = journal
        self._totals = totals
        self._stop = stop
        self._waiting: list[NDArray[np.int64]] = []
        self._is_behind = False

    def updated(self, learner: Learner, batch: MicroBatch[Examples], effort: Effort = FULL) -> None:
        """Give the parameters after `batch`, learned with an effort, a number and publish them."""
        self.learned(learner, batch, effort)
        self._publish(learner)

    def learned(self, learner: Learner, batch: MicroBatch[Examples], effort: Effort = FULL) -> None:
        """Give the parameters after `batch`, learned with an effort, a number, and leave them unpublished."""
        self.current += 1
        self.restored_from = None
        self._append(_update(self.current, learner, batch, effort), *self._put_out(learner))
        self._waiting.append(batch.track.appended)

    def passed(self, learner: Learner | None, batch: MicroBatch[Examples]) -> None:
        """Give a number to `batch`, of which nothing was learned but that rows of it wait for others.

        So a restart has it wait again, in its place. The parameters are those of the version before, and are published
        under the new number when there is nothing else to do (:meth:`flush`).
        """
        self.current += 1
        self.restored_from = None
        self._append(_update(self.current, learner, batch, FULL))
        self._is_behind = True

    def _put_out(self, learner: Learner) -> Iterator[Decision]:
        """Tell what became of challengers in the update at hand, and yield what is to be written down of it."""
        for news in learner.take_news() if isinstance(learner, Contesting) else ():
            words = "was put out" if news.kind == "put_out" else "is the champion now"
            _log.warning(f"the challenger {words}", challenger=news.name, reason=news.reason)
            self._model.notice(f"the challenger {news.name} {words}: {news.reason}")
            if news.kind == "put_out":
                yield Decision(PUT_OUT, self.current, {"challenger": news.name, "reason": news.reason})

    def decided(self, learner: Learner | None, kind: str, data: Json, *, restored_from: int | None = None) -> Decision:
        """Write down a decision that brings other parameters, publish them under a new number, and return it."""
        self.current += 1
        self.restored_from = restored_from
        decision = Decision(kind, self.current, data)
        self._append(decision)
        if learner is not None:
            self._publish(learner, flush=True)
        return decision

    def rolled_back(
        self,
        learner: Learner,
        restored_from: int,
        batch: MicroBatch[Examples] | None = None,
        effort: Effort = FULL,
        *,
        data: Json | None = None,
    ) -> Decision:
        """Write down that `learner` is that of an earlier version again, and publish it under a number of its own.

        Parameters
        ----------
        learner
            Restored.
        restored_from
            The version whose learner it is.
        batch
            What was learned last, if it is not written down yet: it gets a number that is never published.
        effort
            With which it was learned.
        data
            What the decision says besides: which command it obeys.
        """
        entries: list[Entry] = []
        if batch is not None:
            self.current += 1
            entries.append(_update(self.current, learner, batch, effort))
            self._waiting.append(batch.track.appended)
        self.current += 1
        self.restored_from = restored_from
        decision = Decision(ROLLBACK, self.current, {**(data or {}), "restored_from": restored_from})
        self._append(*entries, decision)
        self._publish(learner, flush=True)
        return decision

    def note(self, kind: str, data: Json) -> Decision:
        """Write down a decision that changes no parameters, and return it."""
        decision = Decision(kind, self.current, data)
        self._append(decision)
        return decision

    def flush(self, learner: Learner) -> None:
        """Publish what a learner has held back; with nothing held back this does nothing."""
        if self._waiting or self._is_behind:
            self._publish(learner, flush=True)

    def publish_again(self, learner: Learner) -> None:
        """Publish the current version once more: after a start, in the folder of this process's epoch.

        Raises
        ------
        OwnershipLost
        """
        self._model.lease.check()
        self._publish(learner, flush=True)

    def _append(self, *entries: Entry) -> None:
        """Journal `entries`, all or none; only the owner may go on after that."""
        while True:
            try:
                self._journal.append(*entries)
                break
            except StorageFailed as error:
                _log.error("the journal cannot be written; learning waits", error=str(error))
                self._model.notice(f"learning waits: {error}")
                self._model.lease.check()
                if self._stop.wait(_STORAGE_RETRY):
                    raise
        self._model.lease.check()

    def _publish(self, learner: Learner, *, flush: bool = False) -> None:
        """Hand the parameters to the servers, unless the learner has nothing new to hand over yet."""
        published = learner.published(flush=flush)
        if not flush and published.changed is not None and not published.changed:
            return
        header = {
            "model": self._model.name,
            "version": self.current,
            "learner": learner.name,
            "task": learner.task.value,
            "restored_from": self.restored_from,
            "published_at": time.time(),
        }
        try:
            self._model.publisher.publish(published, header)
        except StorageFailed as error:
            # Learning goes on: the servers have the version before, and the next update tries again.
            _log.error("a version could not be published", version=self.current, error=str(error))
            self._model.notice(str(error))
            return
        self._is_behind = False
        freshness = self._totals.histograms["freshness_seconds"]
        now = time.time() * 1000
        for appended in self._waiting:
            freshness.observe_many(np.maximum(now - appended, 0) / 1000)
        self._waiting.clear()


def _update(version: int, learner: Learner | None, batch: MicroBatch[Examples], effort: Effort) -> Update:
    track = batch.track
    return Update(
        version,
        NOBODY if learner is None else learner.name,
        track.runs(),
        batch.positions,
        track.checksum(),
        lesson=encode_lesson(batch.examples),
        effort=effort.level,
    )
