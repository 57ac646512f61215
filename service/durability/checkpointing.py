"""When to checkpoint, and the thread that writes: learning only waits for the copy of its state, never for the disk.

A checkpoint is due after some time, and before it after a second of learning: that much, at most, a restart has to
learn again, however fast the stream is.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import structlog

from service.checkpoints import Checkpoint, CheckpointInfo, CheckpointStore
from service.errors import StorageFailed

_log = structlog.get_logger("headrace.checkpoints")

_MOST_WORK = 1.0
"""Seconds of learning after which a checkpoint is due before its time."""

_SHARE = 0.1
"""Of the time, at most, that goes into writing checkpoints before their time."""


class Checkpointer:
    """Writes checkpoints one after another in a thread of its own. Its methods belong to the learning thread.

    Parameters
    ----------
    store
        Where they go.
    every_seconds
        Time between the beginnings of two checkpoints, at most.
    saved
        Called in the writing thread after each one that is durable, with it and the seconds that it took.
    failed
        Called in the writing thread when one could not be written, with what to tell the operator. The one before
        stays valid, and the next is tried when it is due.
    """

    def __init__(
        self,
        store: CheckpointStore,
        *,
        every_seconds: float,
        saved: Callable[[Checkpoint, CheckpointInfo, float], None],
        failed: Callable[[str], None],
    ) -> None:
        self._store = store
        self._every = every_seconds
        self._saved = saved
        self._failed = failed
        self._begun = time.monotonic()
        self._took = 0.0
        self._worked = self._kept = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def start(self, worked: float) -> None:
        """Begin to count: `worked` seconds of learning were there before."""
        self._begun = time.monotonic()
        self._worked = self._kept = worked

    def due(self, worked: float) -> bool:
        """Return whether the time has come and the one before is written.

        Parameters
        ----------
        worked
            Seconds spent on learning, on the same count as at the start.

        Raises
        ------
        Exception
            What made the last one fail, unless it was a matter of space: such a disk is not to be trusted again.
        """
        self._worked = worked
        passed = time.monotonic() - self._begun
        early = worked - self._kept >= _MOST_WORK and self._took <= _SHARE * passed
        return (passed >= self._every or early) and self._idle()

    def submit(self, checkpoint: Checkpoint) -> None:
        """Begin to write `checkpoint`."""
        self.start(self._worked)
        self._writing = self._thread.submit(self._write, checkpoint)

    def postpone(self, version: int, error: StorageFailed) -> None:
        """Leave out the checkpoint of `version`, for which there is no room: the next is tried when it is due."""
        self.start(self._worked)
        self._tell(version, error)

    def finish(self) -> None:
        """Wait for what is being written; raise what :meth:`due` would."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def close(self) -> None:
        """Wait for what is being written and let the thread go."""
        self._thread.shutdown(wait=True)

    def _idle(self) -> bool:
        if self._writing is None:
            return True
        if not self._writing.done():
            return False
        self.finish()
        return True

    def _write(self, checkpoint: Checkpoint) -> None:
        started = time.monotonic()
        try:
            info = self._store.save(checkpoint)
        except StorageFailed as error:
            self._tell(checkpoint.version, error)
            return
        self._took = time.monotonic() - started
        self._saved(checkpoint, info, self._took)

    def _tell(self, version: int, error: StorageFailed) -> None:
        _log.error("a checkpoint could not be written", version=version, error=str(error))
        self._failed(f"checkpoint {version} could not be written, the one before stays valid: {error}")
