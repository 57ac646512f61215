"""Options that would be ignored, or that contradict each other, are refused at start-up."""

from typing import Any

import pytest
from pydantic import ValidationError

from models.examples import Kind
from service.settings.event_options import EventOptions


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"format": "flat"}, "needs `label`"),
        ({"format": "csv"}, "envelope"),
        ({"label": "y"}, "set format: flat"),
        ({"timestamp": "t"}, "set format: flat"),
        ({"id": "x"}, r"\$key"),
        ({"format": "flat", "label": "$key"}, r"only `id` may be \$key"),
        ({"format": "flat", "label": "y", "weight": "y"}, "different fields"),
        ({"format": "flat", "label": ""}, "at least 1"),
        ({"features": {"a": "colour"}}, "category"),
        ({"exlude": ["a"]}, "not permitted"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], says: str) -> None:
    """Fails when a mistake in the configuration is found out only by what is learned."""
    with pytest.raises(ValidationError, match=says):
        EventOptions(**options)


def test_good_options_are_taken() -> None:
    """Fails when the contract's own example is refused."""
    options = EventOptions.model_validate(
        {"format": "flat", "label": "order.late", "id": "$key", "timestamp": "at", "features": {"a": "number"}}
    )
    assert options.features == {"a": Kind.NUMBER}
    assert EventOptions(id="$key").format == "envelope"
