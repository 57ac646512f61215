"""A model's state watched from outside: the score that is shown, and the wait until all is learned."""

from typing import Any

import pytest

from service.errors import DeliveryFailed
from service.monitoring.live_state import LiveState, describe, headline
from tests.support.answering import Answer, answering

CLASSES = {"scores": {"stream": {"accuracy": 0.9, "majority_accuracy": 0.6, "no_change_accuracy": None, "loss": 0.2}}}
NUMBERS = {"scores": {"stream": {"mae": 12.5, "mean_mae": 40.0, "no_change_mae": 3.25, "rmse": 20.0}}}


@pytest.mark.parametrize(
    ("state", "words", "numbers"),
    [
        (CLASSES, "accuracy 0.9000 (majority class 0.6000)", {"accuracy": 0.9, "majority_accuracy": 0.6}),
        (
            NUMBERS,
            "mae 12.50 (mean 40.00, last value 3.2500)",
            {"mae": 12.5, "mean_mae": 40.0, "no_change_mae": 3.25},
        ),
        ({}, "no score yet", {}),
        ({"scores": {"stream": {"accuracy": None}}}, "no score yet", {}),
    ],
)
def test_a_score_is_shown_with_its_baselines(state: dict[str, Any], words: str, numbers: dict[str, float]) -> None:
    """A score without its baseline would impress where it should not."""
    assert describe(state) == words
    assert headline(state) == numbers


def test_the_state_is_kept_while_the_server_is_away() -> None:
    """A restart of the server would end a replay, or reset what is known."""
    answers = iter([Answer(200, {"events_consumed": 3})])
    with answering(lambda _: next(answers, Answer(503))) as server, LiveState(server.url) as live:
        live.wait_for(3, lambda _: None)
        while len(server.asked) < 3:
            pass
        assert live.consumed == 3


def test_a_trainer_that_stands_still_is_told_with_its_last_error() -> None:
    """Whoever waits for a trainer that died would wait for ever, and not learn why."""
    state = {
        "events_consumed": 3,
        "state": "stopped",
        "errors": [{"at": 0, "message": "old"}, {"at": 1, "message": "why"}],
    }
    with (
        answering(lambda _: Answer(200, state)) as server,
        LiveState(server.url) as live,
        pytest.raises(DeliveryFailed, match=r"7 of them are not learned.*stopped: why"),
    ):
        live.wait_for(10, lambda _: None, patience=0.3)
