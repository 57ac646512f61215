"""What the canary thinks of parameters: sound, broken, or not to be told yet."""

from collections.abc import Sequence

import numpy as np
import pytest

from models.examples import MOST_CELLS, Examples, FeatureKey, Features, Kind, Label
from models.learner import Predictions, Trial
from service.repair.canary import Canary
from service.repair.canary_loss import loss_of, loss_of_knowing_nothing
from service.settings.canary import CanarySettings

SETTINGS = CanarySettings(every_updates=2, window=16, worse_by=2.0, share=None)


def examples(labels: Sequence[Label], weights: Sequence[float] | None = None) -> Examples:
    """Return rows whose one feature is their place."""
    rows = len(labels)
    features = Features(rows, (FeatureKey("x", Kind.NUMBER),), np.arange(rows, dtype=np.float64)[:, None])
    given = np.ones(rows) if weights is None else np.asarray(weights)
    return Examples(features, list(labels), given.astype(np.float32), np.full(rows, np.nan))


class Says:
    """Answers the same whatever it is asked: probabilities of some classes, or one number."""

    name = "microbatch"

    def __init__(self, said: dict[Label, float] | float, *, finite: bool = True) -> None:
        self._said = said
        self._finite = finite

    def predict(self, features: Features) -> Predictions:
        if isinstance(self._said, dict):
            row = np.array(list(self._said.values()), np.float32)
            return Predictions(tuple(self._said), np.tile(row, (len(features), 1)))
        return Predictions(values=np.full(len(features), self._said))

    def try_out(self, features: Features, at_once: int = 0) -> Trial:
        del at_once
        return Trial(self.predict(features), self._finite)


def verdict(canary: Canary, learner: Says) -> str:
    return canary.look(learner).verdict  # type: ignore[arg-type] # as much of a learner as a canary asks


def test_losses_are_what_they_are_called() -> None:
    """Everything else here would be compared by some other number."""
    rows = examples(["a", "b"], [3.0, 1.0])
    said = Says({"a": 0.5, "b": 0.25}).predict(rows.features)
    assert loss_of(said, rows) == pytest.approx((3 * np.log(2) + np.log(4)) / 4)
    assert loss_of(Says(1.0).predict(rows.features), examples([1.0, 5.0])) == pytest.approx(np.sqrt(8))
    unknown = loss_of(Says({"b": 1.0}).predict(rows.features), examples(["a", "a"]))
    assert unknown == pytest.approx(-np.log(1e-6))
    assert loss_of_knowing_nothing(rows, classes=4) == pytest.approx(np.log(4))
    assert loss_of_knowing_nothing(examples([1.0, 5.0]), classes=0) == pytest.approx(2.0)


def test_one_and_true_are_two_classes() -> None:
    """A learner that takes them apart would be taken for a broken one."""
    rows = examples([True, 1])
    predictions = Predictions((1, True), np.array([[0.0, 1.0], [1.0, 0.0]], np.float32))
    assert loss_of(predictions, rows) == pytest.approx(0.0)


def test_what_is_not_finite_is_found_at_once() -> None:
    """A learner that breaks in its first minute would be served."""
    canary = Canary(SETTINGS)
    assert verdict(canary, Says({"a": 1.0}, finite=False)) == "bad"
    assert verdict(canary, Says({"a": 1.0})) == "unknown"


def test_few_events_and_events_without_weight_say_nothing() -> None:
    """A learner would be condemned for a handful of hard events."""
    canary = Canary(SETTINGS)
    canary.remember(examples(["a"] * 3), 1.0)
    assert verdict(canary, Says({"a": 0.001, "b": 0.999})) == "unknown"
    canary = Canary(SETTINGS)
    canary.remember(examples(["a"] * 16, [0.0] * 16), 1.0)
    assert verdict(canary, Says({"a": 0.001, "b": 0.999})) == "unknown"


def test_it_compares_with_the_checkpoint_on_the_same_events() -> None:
    """A stream that becomes hard would be taken for a broken learner, or a broken learner for a hard stream."""
    canary = Canary(SETTINGS)
    canary.remember(examples(["a", "b"] * 8), 1.0)
    good, poor = Says({"a": 0.5, "b": 0.5}), Says({"a": 0.9999, "b": 0.0001})
    assert verdict(canary, good) == "good"
    assert verdict(canary, poor) == "bad", "much worse than who knows nothing"
    assert "knowing nothing" in canary.found.reason
    assert canary.is_better(good)  # type: ignore[arg-type] # as above
    assert not canary.is_better(poor)  # type: ignore[arg-type] # as above
    canary.trust(poor)
    assert verdict(canary, poor) == "good", "it cannot be helped: the checkpoint is as wrong"
    sure = Says({"a": 0.98, "b": 0.02})
    canary.remember(examples(["a"] * 16), 1.0)
    canary.trust(sure)
    assert verdict(canary, good) == "bad"
    assert verdict(canary, Says({"a": 0.95, "b": 0.05})) == "good", "small losses multiply easily"


def test_numbers_are_compared_in_their_own_unit() -> None:
    """Regression would have no canary, or one that screams at a shift of all labels."""
    canary = Canary(SETTINGS)
    canary.remember(examples([100.0, 110.0] * 8), 1.0)
    canary.trust(Says(104.0))
    assert verdict(canary, Says(107.0)) == "good"
    assert verdict(canary, Says(1000.0)) == "bad"
    canary.remember(examples([500.0, 510.0] * 8), 1.0)
    assert verdict(canary, Says(300.0)) == "good", "both are wrong about a stream that has moved"


def test_the_online_learner_only_has_to_be_finite() -> None:
    """It would be thrown back for following the last few events, which is what it is for."""
    canary = Canary(SETTINGS)
    canary.remember(examples(["a"] * 16), 1.0)
    canary.trust(Says({"a": 1.0}))
    online = Says({"a": 0.0, "b": 1.0})
    online.name = "online"
    assert verdict(canary, online) == "good"
    broken = Says({"a": 1.0}, finite=False)
    broken.name = "online"
    assert verdict(canary, broken) == "bad"


def test_it_looks_when_due_and_no_more_than_it_may_cost() -> None:
    """Looking would take more time than learning where microbatches are small, or never be done."""
    canary = Canary(SETTINGS)
    due = []
    for _ in range(4):
        canary.remember(examples(["a"]), 0.0)
        due.append(canary.is_due)
        if due[-1]:
            verdict(canary, Says({"a": 1.0}))
    assert due == [False, True, False, True]
    thrifty = Canary(SETTINGS.model_copy(update={"share": 0.5}))
    verdict(thrifty, Says({"a": 1.0}))
    for _ in range(4):
        thrifty.remember(examples(["a"]), 0.0)
    assert not thrifty.is_due, "looking has cost something, and learning nothing yet"
    thrifty.remember(examples(["a"]), 1000.0)
    assert thrifty.is_due


def test_events_with_little_in_common_are_not_joined() -> None:
    """The held window would be a matrix of gigabytes while a flood of names comes."""
    held = Canary(CanarySettings(window=512))
    for turn in range(512):
        keys = tuple(FeatureKey(f"{turn}-{place}", Kind.NUMBER) for place in range(1000))
        one = Features(1, keys, np.ones((1, 1000)))
        held.remember(Examples(one, ["up"], np.ones(1, np.float32), np.zeros(1)), 0.0)
    events = held._events()
    assert events.features.keys[-1].name == "511-999"
    assert 10 < len(events) < 512
    assert events.features.numbers.size <= MOST_CELLS
