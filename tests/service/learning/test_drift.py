"""Drift through a whole trainer: counted once in state and metrics, whatever dies, and what is configured follows."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from consumers.errors import PositionLost
from consumers.source import NewRecord
from consumers.testing import Mark, MemorySource
from models.drift_options import DriftOptions, Reaction
from service.config import ModelSettings
from service.learning.count import Count
from service.learning.totals import Totals
from tests.support.training import events, learned, open_model, running, same_state, settings

BEFORE, AFTER = 640, 320
SWAPPED = {"up": "down", "down": "up"}


def turned(event: bytes) -> bytes:
    """Return an event of the opposite concept."""
    content = json.loads(event)
    return json.dumps(content | {"label": SWAPPED[content["label"]]}).encode()


STREAM = [*events(BEFORE), *map(turned, events(AFTER, first=BEFORE))]


def test_it_shows_when_the_stream_drifted(tmp_path: Path) -> None:
    """Nobody would learn that the concept changed, nor when."""
    with running(open_model(settings(tmp_path), MemorySource({0: list(STREAM)}))) as run:
        status = run.wait_for(learned(BEFORE + AFTER))
        status = run.wait_for(lambda status: status.state == "idle")
    assert status.drift >= 1
    assert status.last_drift is not None
    assert BEFORE < status.last_drift.events_learned <= BEFORE + AFTER
    assert status.last_drift.noticed_at is not None
    assert status.last_drift.noticed_at <= status.written_at


@pytest.mark.parametrize("react", ["none", "reset", "background"])
def test_a_crash_neither_loses_a_drift_nor_counts_it_twice(tmp_path: Path, react: Reaction) -> None:
    """After a restart drift_total would be another one, or a reaction would give other parameters."""
    # No checkpoint but the one at the end, which a crash does not reach: everything must come from the journal.
    chosen = settings(tmp_path, checkpoint={"every_seconds": 1000}, drift={"react": react})
    stream: list[bytes | NewRecord | Mark] = [*STREAM, Mark(PositionLost("gone"))]
    with running(open_model(chosen, MemorySource({0: stream}))) as run, pytest.raises(PositionLost):
        run.wait_for(learned(10**6))
    crashed = run.trainer.training
    assert crashed.totals.drift >= 1
    model = open_model(chosen, MemorySource({0: list(STREAM)}))
    recovered = model.recovery().run()
    try:
        assert recovered.lane.learner is not None
        assert same_state(recovered.lane.learner.state(), crashed.learner.state())
        assert recovered.lane.count == crashed.lane.count
        assert (recovered.totals.drift, recovered.totals.drifted_at) == (
            crashed.totals.drift,
            crashed.totals.drifted_at,
        )
    finally:
        recovered.lane.close()
        model.close()
        model.lease.release()


def test_the_counter_never_goes_back() -> None:
    """A rollback, or another learner while the device is out of order, would make the metric's rate a lie."""
    totals, count = Totals(), Count(learned=100).drifted(2)
    totals.follow(count)
    totals.drift_noticed_at = 5.0
    totals.follow(Count(learned=300))
    assert (totals.drift, totals.drifted_at, totals.drift_noticed_at) == (2, 100, 5.0)
    again = Totals.from_json(json.loads(json.dumps(totals.to_json())))
    assert again.to_json() == totals.to_json()
    assert Count.from_json(json.loads(json.dumps(count.to_json()))) == count
    before = {name: value for name, value in count.to_json().items() if name not in ("drift", "drifted_at")}
    assert Count.from_json(before).drift == 0, "a checkpoint of before there was a watch is read"


def test_the_settings_say_what_is_done() -> None:
    """A misspelt reaction would be found out by the first drift."""
    assert ModelSettings().drift.options() == DriftOptions("adwin", "auto")
    chosen = ModelSettings.model_validate({"drift": {"detector": "page-hinkley", "react": "background"}})
    assert chosen.drift.options() == DriftOptions("page-hinkley", "background")
    for wrong in ({"detector": "ddm"}, {"react": "mixture"}, {"reaction": "reset"}):
        with pytest.raises(ValidationError, match=r"'adwin', 'page-hinkley' or 'none'|'auto', 'none'|not permitted"):
            ModelSettings.model_validate({"drift": wrong})
