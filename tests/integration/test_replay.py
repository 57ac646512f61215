"""Replaying into a real Kafka topic: every row becomes a message, once, where its id belongs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from consumers.kafka import KafkaOptions, KafkaSource
from consumers.source import Record
from models.examples import Examples
from service.events import EventDecoder
from service.reading.schema_files import SchemaFiles
from service.reading.schema_registry import SchemaRegistry
from service.settings.event_options import EventOptions
from service.settings.schema_registry import SchemaRegistrySettings
from tests.support.schema_registry import registry


def replay(broker: str, *arguments: str, environment: Mapping[str, str] | None = None) -> dict[str, object]:
    """Run ``headrace replay … --to kafka --json`` and return its result."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("headrace")), "replay", *arguments, "--to", "kafka", "--json"],
        env=os.environ
        | {"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": broker, "HEADRACE_SERVE__PORT": "1"}
        | dict(environment or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def read_all(broker: str, topic: str, count: int) -> Sequence[Record]:
    """Return the records of a topic."""
    reader = KafkaSource(KafkaOptions(broker), topic).open({})
    records: list[Record] = []
    give_up = time.monotonic() + 30
    while len(records) < count and time.monotonic() < give_up:
        records.extend(reader.poll(1000, 0.2))
    records.extend(reader.poll(1000, 0.5))
    reader.close()
    return records


def test_a_file_into_a_topic(tmp_path: Path, kafka_broker: str, kafka_topic: Callable[..., str]) -> None:
    """Rows would be lost, sent twice, or an event and its label would part ways."""
    topic = kafka_topic(partitions=4)
    path = tmp_path / "stream.csv"
    path.write_text("who,x,y\n" + "".join(f"user-{n % 10},{n},{n % 3}\n" for n in range(5000)))
    result = replay(kafka_broker, str(path), "--label", "y", "--id", "who", "--topic", topic, "--batch", "700")
    assert (result["accepted"], result["rejected"]) == (5000, 0)
    records = read_all(kafka_broker, topic, 5000)
    events = [json.loads(record.value or b"") for record in records]
    assert sorted(event["features"]["x"] for event in events) == list(range(5000))
    partitions: dict[bytes | None, set[int]] = {}
    for record, event in zip(records, events, strict=True):
        assert record.key == event["id"].encode()
        partitions.setdefault(record.key, set()).add(record.partition)
    assert len(partitions) == 10
    assert all(len(numbers) == 1 for numbers in partitions.values())
    for key in partitions:
        numbers = [event["features"]["x"] for record, event in zip(records, events, strict=True) if record.key == key]
        assert numbers == sorted(numbers)


@pytest.mark.parametrize("form", ["json", "ndjson", "arrow", "avro"])
def test_messages_of_many_events_and_avro(
    form: str, tmp_path: Path, kafka_broker: str, kafka_topic: Callable[..., str]
) -> None:
    """Whoever needs the rate of large messages, or has Avro, could not try it out, or would learn another stream."""
    topic = kafka_topic()
    path = tmp_path / "stream.csv"
    path.write_text("x,c,y\n" + "".join(f"{n},city-{n % 7},{n % 3}\n" for n in range(1200)))
    sizes = [1] * 1200 if form == "avro" else [500, 500, 200]
    with registry() as known:
        chosen = () if form == "avro" else ("--events-per-message", "500")
        at = {"HEADRACE_SCHEMA_REGISTRY__URL": known.url}
        result = replay(
            kafka_broker, str(path), "--label", "y", "--topic", topic, "--format", form, *chosen, environment=at
        )
        assert (result["accepted"], result["rejected"]) == (1200, 0)
        records = read_all(kafka_broker, topic, len(sizes))
        assert len(records) == len(sizes)
        schemas = SchemaRegistry(SchemaRegistrySettings(url=known.url), SchemaFiles(tmp_path, known.url))
        decoder = EventDecoder(EventOptions(), {}, schemas=schemas)
        decoder.prepare(records)
    decoded = list(decoder.pieces(records))
    counts = [count for each in decoded for count in each.counts.tolist()]
    assert counts == sizes
    examples = Examples.concatenate([each.examples for each in decoded])
    assert list(examples.labels) == [n % 3 for n in range(1200)]
    assert examples.features.numbers.tolist() == [[float(n)] for n in range(1200)]
    assert list(examples.features.categories["c"]) == [f"city-{n % 7}" for n in range(1200)]
