"""What a trainer does beside learning: its status, its checkpoints, the journal's durability, retention and commits.

Called from the learning loop between two microbatches; whatever takes long runs in a thread of its own.
"""

import threading
import time

import structlog

from models.learner import Json
from service.checkpoints import Checkpoint, CheckpointInfo
from service.durability.checkpointing import Checkpointer
from service.errors import StorageFailed
from service.learning.model import Model
from service.learning.training import Training
from service.metrics import MetricsServer, start_metrics_server, statuses_from_files
from service.monitoring.letter_watch import LetterWatch
from service.monitoring.reporting import report
from service.monitoring.status import CheckpointStatus, State, Status, write_status
from service.repair.self_repair import SelfRepair

_log = structlog.get_logger("headrace.trainer")

_STATUS_EVERY = 0.2
"""Seconds between two reports while learning: reading the scores waits for the device."""

_ALIVE_EVERY = 1.0
"""Seconds between two reports while nothing changes."""

_SYNC_EVERY = 1.0
"""Seconds of journal that a loss of power may cost; the version numbers in them are then skipped."""

_RETENTION_EVERY = 30.0
"""Seconds between two looks at what the embedded log may forget."""

_NOTHING = (-1, -1)
"""Progress that no trainer has."""


class Housekeeping:
    """Keeps house for one trainer.

    Parameters
    ----------
    model
        What it owns.
    training
        Where the trainer is: what is reported and saved; read between two microbatches only.
    repair
        Says of each state that is to be kept whether it is sound.
    relearned_seconds
        How long it took to learn again what is in no checkpoint.
    """

    def __init__(self, model: Model, training: Training, repair: SelfRepair, *, relearned_seconds: float = 0.0) -> None:
        self._model = model
        self._training = training
        self._repair = repair
        self._relearned_seconds = relearned_seconds
        self._checkpointer = Checkpointer(
            model.store,
            every_seconds=model.settings.checkpoint.every_seconds,
            saved=self._saved,
            failed=self._not_saved,
        )
        self._letters = LetterWatch(model.dead_letters)
        self._checkpoint: CheckpointStatus | None = None
        self._checkpoint_seconds: list[float] = []
        self._captured = _NOTHING
        self._reported = 0.0
        self._unwritten = False
        self._reported_progress = (-1, -1)
        self._retained = time.monotonic()
        self._owner = True
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._syncing = threading.Thread(target=self._sync_journal, name="journal-sync", daemon=True)
        self._metrics: MetricsServer | None = None

    def start(self) -> None:
        """Begin: the first report, the metrics port, the journal's thread.

        Raises
        ------
        ConfigurationInvalid
            The metrics port cannot be had.
        """
        self._captured = _NOTHING if self._relearned_seconds else self._training.progress
        port = self._model.service.train.metrics_port
        if port is not None:
            paths = {self._model.name: self._model.paths.status}
            self._metrics = start_metrics_server(
                port, statuses_from_files(paths), self._model.service.train.metrics_host
            )
        # Else a trainer that is killed again and again would have more to learn again each time.
        self._checkpointer.start(self._worked - self._relearned_seconds)
        self._syncing.start()
        self._report("idle")

    @property
    def _worked(self) -> float:
        """Seconds spent on learning, in the model's whole life."""
        return self._training.totals.histograms["update_seconds"].sum

    def step(self, *, idle: bool) -> None:
        """Do what is due.

        Raises
        ------
        DurabilityLost
            The disk did not keep what was written: nothing may go on.
        """
        if self._failure is not None:
            raise self._failure
        if self._checkpointer.due(self._worked) and self._training.progress != self._captured:
            self.checkpoint_now()
        now = time.monotonic()
        changed = self._training.progress != self._reported_progress
        if now - self._reported >= (_STATUS_EVERY if changed else _ALIVE_EVERY):
            self._report(self._state(idle=idle))

    def checkpoint_now(self) -> None:
        """Capture the state and have it written."""
        training = self._training
        # A stand-in is never the truth, and without a learner there is nothing to keep.
        if training.lane.learner is None or training.standing_in:
            return
        self.settle()
        # Only the owner may capture: what is captured counts as served.
        self._model.lease.check()
        verdict = self._repair.vouch()
        try:
            training.journal.rotate(training.versions.current)
        except StorageFailed as error:
            self._checkpointer.postpone(training.versions.current, error)
            return
        self._captured = self._training.progress
        self._checkpointer.submit(self._capture(verdict))

    def settle(self) -> None:
        """Wait for the checkpoint that is being written, if one is: then it is among those that are kept."""
        self._checkpointer.finish()

    def finish(self) -> None:
        """Leave everything durable and reported: the end of a trainer that still owns its model."""
        if self._training.progress != self._captured:
            self.checkpoint_now()
        self._checkpointer.finish()
        self._report("stopped")

    def abandon(self) -> None:
        """Write nothing any more: the model belongs to another trainer."""
        self._owner = False

    def close(self) -> None:
        """Let threads and ports go."""
        self._stop.set()
        if self._syncing.ident is not None:
            self._syncing.join()
        self._checkpointer.close()
        if self._metrics is not None:
            self._metrics.close()

    def _state(self, *, idle: bool) -> State:
        if self._training.operated.paused is not None:
            return "paused"
        if self._training.lane.ingest.waiting_for_source:
            return "waiting_for_source"
        return "idle" if idle else "learning"

    def _report(self, state: State) -> None:
        if not self._owner:
            return
        # Without events nothing else would tell a former owner that it is one.
        self._model.lease.check()
        self._reported = time.monotonic()
        self._reported_progress = self._training.progress
        seconds, self._checkpoint_seconds = self._checkpoint_seconds, []
        for each in seconds:
            self._training.totals.histograms["checkpoint_seconds"].observe(each)
        letters = self._letters.look()
        if letters.pause is not None and state != "stopped":
            state = "paused"
        status = report(self._model, self._training, letters, state, self._checkpoint, found=self._repair.found)
        self._write(status)

    def _write(self, status: Status) -> None:
        """Replace the status; without room for it the old one stays, and its age tells."""
        try:
            write_status(self._model.paths.status, status)
        except OSError as error:
            if not self._unwritten:
                _log.error("the status cannot be written", path=str(self._model.paths.status), error=error.strerror)
            self._unwritten = True
        else:
            self._unwritten = False

    def _capture(self, verdict: Json) -> Checkpoint:
        training, lane, learner = self._training, self._training.lane, self._training.learner
        return Checkpoint(
            version=training.versions.current,
            epoch=self._model.lease.epoch,
            positions=dict(lane.positions),
            learner=learner.state(),
            service={
                "model": self._model.name,
                **training.noted.to_json(),
                "canary": verdict,
                "operated": training.operated.to_json(),
                "restored_from": training.versions.restored_from,
                "learner": learner.name,
                "options": self._model.learner_options(),
                "lane": lane.count.to_json(),
                "totals": training.totals.to_json(),
            },
            created=time.time(),
            others=lane.screen.states(),
        )

    def _saved(self, checkpoint: Checkpoint, info: CheckpointInfo, seconds: float) -> None:
        """Tell everybody how far the state is durable; runs in the checkpointer's thread."""
        self._checkpoint = CheckpointStatus(version=info.version, written_at=checkpoint.created, seconds=seconds)
        self._checkpoint_seconds.append(seconds)
        # What only has a name is kept to go back to, not to learn on from: neither journal nor log is kept for it.
        self._training.journal.prune(min(each.version for each in self._model.store.recent()))
        self._training.lane.ingest.commit(checkpoint.positions)
        if time.monotonic() - self._retained > _RETENTION_EVERY:
            self._retained = time.monotonic()
            self._model.forget()

    def _not_saved(self, message: str) -> None:
        """Tell the operator, and have it tried again though nothing new may come."""
        self._captured = _NOTHING
        self._model.notice(message)

    def _sync_journal(self) -> None:
        while not self._stop.wait(_SYNC_EVERY):
            try:
                self._training.journal.sync()
            except StorageFailed as error:
                # No room for a reservation, say: nothing is lost yet, and the next sync tries again.
                _log.warning("the journal could not be made durable", error=str(error))
            # The learning thread raises it again: a disk that loses writes must end the trainer.
            except BaseException as error:  # noqa: BLE001
                self._failure = error
                return
