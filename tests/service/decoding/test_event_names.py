"""Digests of ids and sources: the same for the same event whatever way it came, others for other events."""

import json

import pytest

from consumers.source import StoredRecord
from service.events import EventDecoder
from service.settings.event_options import EventOptions
from tests.support.events import NDJSON, record


def ids(options: EventOptions, *records: StoredRecord) -> list[list[int]]:
    """Return the digests of the examples' ids."""
    found = EventDecoder(options, {}).decode(records).examples.ids
    assert found is not None
    return [list(map(int, row)) for row in found]


def event(name: object, feature: object = 1.0) -> bytes:
    """Return an event of this id."""
    return json.dumps({"id": name, "features": {"x": feature}, "label": "a"}).encode()


def test_nobody_pays_for_what_nobody_asked_for() -> None:
    """Every event would be hashed though no window is kept."""
    examples = EventDecoder(EventOptions(), {}).decode([record(event("a"), 0)]).examples
    assert examples.ids is None
    assert examples.sources is None


def test_an_id_is_the_same_in_every_message() -> None:
    """A retry in another shape would be learned twice."""
    options = EventOptions(dedup_window=10)
    alone = ids(options, record(event("a"), 0))
    lines = ids(options, record(event("b") + b"\n" + event("a", "text"), 7, headers=NDJSON))
    array = ids(options, record(b"[" + event("a", [1.0]) + b"]", 3))
    assert alone[0] == lines[1] == array[0] != lines[0]


def test_no_id_is_no_digest_and_a_number_is_no_text() -> None:
    """Events without an id would be duplicates of each other, and 7 of "7"."""
    found = ids(EventOptions(dedup_window=10), *(record(event(name), i) for i, name in enumerate([None, 7, "7"])))
    assert found[0] == [0, 0]
    assert found[1] != found[2]


def test_events_of_one_message_with_a_key_are_told_apart() -> None:
    """All but the first event of a message would be dropped where the record's key is the id."""
    options = EventOptions(id="$key", dedup_window=10)
    message = b"[" + event(None) + b"," + event(None) + b"]"
    first, second = ids(options, record(message, 0, key=b"k"))
    assert first != second
    assert ids(options, record(message, 5, key=b"k")) == [first, second]


def test_sources_are_read_off_keys_or_features() -> None:
    """One sender would be taken for many, or many for one."""
    for options, records in (
        (
            EventOptions(source="$key"),
            [record(event(1), 0, key=b"k"), record(event(1), 1), record(event(1), 2, key=b"k")],
        ),
        (EventOptions(source="x"), [record(event(1, "k"), 0), record(event(1, [2.0]), 1), record(event(1, "k"), 2)]),
    ):
        found = EventDecoder(options, {}).decode(records).examples.sources
        assert found is not None
        assert found[0] == found[2] != 0
        assert found[1] == 0


def test_a_window_needs_ids() -> None:
    """Duplicates would be learned though a window is configured."""
    with pytest.raises(ValueError, match="set `id`"):
        EventOptions(format="flat", label="y", dedup_window=10)
