"""What is done about a learner that has broken: the one of the newest good checkpoint comes back, and learning goes on.

On the path it stands between learning and publishing. The kept checkpoints are the ring of last good parameters: they
are on disk anyway, a restart begins with them anyway, and each says what the canary thought of it. So a rollback is a
restart's own work, done without one.
"""

from collections.abc import Iterator

import structlog

from consumers.microbatch import MicroBatch
from models.effort import FULL, Effort
from models.errors import StateMismatch
from models.examples import Examples
from models.learner import Json, LearnerState, Predictor
from service.errors import CheckpointInvalid
from service.learning.model import Model
from service.learning.training import Training
from service.repair.canary import Canary, Finding
from service.restart.rollback import roll_back

_log = structlog.get_logger("headrace.self_repair")


class SelfRepair:
    """Has a canary look at the learner, and acts on what it finds. Owned by the learning thread.

    Parameters
    ----------
    model
        What the trainer owns.
    training
        Where it is; the learner of its lane is replaced here.
    reference
        Answers from the newest checkpoint's parameters, where there is one.
    """

    def __init__(self, model: Model, training: Training, reference: Predictor | None) -> None:
        self._model = model
        self._training = training
        self._canary = Canary(model.settings.canary)
        self._canary.trust(reference)
        self._told = False

    @property
    def found(self) -> Finding:
        """What the canary found when it looked last."""
        return self._canary.found

    def remember(self, learned: Examples, seconds: float) -> None:
        """Note an update that took so long, and keep its events to judge by."""
        if self._is_on:
            self._canary.remember(learned, seconds)

    def trust_current(self) -> None:
        """Compare with the learner that there is from now on: an operator has chosen it."""
        self._canary.trust(self._training.learner.predictor())

    @property
    def condemns(self) -> bool:
        """Whether it was time to look at what was learned last, and it must not be published."""
        return self._is_on and self._canary.is_due and self._look().verdict == "bad"

    def bring_back(self, batch: MicroBatch[Examples] | None, effort: Effort = FULL) -> bool:
        """Bring the newest good checkpoint's learner back and publish it; return whether there is one.

        Parameters
        ----------
        batch
            What was learned last, if it is not written down yet.
        effort
            With which it was learned.

        Raises
        ------
        DeviceFailed
            The learner cannot be rebuilt.
        """
        training, reason = self._training, self.found.reason
        for version, state in self._candidates():
            if not self._is_brought_back(state):
                continue
            training.totals.rollbacks += 1
            training.versions.rolled_back(training.learner, version, batch, effort)
            _log.error("the learner broke; an earlier one is back", reason=reason, restored_from=version)
            self._model.notice(f"rolled back to version {version}, learning goes on from there: {reason}")
            return True
        if not self._told:
            self._told = True
            _log.error("the learner is of no use, and no checkpoint is better", reason=reason)
            self._model.notice(
                f"the learner is of no use, is the learning rate right? No checkpoint is better: {reason}"
            )
        return False

    def vouch(self) -> Json:
        """Look at the learner before it goes into a checkpoint, and bring a good one back where it has broken.

        Returns
        -------
        Json
            What the canary says of the learner that there is now.
        """
        if not self._is_on:
            return Finding().to_json()
        if self._look().verdict == "bad" and self.bring_back(None):
            self._look()
        if self.found.verdict == "good":
            self._told = False
            self._canary.trust(self._training.learner.predictor())
        return self.found.to_json()

    @property
    def _is_on(self) -> bool:
        # A stand-in is in no checkpoint, and gives way by itself.
        return self._model.settings.canary.enabled and not self._training.standing_in

    @property
    def _at_once(self) -> int:
        # As long as all that was configured fits, the window does too, or the first look will show that it does not.
        return self._model.memory_bound or 0

    def _look(self) -> Finding:
        return self._canary.look(self._training.learner, self._at_once)

    def _is_brought_back(self, state: LearnerState) -> bool:
        """Bring back the learner that `state` is of, unless it is no better than the one that there is."""
        lane, broken = self._training.lane, self._training.learner
        better = False
        try:
            roll_back(lane, state, self._model.build_learner)
            better = self._canary.is_better(self._training.learner, self._at_once)
        except StateMismatch as error:
            _log.error("a checkpoint cannot be used", problem=str(error))
        finally:
            if not better:
                lane.learner = broken
        return better

    def _candidates(self) -> Iterator[tuple[int, LearnerState]]:
        """Yield version and learner of each kept checkpoint that no operator went back from, newest first."""
        for info in self._model.store.list():
            if self._training.operated.has_left(info.version):
                continue
            try:
                checkpoint = self._model.store.load(info)
            except CheckpointInvalid as error:
                _log.error("a checkpoint cannot be used", problem=str(error))
                continue
            if checkpoint is not None:
                yield checkpoint.version, checkpoint.learner
