"""The trainer: one process that learns one model from one topic. Its loop is the heart of Headrace: start here.

Take a microbatch, score it with the parameters before it (test), learn from it (train), journal, publish, and, when
due, checkpoint. Before the loop stands recovery (``restart/recovery.py``); beside it run the process that polls and
decodes (``reading/ingest.py``) and the thread that writes checkpoints (``durability/checkpointing.py``).
"""

import threading
import time
from collections.abc import Callable

import structlog

from consumers.microbatch import MicroBatch
from models.effort import Effort
from models.errors import DeviceFailed, DeviceLost, DeviceOutOfMemory
from models.examples import Examples
from service.errors import OwnershipLost
from service.journal import Journal
from service.learning.adaptive_training import Adapting
from service.learning.housekeeping import Housekeeping
from service.learning.lane import TIMEOUT
from service.learning.model import Model
from service.learning.training import Training
from service.learning.versions import Versions
from service.operating.desk import Desk
from service.operating.operator import Operator
from service.repair.device_loss import note_loss
from service.repair.fallback import Fallback
from service.repair.memory_pressure import MemoryPressure
from service.repair.self_repair import SelfRepair
from service.restart.recovery import Recovered

_log = structlog.get_logger("headrace.trainer")

_TICK = 0.05
"""Seconds that the loop waits for a microbatch before it looks after the rest: status, commits, the end."""

