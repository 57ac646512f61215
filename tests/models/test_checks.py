"""The learner contract finds what it is there to find: each of these learners is broken in one way."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models import checks
from models.effort import FULL, Effort
from models.examples import Examples, Features, Task
from models.learner import LearnerOptions, LearnerState, LearnReport, Predictions, Predictor, Published
from models.online_learner import OnlineLearner


class Sound(OnlineLearner):
    """Nothing is wrong with this one."""

    def __init__(self, task: Task) -> None:
        super().__init__(LearnerOptions(kind="online"), task)


class ChangedByPredicting(Sound):
    """A predictor that learns what it is asked."""

    def predictor(self) -> Predictor:
        learner = self

        class Greedy:
            def predict(self, features: Features) -> Predictions:
                answer = learner._model.predict(features)
                learner._model._encoder.learn({"number\0price": 1e9})
                return answer

        return Greedy()


class Unnormalised(Sound):
    """Probabilities that do not sum to 1, values that are not finite."""

    def predictor(self) -> Predictor:
        predict = super().predictor().predict

        class Loose:
            def predict(self, features: Features) -> Predictions:
                found = predict(features)
                if found.probabilities is not None:
                    return replace(found, probabilities=found.probabilities * np.float32(0.9))
                return replace(found, values=np.full(len(features), np.inf))

        return Loose()


class Aliased(Sound):
    """A state whose arrays are those that later updates write to."""

    _handed_out: dict[str, Any]

    def state(self) -> LearnerState:
        state = super().state()
        self._handed_out = dict(state.arrays)
        return state

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:
        for array in getattr(self, "_handed_out", {}).values():
            array.flat[:1] += 1
        return super().learn(examples, effort)


class Forgetful(Sound):
    """One that forgets its scores when it is restored."""

    def restore(self, state: LearnerState) -> None:
        super().restore(state)
        self._evaluation = Sound(self.task)._evaluation


class Credulous(Sound):
    """One that takes any state for its own."""

    def restore(self, state: LearnerState) -> None:
        super().restore(LearnerState({**self.state().meta, "evaluation": state.meta["evaluation"]}, state.arrays))


class Restless(Sound):
    """A layout that is announced anew each time."""

    def published(self, *, flush: bool = False) -> Published:
        found = super().published(flush=flush)
        return replace(found, spec=dict(found.spec))


class Late(Sound):
    """One that never says that anything changed."""

    def published(self, *, flush: bool = False) -> Published:
        return replace(super().published(flush=flush), changed={})


class Stale(Sound):
    """One that publishes what it was at first."""

    _first: Published | None = None

    def published(self, *, flush: bool = False) -> Published:
        self._first = self._first or super().published(flush=flush)
        return self._first

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:
        self.published()
        return super().learn(examples, effort)


class Heedless(Sound):
    """One to which all rows weigh the same."""

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:
        return super().learn(replace(examples, weights=np.ones_like(examples.weights)), effort)


class Positional(Sound):
    """One that knows columns by their place."""

    @staticmethod
    def _numbered(features: Features) -> Features:
        keys = tuple(key._replace(name=str(place)) for place, key in enumerate(features.keys))
        return replace(features, keys=keys)

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:
        return super().learn(replace(examples, features=self._numbered(examples.features)), effort)

    def predictor(self) -> Predictor:
        predict, numbered = super().predictor().predict, self._numbered

        class Numbered:
            def predict(self, features: Features) -> Predictions:
                return predict(numbered(features))

        return Numbered()


class Idle(Sound):
    """One that never learns."""

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:
        return super().learn(replace(examples, weights=examples.weights * np.float32(1e-30)), effort)


class Absentminded(Sound):
    """One that loses rows."""

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:
        return super().learn(examples.slice(0, 30), effort)


class Moody(Sound):
    """One whose parameters depend on chance."""

    _chance = 0

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:
        Moody._chance += 1
        return super().learn(replace(examples, weights=examples.weights * np.float32(Moody._chance)), effort)


class Hasty(Sound):
    """One that saves work by leaving rows out."""

    def learn(self, examples: Examples, effort: Effort = FULL) -> LearnReport:
        return super().learn(examples.slice(0, len(examples) // effort.step), effort)


class Overflowing(Sound):
    """One that does not bound what it is given."""

    def predictor(self) -> Predictor:
        predict = super().predictor().predict

        class Unbounded:
            def predict(self, features: Features) -> Predictions:
                found = predict(features)
                huge = bool(np.nan_to_num(np.abs(features.numbers)).max(initial=0) > 1e300)
                answer = found.values if found.probabilities is None else found.probabilities
                if huge and answer is not None:
                    answer[:] = np.inf
                return found

        return Unbounded()


CASES = [
    (ChangedByPredicting, "predicting_is_pure"),
    (Unnormalised, "predictions_are_sound"),
    (Aliased, "state_is_a_copy"),
    (Forgetful, "restored_goes_on_exactly"),
    (Credulous, "foreign_state_is_refused"),
    (Restless, "published_spec_is_stable"),
    (Late, "published_follows_in_place"),
    (Stale, "published_is_predictor"),
    (Heedless, "weight_zero_teaches_nothing"),
    (Positional, "order_of_columns_means_nothing"),
    (Positional, "new_feature_later"),
    (Idle, "it_learns"),
    (Absentminded, "learn_reports_counts"),
    (Moody, "same_seed_same_parameters"),
    (Moody, "efforts_are_followed_exactly"),
    (Hasty, "each_effort_takes_each_row_once"),
    (Overflowing, "extremes_stay_finite"),
]


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize(("broken", "name"), CASES, ids=[f"{case[0].__name__}-{case[1]}" for case in CASES])
def test_a_broken_learner_is_found(broken: Callable[[Task], Sound], name: str, task: Task) -> None:
    """A check would pass whatever the learner does."""
    wanted = f"check_{name}"
    (check,) = (check for check in checks.CHECKS if check.__name__ == wanted)
    check(lambda: Sound(task))
    with pytest.raises(AssertionError):
        check(lambda: broken(task))
