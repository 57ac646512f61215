"""The same events as Avro in Confluent's wire format, one a message; beside the loop on JSON."""

import io
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fastavro

from benchmarks.ingest import Window, end_to_end, kafka_settings, trainer_settings
from benchmarks.loops.running import run
from benchmarks.loops.table import RIVER
from benchmarks.measured import Series, costs
from benchmarks.report import Result
from benchmarks.sections.json_events import shares
from benchmarks.topics import around, event_rows, temporary_topic
from tests.support.schema_registry import record_of, registry

SCHEMA = record_of(
    features=record_of("Features", **{f"n{index}": "double" for index in range(10)}, city="string"), label="string"
)

POOL = 100_000


def measure(address: str, topic: str, folder: Path, events: int, rounds: int) -> list[Result]:
    """Measure the trainer once, which is no part of any bar, between two turns of the loop."""
    del rounds
    loop, ours = Series(RIVER.title), Series("Headrace, Avro, `mlp`")
    bare = partial(run, "river", address, topic, *shares(events))
    with registry() as schemas:
        messages = around(avro_messages(min(POOL, events), schemas.register(SCHEMA)), events)
        settings: dict[str, Any] = kafka_settings(address) | {"schema_registry": {"url": schemas.url}}
        with temporary_topic(address, messages) as filled:
            loop.take(bare)
            ours.take(partial(end_to_end, folder, trainer_settings(filled), settings, Window(*shares(events))))
            loop.take(bare)
    return [loop.rate, ours.rate, ours.over(loop, "Avro, `mlp`, over the hand-written loop"), *costs(ours)]


def avro_messages(count: int, schema: int) -> Iterator[bytes]:
    """Yield so many events, each with the number of its schema before it."""
    parsed = fastavro.parse_schema(SCHEMA)
    for rows in event_rows(count):
        for row in rows:
            body = io.BytesIO()
            fastavro.schemaless_writer(body, parsed, row)
            yield struct.pack(">bI", 0, schema) + body.getvalue()
