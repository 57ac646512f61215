"""A key is a feature's name, or a section of its own; what cannot have one says so."""

from typing import Any

import pytest
from pydantic import ValidationError

from service.settings.sections import ModelSettings


def test_a_name_alone_is_a_key() -> None:
    """``key: station`` is what people write first."""
    learner = ModelSettings.model_validate({"key": "station"}).learner
    assert (learner.key, learner.keys, learner.spilled_keys) == ("station", 10_000, 1_000_000)


def test_how_many_keys_there_are_is_a_setting() -> None:
    """Bounds would be checked, and then not heeded."""
    chosen = ModelSettings.model_validate({"key": {"feature": "station", "most": 7, "spilled": 0}})
    assert (chosen.learner.keys, chosen.learner.spilled_keys) == (7, 0)
    assert ModelSettings.model_validate(chosen.model_dump()) == chosen


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"key": {"feature": "station", "most": 0}}, "greater than or equal to 1"),
        ({"key": {}}, "Field required"),
        ({"key": "station", "learner": {"kind": "online"}}, "no small models"),
        ({"learner": {"key": "station"}}, r"models\.NAME\.key"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any], message: str) -> None:
    """A key would be ignored without a word."""
    with pytest.raises(ValidationError, match=message):
        ModelSettings.model_validate(wrong)
