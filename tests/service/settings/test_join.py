"""What may be said of the label join, and what is refused before anything runs."""

from typing import Any

import pytest
from pydantic import ValidationError

from service.config import ModelSettings
from service.settings.join import JoinSettings


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("90s", 90), ("1.5h", 5400), ("7d", 604_800), ("250ms", 0.25), ("30m", 1800), ("60", 60), (5, 5)],
)
def test_durations_are_read_as_they_are_written(given: object, seconds: float) -> None:
    """Labels would be waited for sixty times as long as somebody wrote."""
    assert JoinSettings.model_validate({"wait": given}).wait == seconds


@pytest.mark.parametrize(
    ("join", "task", "message"),
    [
        ({"wait": "soon"}, "binary", "no duration"),
        ({"wait": 0}, "binary", "greater than 0"),
        ({"on_timeout": "learn"}, "binary", "go together"),
        ({"default": False}, "binary", "go together"),
        ({"sample": 10}, "binary", "needs on_timeout: learn"),
        ({"max_age": 10, "wait": 20}, "binary", "at least wait"),
        ({"duplicates": "sum"}, "multiclass", "needs task: regression"),
        ({"on_timeout": "learn", "default": False}, "auto", "must be binary, multiclass or regression"),
        ({"on_timeout": "learn", "default": "none"}, "regression", "is no number"),
        ({"on_timeout": "learn", "default": 0.5}, "binary", "not a whole number"),
        ({"late": "dead-letter"}, "binary", "'count' or 'learn'"),
    ],
)
def test_what_makes_no_sense_is_refused(join: dict[str, Any], task: str, message: str) -> None:
    """A trainer would run for hours before anybody noticed that nothing is joined as it was meant."""
    with pytest.raises(ValidationError, match=message):
        ModelSettings.model_validate({"task": task, "join": join})


def test_a_default_is_a_label_of_the_task() -> None:
    """0 would be another class than 0.0, or no number."""
    settings = JoinSettings.model_validate({"on_timeout": "learn", "default": 0.0})
    assert repr(settings.default_for("binary")) == "0"
    assert repr(settings.default_for("regression")) == "0.0"
    assert JoinSettings.model_validate({"on_timeout": "learn", "default": True}).default_for("binary") is True


def test_a_learner_knows_how_its_stream_is_thinned_out() -> None:
    """Answers would be those of the thinned stream, the challengers' and those of a restart, too."""
    join = {"on_timeout": "learn", "default": False, "sample": 10}
    others = {"deep": {"learner": {"kind": "mlp"}}}
    settings = ModelSettings.model_validate({"task": "binary", "join": join, "challengers": others})
    assert {(each.thinned, each.thinned_label) for each in settings.contenders.values()} == {(10, False)}
    assert ModelSettings.model_validate(settings.model_dump()).learner == settings.learner
    numbers = ModelSettings.model_validate({"task": "regression", "join": join | {"default": 0}})
    assert numbers.learner.thinned == 1
    with pytest.raises(ValidationError, match=r"set models.NAME.join.sample"):
        ModelSettings.model_validate({"learner": {"thinned": 5, "thinned_label": False}})
