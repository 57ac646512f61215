"""What was answered, read off events: columns by the names of classes, and what is none."""

import json
from typing import Any

import numpy as np
import pytest

from models.answered import UNANSWERED
from service.decoding.answer_columns import answers_in
from service.decoding.extent import TooWide
from service.events import EventDecoder
from service.replaying.message_forms import body_of
from service.settings.event_options import EventOptions
from tests.support.events import ARROW, decode, reasons, record

GOOD: dict[str, Any] = {"features": {"price": 3.2}, "label": "late"}
SURE = {"model_version": 412, "probabilities": {"late": 0.8125, "on-time": 0.1875}}


def asked(prediction: Any) -> dict[str, Any]:
    """Return an event of which something was answered."""
    return {**GOOD, "prediction": prediction}


def test_answers_come_with_their_rows() -> None:
    """An event would be scored by what was answered to another."""
    other = {"model_version": 7, "probabilities": {"on-time": 0.5, "lost": 0.25, "late": 0.25}}
    answered = decode(GOOD, asked(SURE), asked(None), asked(other), asked({"model_version": 0, "value": -2})).examples
    found = answered.answered
    assert found is not None
    assert found.versions.tolist() == [UNANSWERED, 412, UNANSWERED, 7, 0]
    assert found.classes == ("late", "on-time", "lost")
    assert found.probabilities.tolist() == [[0, 0, 0], [0.8125, 0.1875, 0], [0, 0, 0], [0.25, 0.5, 0.25], [0, 0, 0]]
    assert found.values.tolist()[4] == -2
    assert np.isnan(found.values[:4]).all()
    assert decode(GOOD, GOOD).examples.answered is None


def test_a_class_that_an_answer_did_not_name_may_be_null() -> None:
    """Streams of columns, which have a place for every class in every row, could not carry answers."""
    answers = [SURE, {"model_version": 1, "probabilities": {"lost": 1.0}}]
    events = [json.dumps(asked(each)).encode() for each in answers]
    stream = record(body_of(events, "arrow"), headers=ARROW)
    for found in (EventDecoder(EventOptions(), {}).decode([stream]), decode(*map(asked, answers))):
        assert found.examples.answered is not None
        assert not found.rejected
        shares = found.examples.answered.columns_of(["late", "on-time", "lost"])
        assert shares.tolist() == [[0.8125, 0.1875, 0], [0, 0, 1]]


def test_a_flat_event_says_where_it_is() -> None:
    """A topic of flat events could not be scored on what was answered; or the answer would become features."""
    options = EventOptions(format="flat", label="late", prediction="meta.said")
    event = {"price": 1, "late": True, "meta": {"said": {"model_version": 3, "value": 2.5}, "shop": "a"}}
    examples = decode(event, event, options=options).examples
    assert examples.answered is not None
    assert examples.answered.values.tolist() == [2.5, 2.5]
    assert [key.name for key in examples.features.keys] == ["price"]
    assert list(examples.features.categories) == ["meta.shop"]


@pytest.mark.parametrize(
    "prediction",
    [
        {"model_version": -1, "value": 1},
        {"model_version": 2**63, "value": 1},
        {"model_version": 1.5, "value": 1},
        {"model_version": True, "value": 1},
        {"model_version": 1, "value": "much"},
        {"model_version": 1, "value": 10**400},
        {"model_version": 1, "probabilities": [0.5, 0.5]},
        {"model_version": 1, "probabilities": {"late": 1.5}},
        {"model_version": 1, "probabilities": {"late": -0.1}},
        {"model_version": 1, "probabilities": {"late": [0.5]}},
        {"model_version": 1, "probabilities": {"l" * 1001: 0.5}},
        {"model_version": 1, "probabilities": {str(number): 0 for number in range(10_001)}},
    ],
    ids=lambda each: str(each)[:40],
)
def test_what_cannot_be_scored_is_refused_with_what_to_do(prediction: Any) -> None:
    """The score would be of something that nobody answered, and nobody would be told."""
    decoded = decode(GOOD, asked(prediction), asked(SURE))
    assert reasons(decoded) == [(1, 0, "prediction")]
    assert "leave it out" in decoded.rejected[0].detail
    assert decoded.examples.answered is not None
    assert decoded.examples.answered.versions.tolist() == [UNANSWERED, 412]


@pytest.mark.parametrize("prediction", [0.7, "late", [1], {}, {"late": 0.5}, {"model_version": 5}, None])
def test_what_says_nothing_of_ours_is_not_looked_at(prediction: Any) -> None:
    """A producer whose events always had a field of that name would see all of them refused."""
    decoded = decode(asked(prediction))
    assert reasons(decoded) == []
    assert decoded.examples.answered is None


def test_answers_of_another_model_are_nothing_to_this_one() -> None:
    """A model that learns an old topic anew would have the score of the one that had its name."""
    ours, others = {**SURE, "of_model": "this"}, {**SURE, "of_model": "that"}
    found, bad = answers_in([ours, others, SURE, {**SURE, "of_model": ["this"]}], "this")
    assert found is not None
    assert found.versions.tolist() == [412, UNANSWERED, 412, UNANSWERED]
    assert not bad
    anybody, _ = answers_in([ours, others])
    assert anybody is not None
    assert anybody.versions.tolist() == [412, 412]


def test_a_flood_of_made_up_classes_takes_no_room() -> None:
    """A megabyte of answers that each name another class would become gigabytes."""
    column = [{"model_version": 1, "probabilities": {f"{row}": 1.0}} for row in range(10_000)]
    with pytest.raises(TooWide):
        answers_in(column)
    decoded = decode(*(asked(each) for each in column[:50]))
    assert decoded.examples.answered is not None
    assert decoded.examples.answered.probabilities.sum() == 50
