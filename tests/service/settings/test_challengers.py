"""Challengers in the configuration: what cannot be a contest stops at start-up, and says what would be right."""

from typing import Any

import pytest
from pydantic import ValidationError

from models.contest_rules import FIRST
from service.settings.challengers import MOST
from service.settings.sections import ModelSettings

WIDE = {"learner": {"kind": "mlp", "network": {"hidden": [64]}}}


def test_a_contest_is_built_from_what_is_configured() -> None:
    """Challengers would learn with other settings than those that were given."""
    given = {
        "key": "station",
        "learner": {"kind": "linear"},
        "challengers": {"wide": WIDE, "keyed": {"key": "city", "learner": {"kind": "linear"}}},
        "contest": {"promote": "when-significant", "hold_seconds": 60, "answers": {"wide": 0.1, FIRST: 0.2}},
    }
    found = ModelSettings.model_validate(given)
    assert list(found.contenders) == [FIRST, "wide", "keyed"]
    assert [each.key for each in found.contenders.values()] == ["station", "", "city"]
    assert found.contenders["wide"].network == {"hidden": [64]}
    rules = found.contest.rules()
    assert (rules.promote, rules.hold_seconds, rules.answers) == (
        "when-significant",
        60.0,
        {"wide": 0.1, FIRST: 0.2},
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"challengers": {FIRST: WIDE}}, "take another name"),
        ({"challengers": {"Wide!": WIDE}}, "pattern"),
        ({"challengers": {f"c{number}": WIDE for number in range(MOST + 1)}}, f"{MOST} at most"),
        ({"challengers": {"wide": {"learner": {"kind": "nothing"}}}}, "must be one of"),
        ({"challengers": {"wide": {"learner": {"loss": "mse"}}}, "task": "binary"}, "challengers.wide: learner.loss"),
        ({"contest": {"answers": {"nobody": 0.5}}}, "no challenger nobody"),
        ({"challengers": {"wide": WIDE}, "contest": {"answers": {"wide": 0.8, FIRST: 0.3}}}, "more than 1"),
        ({"contest": {"measure": "error"}}, "set task"),
        ({"contest": {"measure": "error"}, "task": "regression"}, "absolute_error"),
        ({"contest": {"level": 0}}, "greater than 0"),
        ({"contest": {"promote": "soon"}}, "by-hand"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    """It would be found out after the first label, by a trainer that dies."""
    with pytest.raises(ValidationError, match=message):
        ModelSettings.model_validate(given)
