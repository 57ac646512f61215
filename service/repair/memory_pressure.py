"""What happens when a microbatch does not fit into the device's memory: smaller ones from then on.

A step that was broken off half-way leaves parameters that nobody can account for. So the learner is built anew from
checkpoint and journal, as at a start, but with half the bound; the microbatch is then read again, in smaller pieces.
"""

import structlog

from models.devices import release_memory
from models.errors import DeviceFailed
from service.learning.model import Model
from service.learning.training import Training

_log = structlog.get_logger("headrace.memory")

FEWEST = 16
"""Events in a microbatch below which the device is of no use: the online learner takes over."""


class MemoryPressure:
    """Halves the bound on microbatches. Owned by the learning thread.

    Parameters
    ----------
    model
        What the trainer owns; its bound is halved, until the trainer is started again.
    training
        Where it is; its lane is replaced.
    """

    def __init__(self, model: Model, training: Training) -> None:
        self._model = model
        self._training = training

    def relieve(self, error: DeviceFailed, rows: int) -> bool:
        """Halve the bound and go back to where the journal ends; return whether learning can go on like that.

        Parameters
        ----------
        error
            What the device said.
        rows
            Events of the microbatch that did not fit.
        """
        bound = min(self._model.largest_size, rows) // 2
        if bound < FEWEST or self._training.standing_in:
            return False
        _log.error("out of device memory; microbatches become smaller", events=rows, at_most=bound, error=str(error))
        self._model.memory_bound = bound
        self._training.versions.note("halved", {"max_size": bound})
        # Nobody can use the learner any more, and there is no room for two.
        self._training.lane.learner = None
        release_memory(error)
        return self._rebuild(rows, bound)

    def _rebuild(self, rows: int, bound: int) -> bool:
        training = self._training
        try:
            recovered = self._model.recovery().run()
        except DeviceFailed as again:
            _log.error("the learner cannot be rebuilt", error=str(again))
            return False
        training.lane.close()
        training.switch(recovered.lane, standing_in=False)
        training.totals.halvings += 1
        self._model.notice(
            f"{rows} events did not fit into the device's memory: at most {bound} in a microbatch until the next start"
        )
        if recovered.lane_version == training.versions.current:
            training.versions.publish_again(training.learner)
        else:
            origin = recovered.lane_version
            training.versions.decided(training.learner, "renumber", {"restored_from": origin}, restored_from=origin)
        return True
