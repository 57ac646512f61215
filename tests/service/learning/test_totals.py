"""Counters that double or go back make every dashboard a liar."""

import json

from service.learning.totals import Totals


def test_an_event_that_two_learners_learn_counts_once() -> None:
    """If this fails, events_learned_total counts the events of a device failure twice."""
    totals = Totals()
    totals.reached("microbatch", 100, 110)
    totals.reached("online", 150, 165)
    totals.reached("microbatch", 120, 130)  # catching up: behind what was served
    assert totals.events_learned == {"microbatch": 100, "online": 50}
    totals.reached("microbatch", 170, 190)
    assert totals.events_learned == {"microbatch": 120, "online": 50}
    assert totals.events_consumed == 190
    assert totals.served == 170


def test_it_survives_a_checkpoint() -> None:
    """If this fails, counters start anew with every restart."""
    totals = Totals()
    totals.reached("microbatch", 7, 9)
    totals.updated("microbatch", 7)
    totals.fallbacks = 2
    again = Totals.from_json(json.loads(json.dumps(totals.to_json())))
    assert again.to_json() == totals.to_json()
    assert again.histograms["microbatch_events"].count == 1
