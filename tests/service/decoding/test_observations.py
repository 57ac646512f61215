"""Observations and labels that come apart: rows of their own where they are to be joined."""

import json
from typing import Any

import pyarrow as pa
import pytest

from service.events import EventDecoder
from service.settings.event_options import EventOptions
from tests.support.events import ARROW, ENVELOPE, NDJSON, arrow_stream, record, records


@pytest.mark.parametrize("form", ["json", "lines", "arrow"])
@pytest.mark.parametrize("flat", [False, True])
def test_labels_and_observations_are_of_use_where_they_are_joined(flat: bool, form: str) -> None:
    """Fails when a label is taken for an example of nothing, or what has no id to be joined by is let through."""
    both, observed = {"id": "a", "x": 1.5, "label": "late"}, {"id": "b", "x": 2.5}
    events: list[dict[str, Any]] = [both, observed, {"id": "b", "label": "late"}, {"x": 3.5}, {"label": "late", "x": 4}]
    options = EventOptions(format="flat", label="label", id="id") if flat else ENVELOPE
    if not flat:
        events = [
            {name: value for name, value in event.items() if name != "x"}
            | ({"features": {"x": event["x"]}} if "x" in event else {})
            for event in events
        ]
    decoder = EventDecoder(options, {}, joined=True)
    for _ in range(2):  # one by one, and then many at once
        if form == "lines":
            given = [record(b"\n".join(json.dumps(event).encode() for event in events), headers=NDJSON)]
        elif form == "arrow":
            given = [record(arrow_stream(pa.Table.from_pylist(events)), headers=ARROW)]
        else:
            given = records(*events)
        decoded = decoder.decode(given)
        examples = decoded.examples
        assert list(examples.labels) == ["late", None, "late", "late"]
        assert examples.labelled is not None
        assert examples.labelled.tolist() == [True, False, True, True]
        assert examples.featured is not None
        assert examples.featured.tolist() == [True, True, False, True]
        assert examples.features.numbers[[0, 1, 3], 0].tolist() == [1.5, 2.5, 4]
        assert examples.ids is not None
        names = [tuple(words) for words in examples.ids.tolist()]
        assert names[1] == names[2] != names[0]
        assert names[3] == (0, 0)
        assert (decoded.events, decoded.unlabelled, decoded.rejected) == (5, 1, [])
