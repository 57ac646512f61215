"""Messages of many events, and Avro, on a real broker: each event is learned once, over kills and cut messages."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from consumers.kafka import KafkaOptions, KafkaSink, KafkaSource
from consumers.source import Record
from service.replaying.avro_messages import avro_writer
from service.replaying.message_forms import Format
from service.replaying.replay_targets import SinkTarget
from service.settings.schema_registry import SchemaRegistrySettings
from tests.support.checksums import checksum_of
from tests.support.processes import Installation, installation, total_learned
from tests.support.schema_registry import Registry, registry
from tests.support.topics import read_all
from tests.support.training import events

# Smaller than a message, so that nearly every microbatch ends within one.
MICROBATCH = {"max_size": 7, "adaptive": False}
MODEL = {"learner": {"kind": "mlp", "device": "cpu"}, "checkpoint": {"every_seconds": 1}, "microbatch": MICROBATCH}
FORMS: tuple[tuple[Format, int], ...] = (("json", 30), ("ndjson", 50), ("arrow", 60), ("avro", 1))
EVENTS = 12_000


def fill(broker: str, topic: str, known: Registry) -> None:
    """Write events in all forms, a few messages of each in turn."""
    write_avro = avro_writer(SchemaRegistrySettings(url=known.url), topic)
    sink = KafkaSink(KafkaOptions(broker), topic)
    stream = events(EVENTS)
    for start in range(0, EVENTS, 300):
        form, several = FORMS[start // 300 % len(FORMS)]
        SinkTarget(sink, form, several, write_avro).send(stream[start : start + 300])
    sink.close()


def places(records: list[Record]) -> list[tuple[int, int, int]]:
    """Return the position after each event: what checksums are computed of."""
    several = {b"application/json": 30, b"application/x-ndjson": 50, b"application/vnd.apache.arrow.stream": 60}
    found = []
    for each in records:
        count = several[dict(each.headers)["content-type"]] if each.headers else 1
        found += [(each.partition, each.offset, event + 1) for event in range(count - 1)]
        found.append((each.partition, each.offset + 1, 0))
    return found


def kill_trainer(place: Installation, learned: int, before: int) -> int:
    """Kill the trainer once so many events are learned, and return its process."""
    state = place.wait_for(
        lambda state: state["trainer"]["pid"] not in (None, before) and total_learned(state) >= learned
    )
    pid = int(state["trainer"]["pid"])
    os.kill(pid, signal.SIGKILL)
    return pid


def test_each_event_of_a_message_is_learned_once_over_kills(
    tmp_path: Path, kafka_broker: str, kafka_topic: Callable[..., str]
) -> None:
    """Fails when a restart within a message learns some of its events twice, or never, in whatever form they came."""
    topic = kafka_topic(2)
    with registry() as known:
        fill(kafka_broker, topic, known)
        source = {"source": {"kind": "kafka"}, "kafka": {"bootstrap_servers": kafka_broker}}
        settings = MODEL | {"topic": topic}
        with installation(tmp_path, settings, schema_registry={"url": known.url}, **source) as place:
            place.start("up")
            place.wait_until_ready()
            killed = kill_trainer(place, 1500, 0)
            # What was decoded by its schemas before must be decoded again without it.
            schemas = place.data_dir / "models" / "default" / "schemas"
            place.wait_for(lambda _: any(schemas.rglob("*.json")))
            known.answer = (503, b"")
            kill_trainer(place, 4000, killed)
            place.wait_until_learned(EVENTS)
            state = place.wait_for(lambda state: state["state"] == "idle")
            assert total_learned(state) == EVENTS
            messages = EVENTS // 4 // 30 + EVENTS // 4 // 50 + EVENTS // 4 // 60 + EVENTS // 4
            stored = read_all(KafkaSource(KafkaOptions(kafka_broker), topic), {}, messages)
            assert len(stored) == messages
            assert state["events_checksum"] == f"{checksum_of(places(stored)):016x}"
            assert sum(state["lag"].values()) == 0
            assert not state["dead_letters"]
