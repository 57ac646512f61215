"""The canary: are the parameters fit to be published? It looks at the last labelled events and at a good checkpoint.

On the path it stands between learning and publishing, once in so many updates, and before each checkpoint. It asks
whether everything is a finite number, and whether the parameters are much worse on the last events than those of the
newest good checkpoint on the very same events. Where the stream itself changes, both are wrong about it, so that only a
learner that has broken stands out. What is done about one that has is in ``self_repair.py``.

Of the online learner only the first is asked: it follows the last few events so closely that it may be far better
or worse on the last few hundred from one moment to the next, and is all right for all that (ADR 7).
"""

import time
from dataclasses import dataclass
from typing import Literal

from models.contesting import answering
from models.examples import Examples, Joint
from models.learner import Json, Learner, Predictor
from service.checkpoints import Checkpoint
from service.learning.replay_ring import ReplayRing
from service.repair.canary_loss import loss_of, loss_of_knowing_nothing
from service.settings.canary import CanarySettings

Verdict = Literal["good", "bad", "unknown"]

_FEWEST = 4
"""One part in so many of the window must be there before it is judged by."""

_SLACK = 0.1
"""Share of the loss of knowing nothing that is forgiven beside `worse_by`: small losses multiply easily."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What the canary found.

    Attributes
    ----------
    verdict
        Unknown while there are too few events to judge by. Of the online learner: good where all is finite.
    loss, reference
        Of the parameters, and of those of the newest good checkpoint (before there is one: of knowing nothing), on the
        same events: log loss in nats, or root mean squared error. None where they were not computed.
    reason
        What is wrong, for an operator; empty where nothing is.
    """

    verdict: Verdict = "unknown"
    loss: float | None = None
    reference: float | None = None
    reason: str = ""

    def to_json(self) -> Json:
        """Return it as checkpoints and the status carry it."""
        return {"verdict": self.verdict, "loss": self.loss, "reference_loss": self.reference}


class Canary:
    """Judges parameters. Owned by the learning thread.

    Parameters
    ----------
    settings
        When to look, and how strictly.

    Attributes
    ----------
    found
        What the last look found.
    """

    def __init__(self, settings: CanarySettings) -> None:
        self.found = Finding()
        self._settings = settings
        self._window = ReplayRing(settings.window)
        self._reference: Predictor | None = None
        self._updates = 0
        self._learning = self._looking = 0.0

    def remember(self, examples: Examples, seconds: float) -> None:
        """Note an update that took so long, and keep its events to judge by."""
        self._window.push(examples)
        self._updates += 1
        self._learning += seconds

    @property
    def is_due(self) -> bool:
        """Whether so many updates have come since the last look that it is time for another."""
        share = self._settings.share
        affordable = share is None or self._learning * share >= self._looking
        return affordable and self._updates >= self._settings.every_updates

    def look(self, learner: Learner, at_once: int = 0) -> Finding:
        """Judge the parameters as they are, with so many rows on the device at once (0: no bound).

        Raises
        ------
        DeviceFailed
        """
        started = time.perf_counter()
        self.found = self._judge(learner, at_once)
        self._updates, self._learning, self._looking = 0, 0.0, time.perf_counter() - started
        return self.found

    def trust(self, predictor: Predictor | None) -> None:
        """Compare with these parameters from now on: they are in a checkpoint."""
        self._reference = predictor

    def is_better(self, other: Learner, at_once: int = 0) -> bool:
        """Whether what the last look condemned is much worse than `other`, and that one is all right itself."""
        events = self._events()
        trial = other.try_out(events.features, at_once)
        condemned = self.found.loss
        if not trial.finite or condemned is None:
            return trial.finite
        return condemned > self._bound(loss_of(trial.predictions, events), events, len(trial.predictions.classes))

    def _events(self) -> Examples:
        """Return the events to judge by: the newest that have enough in common to be joined."""
        joint, taken = Joint(), list[Examples]()
        for piece in reversed(self._window.pieces()):
            if not joint.takes(piece, len(piece)):
                break
            taken.append(piece)
        return Examples.concatenate(taken[::-1])

    def _judge(self, learner: Learner, at_once: int) -> Finding:
        events = self._events()
        trial = learner.try_out(events.features, at_once)
        if not trial.finite:
            return Finding("bad", reason="parameters or answers are not finite")
        if answering(learner).name == "online":
            return Finding("good")
        if len(events) * _FEWEST < self._settings.window or not (events.weights > 0).any():
            return Finding()
        loss = loss_of(trial.predictions, events)
        classes = len(trial.predictions.classes)
        if self._reference is None:
            reference, of_whom = loss_of_knowing_nothing(events, classes=classes), "of knowing nothing"
        else:
            reference = loss_of(self._reference.predict(events.features), events)
            of_whom = "of the newest good checkpoint"
        if loss <= self._bound(reference, events, classes):
            return Finding("good", loss, reference)
        reason = f"on the last {len(events)} events the loss is {loss:.4g}, that {of_whom} {reference:.4g}"
        return Finding("bad", loss, reference, reason)

    def _bound(self, reference: float, events: Examples, classes: int) -> float:
        """Return the loss that is just good enough."""
        return self._settings.worse_by * reference + _SLACK * loss_of_knowing_nothing(events, classes=classes)


def is_trusted(checkpoint: Checkpoint | None) -> bool:
    """Whether a checkpoint's parameters are fit to compare with: they were not condemned when it was captured."""
    return checkpoint is not None and checkpoint.service.get("canary", {}).get("verdict") != "bad"
