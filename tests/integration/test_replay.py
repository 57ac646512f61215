"""Replaying into a real Kafka topic: every row becomes a message, once, where its id belongs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from consumers.kafka import KafkaOptions, KafkaSource
from consumers.source import Record


def replay(broker: str, *arguments: str) -> dict[str, object]:
    """Run ``headrace replay … --to kafka --json`` and return its result."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("headrace")), "replay", *arguments, "--to", "kafka", "--json"],
        env=os.environ | {"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": broker, "HEADRACE_SERVE__PORT": "1"},
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


def test_a_message_for_each_batch(tmp_path: Path, kafka_broker: str, kafka_topic: Callable[..., str]) -> None:
    """Whoever needs the rate of large messages could not try it out."""
    topic = kafka_topic()
    path = tmp_path / "stream.csv"
    path.write_text("x,y\n" + "".join(f"{n},{n % 3}\n" for n in range(1200)))
    replay(kafka_broker, str(path), "--label", "y", "--topic", topic, "--as", "ndjson", "--batch", "500")
    records = read_all(kafka_broker, topic, 3)
    assert [len((record.value or b"").splitlines()) for record in records] == [500, 500, 200]
    assert all(tuple(record.headers) == (("content-type", b"application/x-ndjson"),) for record in records)
