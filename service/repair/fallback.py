"""What happens while the device is out of order: the online learner stands in, and the microbatch learner comes back.

The stand-in starts from a replay of the last labelled events and goes on with the very microbatch that could not be
learned. Meanwhile a thread rebuilds the lost learner from its checkpoint and journal, on the device once it answers
again, and has it catch up from its own positions; nothing is missed, and nothing is learned twice by either of them.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from consumers.source import Positions
from models.errors import DeviceFailed, DeviceLost
from models.examples import Examples
from models.learner import Learner
from service.learning.lane import Lane
from service.learning.model import Model
from service.learning.replay_ring import ReplayRing
from service.learning.training import Training

_log = structlog.get_logger("headrace.fallback")

_BACK_OFF_FIRST, _BACK_OFF_LAST = 0.5, 30.0
"""Seconds between two tries to use the device again: doubled each time."""


class Fallback:
    """Has the online learner stand in for the configured one, and brings that one back.

    Parameters
    ----------
    model
        What the trainer owns.
    training
        Where the trainer is; its lane is switched here.
    """

    def __init__(self, model: Model, training: Training) -> None:
        self._model = model
        self._training = training
        self._ring = ReplayRing(model.settings.fallback.replay_events)
        self._return: Return | None = None

    def remember(self, examples: Examples) -> None:
        """Keep the last labelled events, for a stand-in to start from."""
        self._ring.push(examples)

    def check_drill(self) -> None:
        """Raise :class:`~models.errors.DeviceFailed` while a fire drill is on, unless somebody stands in already."""
        if not self._training.standing_in:
            self._model.check_drill()

    def take_over(self, error: DeviceFailed) -> None:
        """Serve an online learner from now on, warmed up on the last labelled events.

        Raises
        ------
        DeviceFailed
            No fallback is configured.
        """
        if self._model.settings.fallback.learner == "none":
            raise error
        _log.error("the device failed; the online learner takes over", error=str(error))
        self._model.notice(f"the device failed, the online learner took over: {error}")
        lost = self._training.lane
        task = lost.ingest.task
        assert task is not None, "a device fails over examples, and they come after the task is settled"  # noqa: S101
        learner = self._model.make_stand_in(task)
        self._warm_up(learner, self._ring.pieces() or self._model.read_back(lost.positions, task))
        self._training.totals.fallbacks += 1
        self._begin_return()
        self._training.switch(replace(lost, learner=learner), standing_in=True)
        self._decided("fallback", str(error))

    def comes_back(self) -> bool:
        """Have the microbatch learner take over again once it has caught up, and return whether it just did."""
        lane = self._return.ready() if self._return is not None else None
        if lane is None:
            return False
        try:
            # The little that the served lane has learned since the thread looked last.
            lane.catch_up(self._served_positions)
        except DeviceFailed as error:
            _log.warning("the device failed again", error=str(error))
            lane.close()
            self._begin_return()
            return False
        self._training.lane.close()
        self._return = None
        self._training.switch(lane, standing_in=False)
        _log.info("the device is back; the microbatch learner takes over", events=lane.learned)
        self._model.notice("the device is back, the microbatch learner took over again")
        self._decided("return", "the device is back")
        return True

    def close(self) -> None:
        """Give up bringing the learner back."""
        if self._return is not None:
            self._return.close()

    def _begin_return(self) -> None:
        self._return = Return(self._rebuild, self._served_positions)

    def _served_positions(self) -> Positions:
        return self._training.lane.positions

    def _rebuild(self) -> Lane:
        """Recover the lost learner from its checkpoint and journal; runs in a thread of its own."""
        return self._model.recovery().run().lane

    def _warm_up(self, learner: Learner, pieces: Sequence[Examples]) -> None:
        started = time.monotonic()
        for piece in pieces:
            learner.learn(piece)
        events = sum(len(piece) for piece in pieces)
        _log.info("warmed up", events=events, seconds=round(time.monotonic() - started, 3))

    def _decided(self, kind: str, reason: str) -> None:
        lane = self._training.lane
        data = {"reason": reason, **lane.count.to_json()}
        self._training.versions.decided(self._training.learner, kind, data)


class Return:
    """Rebuilds the microbatch learner in a thread of its own and has it catch up.

    Parameters
    ----------
    rebuild
        Recovers the lane on the device; raises :class:`~models.errors.DeviceFailed` while that does not work.
    target
        The positions of the lane that is served, a moving target.
    """

    def __init__(self, rebuild: Callable[[], Lane], target: Callable[[], Positions]) -> None:
        self._rebuild = rebuild
        self._target = target
        self._lane: Lane | None = None
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="return", daemon=True)
        self._thread.start()

    def ready(self) -> Lane | None:
        """Return the lane once it has caught up as far as it can by itself; it then belongs to the caller.

        Raises
        ------
        Exception
            What kept the thread from going on, other than the device.
        """
        if self._thread.is_alive():
            return None
        if self._error is not None:
            raise self._error
        return self._lane

    def close(self) -> None:
        """Give up."""
        self._stop.set()
        self._thread.join()
        if self._lane is not None:
            self._lane.close()

    def _run(self) -> None:
        delay = _BACK_OFF_FIRST
        while not self._stop.wait(delay):
            try:
                self._lane = self._rebuild()
                self._lane.catch_up(self._target, self._stop.is_set)
            except DeviceFailed as error:
                _log.info("the device is still out of order", error=str(error))
                if self._lane is not None:
                    self._lane.close()
                    self._lane = None
                if isinstance(error, DeviceLost) and delay >= _BACK_OFF_LAST:
                    # Nothing that this process does will bring it back; learning has gone on for a minute meanwhile.
                    self._error = error
                    return
            # Whatever it is, the learning thread raises it again.
            except Exception as error:  # noqa: BLE001
                self._error = error
                return
            else:
                return
            delay = min(delay * 2, _BACK_OFF_LAST)