_SILENCE = 2.0
"""Seconds between two looks at what times out while nothing comes, and for a label in the log to be read."""


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
    training
        Where it is.
    """

    def __init__(self, model: Model, recovered: Recovered, journal: Journal) -> None:
        self._stop = threading.Event()
        self._silent_since = time.monotonic()
        self._time_out_at = self._silent_since + _SILENCE
        self._model = model
        self._recovered = recovered
        versions = Versions(model, journal, recovered.totals, recovered.version, self._stop)
        # Where it goes on under another number, that one is said to be what it repeats.
        versions.restored_from = recovered.restored_from
        self.training = Training(
            recovered.lane,
            recovered.totals,
            journal,
            versions,
            recovered.noted,
            model.recipe(),
            operated=recovered.operated,
        )
        self._adapting = Adapting(model, self.training)
        self._fallback = Fallback(model, self.training)
        self._memory = MemoryPressure(model, self.training)
        self._repair = SelfRepair(model, self.training, recovered.reference)
        self._housekeeping = Housekeeping(
            model, self.training, self._repair, relearned_seconds=recovered.relearned_seconds
        )
        self._operator = Operator(Desk(model, self.training, self._housekeeping, self._repair))

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
                self._operator.look()
                batch = self._next()
                if batch is not None:
                    self._take(batch)
                try:
                    self._look_after(idle=batch is None)
                except DeviceFailed as error:
                    self._cope(error, self._model.largest_size)
            self._finish()
        except OwnershipLost:
            self._housekeeping.abandon()
            raise
        finally:
            self._close()

    def publish(self) -> None:
        """Publish what was recovered and end, instead of running.

        Raises
        ------
        DeviceFailed
            It could not be recovered as it was.
        OwnershipLost, StorageFailed, ConfigurationInvalid
        """
        self._instead(lambda: None)

    def obey(self) -> None:
        """Obey the commands that wait, publish and keep what comes of them, and end, instead of running.

        Raises
        ------
        DeviceFailed
            The learner cannot be built.
        OwnershipLost, StorageFailed, ConfigurationInvalid
        """
        self._instead(self._operator.look)

    def _instead(self, act: Callable[[], None]) -> None:
        try:
            if self._recovered.device_error is not None:
                raise self._recovered.device_error
            self._begin()
            act()
            self._housekeeping.finish()
        finally:
            self._close()

    def _next(self) -> MicroBatch[Examples] | None:
        """Return the next microbatch; None where none comes in time, or learning is paused."""
        # While learning is paused, too: else what came meanwhile would look like a flood afterwards.
        self._adapting.prepare()
        if self.training.operated.paused is not None:
            # What is read waits in bounded buffers: once they are full, nothing more is.
            self._stop.wait(_TICK)
            return None
        return self.training.lane.batcher.next(_TICK)

    def _take(self, batch: MicroBatch[Examples]) -> None:
        """Learn a microbatch: test, train, journal, publish. One that holds no example is passed by."""
        self._silent_since = time.monotonic()
        if batch.examples is None:
            self.training.lane.passed(batch)
            self.training.count()
            return
        try:
            self._settle()
            batch = self.training.lane.join(batch)
            if batch.examples:
                self._update(batch)
            else:
                self._have_wait(batch)
        except DeviceFailed as error:
            self._cope(error, len(batch.track))
            if self.training.standing_in and self.training.lane.positions is not batch.positions:
                self._take(batch)

    def _cope(self, error: DeviceFailed, rows: int) -> None:
        """Go on after the device failed over so many rows: in smaller pieces, or with the online learner.

        Raises
        ------
        DeviceLost
            Only another process can use the device again.
        DeviceFailed
            No fallback is configured.
        """
        if isinstance(error, DeviceLost):
            note_loss(self.training.versions, error)
            raise error
        if isinstance(error, DeviceOutOfMemory) and self._memory.relieve(error, rows):
            return
        self._fallback.take_over(error)

    def _update(self, batch: MicroBatch[Examples]) -> None:
        started = time.perf_counter()
        training, totals, effort = self.training, self.training.totals, self._adapting.effort
        self._fallback.check_drill()
        batch = training.lane.ask(batch)
        learned = training.lane.learn(batch, effort, training.versions.current)
        known = learned.known()
        self._repair.remember(known, time.perf_counter() - started)
        if not self._is_replaced(batch, effort):
            training.versions.updated(training.learner, batch, effort)
        self._fallback.remember(known)
        totals.updated(training.learner.name, len(learned))
        self._count()
        totals.histograms["microbatch_wait_seconds"].observe(batch.waited)
        seconds = time.perf_counter() - started
        totals.histograms["update_seconds"].observe(seconds)
        self._adapting.learned(batch, effort, seconds)

    def _have_wait(self, batch: MicroBatch[Examples]) -> None:
        """Pass a microbatch of which nothing is to be learned yet: what it holds waits in the label join."""
        lane = self.training.lane
        lane.learn(batch)
        self.training.versions.passed(lane.learner, batch)
        self.training.count()
        self._adapting.passed(batch)

    def _count(self) -> None:
        """Count what was learned, and say so where the stream drifts."""
        totals = self.training.totals
        before = totals.drift
        self.training.count()
        if totals.drift > before:
            totals.drift_noticed_at = time.time()
            _log.warning("the stream drifts: errors have risen", events=totals.drifted_at, drift=totals.drift)

    def _is_replaced(self, batch: MicroBatch[Examples], effort: Effort) -> bool:
        """Publish a good checkpoint's learner where `batch` has broken the one that there is, and return whether so."""
        versions = self.training.versions
        before = versions.current
        try:
            if not self._repair.condemns:
                return False
            self._housekeeping.settle()
            return self._repair.bring_back(batch, effort)
        except DeviceFailed:
            if versions.current == before:
                # It has been learned, so that it counts, whatever would have been found of it.
                versions.learned(self.training.learner, batch, effort)
            raise

    def _begin(self) -> None:
        """Serve again what was served before, under its own number, or under a new one where it was overtaken."""
        self._housekeeping.start()
        recovered, training = self._recovered, self.training
        if recovered.device_error is not None:
            self._fallback.take_over(recovered.device_error)
        elif recovered.lane_version != recovered.version:
            origin = recovered.lane_version
            training.versions.decided(
                training.lane.learner, "renumber", {"restored_from": origin}, restored_from=origin
            )
        elif training.lane.learner is not None:
            training.versions.publish_again(training.learner)

    def _settle(self) -> None:
        """Write down what is new of the stream, and build the learner when its task is settled."""
        self.training.note()
        lane = self.training.lane
        if lane.learner is not None:
            return
        task = lane.ingest.task
        if task is None:
            return  # only observations have come yet, and they wait
        _log.info("task settled", task=task.value)
        lane.learner = self._model.build_learner(task)

    def _look_after(self, *, idle: bool) -> None:
        """Do what is due beside learning."""
        if self._fallback.comes_back():
            # What was learned while catching up is in no journal: until this checkpoint, a restart would catch up anew.
            self._housekeeping.checkpoint_now()
        if idle:
            self._flush()
            self._time_out()
        self._housekeeping.step(idle=idle)

    def _time_out(self) -> None:
        """Where the stream has fallen silent, let its time go on, so that what waits for labels in vain times out.

        That follows from no event, so it is written down like an update.
        """
        training, now = self.training, time.monotonic()
        if now < self._time_out_at or training.standing_in or training.operated.paused is not None:
            return
        self._time_out_at = now + _SILENCE
        milliseconds = training.lane.overdue(now - self._silent_since - _SILENCE)
        if milliseconds is None:
            return
        self._silent_since = now - _SILENCE
        learned = training.lane.time_out(milliseconds, training.versions.current)
        training.versions.decided(training.learner, TIMEOUT, {"time": milliseconds})
        if len(learned):
            self._fallback.remember(learned.known())
            training.totals.updated(training.learner.name, len(learned))
        self._count()

    def _flush(self) -> None:
        """Publish what the learner has held back."""
        if self.training.lane.learner is not None:
            self.training.versions.flush(self.training.learner)

    def _finish(self) -> None:
        """Learn the microbatch in hand, and leave everything durable."""
        batch = None if self.training.operated.paused is not None else self.training.lane.batcher.flush()
        if batch is not None:
            self._take(batch)
        self._flush()
        self._housekeeping.finish()

    def _close(self) -> None:
        self._operator.close()
        self._fallback.close()
        self.training.lane.close()
        self._housekeeping.close()
        self.training.journal.close()
