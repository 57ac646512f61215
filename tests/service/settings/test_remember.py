"""Which models may be told to remember predictions."""

from typing import Any

import pytest
from pydantic import ValidationError

from service.settings.sections import ModelSettings


def test_nothing_is_remembered_unless_it_is_asked_for() -> None:
    """An upgrade would write every prediction that has an id into the log."""
    assert ModelSettings().remember == "none"


@pytest.mark.parametrize("options", [{}, {"id": "a"}, {"prediction": "p"}, {"id": "$key"}])
def test_a_flat_event_must_have_places_for_what_is_remembered(options: dict[str, Any]) -> None:
    """Observations would be written that nobody could read back, and no label be joined."""
    events = {"format": "flat", "label": "late", **options}
    with pytest.raises(ValidationError, match=r"set events\.(id|prediction)"):
        ModelSettings.model_validate({"remember": "log", "events": events})


@pytest.mark.parametrize("name", ["a", "$key"])
def test_with_places_it_may_be_flat(name: str) -> None:
    """Those whose topic knows nothing of Headrace could not have their predictions scored."""
    events = {"format": "flat", "label": "late", "id": name, "prediction": "_answered"}
    assert ModelSettings.model_validate({"remember": "log", "events": events}).events.prediction == "_answered"
    assert ModelSettings.model_validate({"remember": "log", "events": {"id": "$key"}}).remember == "log"


def test_what_is_remembered_must_be_joined() -> None:
    """Every prediction would be written into the log, and nothing come of it."""
    with pytest.raises(ValidationError, match=r"join\.enabled"):
        ModelSettings.model_validate({"remember": "log", "join": {"enabled": False}})
