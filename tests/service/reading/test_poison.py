"""Poison of every kind through the whole reading loop: a letter each, with its bytes; its neighbours are learned."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from consumers.dead_letters import DeadLetters
from consumers.source import NewRecord, Position, StoredRecord
from consumers.testing import MemorySource
from models.examples import Task
from service.settings.event_options import EventOptions
from tests.support.reading import Outlet, dead_letters, read

GOOD = b'{"features": {"x": 1.0}, "label": "a"}'
MEGABYTE = "x" * 1_000_000
ARROW = (("content-type", b"application/vnd.apache.arrow.stream"),)
NDJSON = (("content-type", b"application/x-ndjson"),)


class Poison(NamedTuple):
    """A message that cannot be used.

    Attributes
    ----------
    value, headers
        What was sent.
    reason
        What the letter is to say.
    kept
        What the letter is to hold; None for all that was sent.
    learned
        Events of the message that are used all the same.
    """

    value: bytes
    reason: str
    headers: tuple[tuple[str, bytes], ...] = ()
    kept: bytes | None = None
    learned: int = 0


def event(**parts: object) -> bytes:
    return json.dumps({"features": {"x": 1.0}, "label": "a"} | parts).encode()


def arrow(rows: int, compression: str | None = None) -> bytes:
    """Return a stream of `rows` equal events."""
    table = pa.table({"features": pa.array([{"x": 0.0}] * rows), "label": ["a"] * rows})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def nested(opening: bytes, closing: bytes, depth: int = 200_000) -> bytes:
    return opening * depth + b"1" + closing * depth


POISON = {
    # Broken JSON.
    "cut": Poison(GOOD[:-9], "malformed"),
    "not UTF-8": Poison(b'{"features": {"x": "\xff\xfe"}, "label": "a"}', "malformed"),
    "half a surrogate pair": Poison(b'{"features": {"x": "\\ud800"}, "label": "a"}', "malformed"),
    "zeros": Poison(bytes(1000), "content_type"),
    "a byte order mark": Poison(b"\xef\xbb\xbf" + GOOD, "malformed"),
    "a cut array": Poison(b"[" + GOOD + b", " + GOOD[:-1], "malformed"),
    "a cut line": Poison(GOOD + b"\n" + GOOD[:-9] + b"\n" + GOOD, "malformed", NDJSON, GOOD[:-9], learned=2),
    "a cut Arrow stream": Poison(arrow(100)[:-200], "malformed", ARROW),
    # Wrong types.
    "a text": Poison(b'"features"', "not_an_event"),
    "a number": Poison(b"17", "not_an_event"),
    "null": Poison(b"null", "not_an_event"),
    "a number among events": Poison(b"[" + GOOD + b", 17]", "not_an_event", kept=b"17", learned=1),
    "features that are a list": Poison(event(features=[1]), "not_an_event"),
    "a feature of two kinds": Poison(event(features={"x": [1, "a"]}), "feature"),
    "a label that is an object": Poison(event(label={"a": 1}), "label"),
    "an id that is a list": Poison(event(id=[1]), "not_an_event"),
    "a weight that is a text": Poison(event(weight="much"), "weight"),
    "a weight below nothing": Poison(event(weight=-1), "weight"),
    "a time that is none": Poison(event(timestamp="yesterday"), "timestamp"),
    # Not finite.
    "NaN": Poison(b'{"features": {"x": NaN}, "label": "a"}', "malformed"),
    "infinity": Poison(b'{"features": {"x": -Infinity}, "label": "a"}', "malformed"),
    "a number beyond all": Poison(b'{"features": {"x": 1e999}, "label": "a"}', "malformed"),
    "a label beyond all": Poison(b'{"features": {"x": 1}, "label": 1e999}', "malformed"),
    # Nesting bombs.
    "lists in lists": Poison(nested(b"[", b"]"), "malformed"),
    "lists in a feature": Poison(b'{"features": {"x": ' + nested(b"[", b"]") + b'}, "label": "a"}', "malformed"),
    "objects in features": Poison(b'{"features": ' + nested(b'{"a":', b"}") + b', "label": "a"}', "malformed"),
    "lists where nobody looks": Poison(b'{"more": ' + nested(b"[", b"]") + b', "label": "a"}', "malformed"),
    "objects not quite too deep": Poison(
        b'{"features": ' + nested(b'{"a":', b"}", 900) + b', "label": "a"}', "feature"
    ),
    # Megabyte strings.
    "a long text": Poison(event(features={"x": MEGABYTE}), "feature"),
    "a long name": Poison(event(features={MEGABYTE: 1}), "feature"),
    "a long label": Poison(event(label=MEGABYTE), "label"),
    "a long id": Poison(event(id=MEGABYTE), "not_an_event"),
    "a long number": Poison(b'{"features": {"x": ' + b"1" * 1_000_000 + b'}, "label": "a"}', "malformed"),
    "many names": Poison(event(features={f"n{number}": 1 for number in range(50_000)}), "feature"),
    "a long list": Poison(event(features={"x": [1.0] * 200_000}), "feature"),
    "many events": Poison(b"[" + b",".join([b"{}"] * 300_000) + b"]", "malformed"),
    # Decompression bombs.
    "gzip": Poison(gzip.compress(bytes(20_000_000)), "malformed", (("content-encoding", b"gzip"),)),
    "compressed Arrow": Poison(arrow(500_000, "zstd"), "malformed", ARROW),
    # Nothing at all, or what nobody knows.
    "an empty value": Poison(b"", "malformed"),
    "blanks": Poison(b" \r\n\t ", "malformed"),
    "no lines": Poison(b"\n\n", "malformed", NDJSON),
    "an unknown type": Poison(b"\x00\x00\x00\x00\x01", "content_type", (("content-type", b"application/avro"),)),
}


@pytest.fixture
def table(tmp_path: Path) -> Iterator[DeadLetters]:
    opened = dead_letters(tmp_path)
    yield opened
    opened.close()


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON.keys())
def test_a_poison_message_costs_one_letter(table: DeadLetters, poison: Poison) -> None:
    """If this fails, one message ends the stream, costs its neighbours, or leaves nothing to look at or send again."""
    record = NewRecord(poison.value, b"the key", (*poison.headers, ("trace", b"\x01")))
    source = MemorySource({0: [GOOD, record, GOOD]})
    outlet = read(source, table, Outlet())
    assert outlet.labels == ["a"] * (2 + poison.learned)
    assert outlet.positions == {0: Position(3)}
    (kept,) = table.find()
    assert (kept.letter.offset, kept.letter.reason) == (1, poison.reason)
    assert kept.letter.value == (poison.value if poison.kept is None else poison.kept)
    assert (kept.letter.key, kept.letter.headers) == (b"the key", record.headers)
    assert 0 < len(kept.letter.detail) < 1000
    again = read(source, table, Outlet())
    assert again.labels == outlet.labels
    assert table.counts() == {poison.reason: 1}, "a restart finds it again and adds nothing"


def test_all_poison_at_once_costs_each_its_letter(table: DeadLetters) -> None:
    """If this fails, what one bad message does to decoding costs the next one, or a good one between them."""
    records: list[bytes | NewRecord] = []
    for poison in POISON.values():
        records += [GOOD, NewRecord(poison.value, None, poison.headers)]
    outlet = read(MemorySource({0: records}), table, Outlet(), pause_share=None)
    assert len(outlet.labels) == len(POISON) + sum(poison.learned for poison in POISON.values())
    found = [(each.letter.offset, each.letter.reason) for each in table.find()]
    assert found == [(2 * number + 1, poison.reason) for number, poison in enumerate(POISON.values())]


def test_a_tombstone_is_nothing(table: DeadLetters) -> None:
    """If this fails, each deleted key of a compacted topic is reported as poison."""
    source = MemorySource({0: [GOOD]})
    tombstone = StoredRecord(0, 1, 0, b"k", None)
    source._partitions[0].append(0, b"")
    source._partitions[0].items[-1] = tombstone
    outlet = read(source, table, Outlet())
    assert (outlet.labels, outlet.positions, table.find()) == (["a"], {0: Position(2)}, [])


def test_labels_against_the_task_are_letters(table: DeadLetters) -> None:
    """If this fails, one text among the numbers ends a regression."""
    values = [b'{"features": {"x": 1.0}, "label": %s}' % label for label in (b"1.5", b'"much"', b"2.5", b"true")]
    outlet = read(MemorySource({0: values}), table, Outlet(), task=Task.REGRESSION)
    assert outlet.labels == [1.5, 2.5]
    assert [(each.letter.value, each.letter.reason) for each in table.find()] == [
        (values[1], "label"),
        (values[3], "label"),
    ]


def test_poison_of_flat_events_is_kept_too(table: DeadLetters) -> None:
    """If this fails, topics in their own format end on what those in ours survive."""
    options = EventOptions(format="flat", label="y")
    good = b'{"x": 1.0, "y": "a"}'
    bad = [b'{"x": {"deep": ' + nested(b"[", b"]") + b'}, "y": "a"}', b'{"x": 1.0, "y": [1]}', b"[[]]"]
    outlet = read(MemorySource({0: [good, *bad, good]}), table, Outlet(), events=options, pause_share=None)
    assert outlet.labels == ["a", "a"]
    assert [each.letter.reason for each in table.find()] == ["malformed", "label", "not_an_event"]


def test_headers_do_not_multiply(table: DeadLetters, tmp_path: Path) -> None:
    """If this fails, a megabyte of headers on a message of many bad events becomes gigabytes of letters."""
    bad = b"[" + b",".join([b"1"] * 20_000) + b"]"
    headers = (("content-type", b"application/json"), ("trace", b"x" * 500_000))
    read(MemorySource({0: [NewRecord(bad, b"k" * 100_000, headers)]}), table, Outlet())
    (first, *_), count = table.find(limit=1), table.counts()
    assert count == {"not_an_event": 20_000}
    assert first.letter.headers == (headers[0], ("headrace-left-out", b"2 headers of 500033 bytes"))
    assert first.letter.key is None
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 50_000_000


def test_a_header_without_a_value_is_kept_as_an_empty_one(table: DeadLetters) -> None:
    """If this fails, one letter with a null header, which Kafka allows, makes all of them unreadable."""
    nameless: Any = (("trace", None), ("content-type", None))
    read(MemorySource({0: [NewRecord(b"{", None, nameless)]}), table, Outlet())
    (kept,) = table.find()
    assert kept.letter.headers == (("trace", b""), ("content-type", b""))


def test_records_that_have_nothing_in_common_are_learned_in_pieces(table: DeadLetters) -> None:
    """If this fails, one poll of records that each name features of their own ends the reading, or fills the memory."""
    strangers = [event(features={f"a{n}": 1, f"b{n}": 2, f"c{n}": 3}) for n in range(1500)]
    outlet = read(MemorySource({0: [NewRecord(each) for each in strangers]}), table, Outlet())
    assert len(outlet.labels) == 1500
    assert table.counts() == {}
    assert len(outlet.chunks) > 1
