"""A learner whose stream was thinned out: of the rows of one class only one in so many was kept, and answers undo that.

Where most rows are of one class, and each says little (an impression that nobody clicked), most of these need not be
learned. What is learned of the rest are the probabilities of the thinned stream. Thinning one class to one in N divides
its odds against any other by N, whatever the features, so that the whole stream's probabilities follow exactly: these
odds are multiplied by N again. For two classes that is p = q / (q + (1 - q) · N), He et al., "Practical Lessons from
Predicting Clicks on Ads at Facebook", ADKDD 2014, section 6.3, with w = 1 / N.

On the path it stands around a learner, in the trainer, and around its predictor, wherever that answers. Rows are not
weighted by N instead, though that is right on average too: the few that are kept then make each gradient many times as
noisy. Scores are of the stream as it is learned: thinned out, and as the learner itself answers.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from models.effort import FULL, Effort
from models.examples import Examples, Features, Label, Task
from models.learner import (
    Array,
    Json,
    Learner,
    LearnerState,
    LearnerStatus,
    LearnReport,
    Predictions,
    Predictor,
    Published,
    Trial,
    check_spec,
)

NAME = "thinned"
SCHEMA = 1

LoadPredictor = Callable[[Json, Mapping[str, Array]], Predictor]


def undone(predictions: Predictions, label: Label, sample: int) -> Predictions:
    """Return answers of a stream that is thinned out as those of the whole one.

    Parameters
    ----------
    predictions
        Of a learner that has met one in `sample` of the rows of the class `label`, and all others.
    label, sample
        See above.
    """
    places = [place for place, each in enumerate(predictions.classes) if type(each) is type(label) and each == label]
    if predictions.probabilities is None or not places:
        return predictions
    odds = predictions.probabilities.astype(np.float64)
    odds[:, places] *= sample
    odds /= odds.sum(axis=1, keepdims=True)
    return replace(predictions, probabilities=odds.astype(np.float32))


class ThinnedPredictor:
    """See :class:`models.learner.Predictor`."""

    def __init__(self, predictor: Predictor, label: Label, sample: int) -> None:
        self._predictor, self._label, self._sample = predictor, label, sample

    @classmethod
    def from_published(cls, spec: Json, arrays: Mapping[str, Array], load: LoadPredictor) -> "ThinnedPredictor":
        """Return a predictor of what :meth:`Thinned.published` gave.

        Raises
        ------
        StateMismatch
        """
        check_spec(spec, NAME, SCHEMA)
        return cls(load(spec["spec"], arrays), spec["label"], spec["sample"])

    def predict(self, features: Features) -> Predictions:
        """Return predictions for all rows, of the whole stream."""
        return undone(self._predictor.predict(features), self._label, self._sample)


class Thinned:
    """See :class:`models.learner.Learner`.

    Parameters
    ----------
    learner
        Of classes.
    label, sample
        Of the rows of which class one in how many is kept.
    """

    def __init__(self, learner: Learner, label: Label, sample: int) -> None:
        self._learner, self._label, self._sample = learner, label, sample
        self._spec: Json = {}

    @property
    def name(self) -> str:
        """That of the learner."""
        return self._learner.name

    @property
    def task(self) -> Task:
        """That of the learner."""
        return self._learner.task

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:
        """Test and learn rows of the thinned stream."""
        return self._learner.learn(examples, effort)

    def predictor(self) -> Predictor:
        """Return a predictor of the whole stream."""
        return ThinnedPredictor(self._learner.predictor(), self._label, self._sample)

    def try_out(self, features: Features, at_once: int = 0) -> Trial:
        """Return the current parameters' answers."""
        trial = self._learner.try_out(features, at_once)
        return replace(trial, predictions=undone(trial.predictions, self._label, self._sample))

    def status(self) -> LearnerStatus:
        """Return that of the learner: its scores are of the thinned stream."""
        return self._learner.status()

    def state(self) -> LearnerState:
        """Return that of the learner."""
        return self._learner.state()

    def restore(self, state: LearnerState) -> None:
        """Have the learner become what `state` was taken from."""
        self._learner.restore(state)

    def forget_scores(self) -> None:
        """Begin to score anew."""
        self._learner.forget_scores()

    def published(self, *, flush: bool = False) -> Published:
        """Return the learner's parameters, and what undoes the thinning."""
        published = self._learner.published(flush=flush)
        if self._spec.get("spec") is not published.spec:
            self._spec = {
                "learner": NAME,
                "schema": SCHEMA,
                "label": self._label,
                "sample": self._sample,
                "spec": published.spec,
            }
        return replace(published, spec=self._spec)
