"""Several programs read one topic, each a share of its partitions, and any of them may die: on a real broker."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from kafka import KafkaProducer

from consumers.kafka import KafkaOptions, KafkaSource
from consumers.source import Position, Share
from models.examples import Task
from service.config import IngestSettings, KafkaSettings, ModelSettings, Settings, SourceSettings
from service.monitoring.status import read_status
from service.reading.ingest import Start
from service.reading.ingest_programs import ProcessIngest
from service.reading.reading_messages import Job
from service.wiring import model_paths, open_dead_letters
from tests.support.broker import add_partitions
from tests.support.checksums import checksum_of_single
from tests.support.processes import START_SECONDS, Installation, installation
from tests.support.topics import KafkaTopic, numbered, read, values
from tests.support.training import events

EACH = 2000
"""Events in a partition."""


def fill(topic: KafkaTopic, partitions: Sequence[int], each: int) -> None:
    with KafkaProducer(bootstrap_servers=topic.address) as producer:
        for number, value in enumerate(events(each * len(partitions))):
            producer.send(topic.name, value, partition=partitions[number % len(partitions)])


def configured(folder: Path, topic: KafkaTopic, processes: int) -> Settings:
    return Settings(
        data_dir=folder / "data",
        publish_dir=folder / "publish",
        source=SourceSettings(kind="kafka"),
        kafka=KafkaSettings(bootstrap_servers=topic.address),
        ingest=IngestSettings(processes=processes),
        models={"default": ModelSettings(topic=topic.name)},
    )


def test_shares_of_a_topic_are_all_of_it(kafka_broker: str) -> None:
    """If this fails, a partition is read by nobody or by two, or a reader that has none fails."""
    topic = KafkaTopic(kafka_broker)
    options = KafkaOptions(bootstrap_servers=kafka_broker)
    positions = {partition: Position(0) for partition in range(topic.partitions)}
    readers = [KafkaSource(options, topic.name, None, Share(number, 4)).open(positions) for number in range(4)]
    try:
        for partition in range(topic.partitions):
            topic.append(partition, numbered(partition, 10 + partition))
        for number in range(3):
            assert values(read(readers[number], 2), number) == [number, 10 + number]
            assert set(readers[number].ends()) == {number}
        assert list(readers[3].poll(10, 0.1)) == []
        add_partitions(kafka_broker, topic.name, 4)
        topic.append(3, numbered(3))
        assert values(read(readers[3], 1), 3) == [3]
        assert all(list(each.poll(10, 0.1)) == [] for each in readers[:3])
    finally:
        for reader in readers:
            reader.close()


def test_a_killed_one_of_several_readers_goes_on_where_it_was(tmp_path: Path, kafka_broker: str) -> None:
    """If this fails, the death of one of several reading programs loses events, or has them learned twice."""
    topic = KafkaTopic(kafka_broker)
    fill(topic, range(topic.partitions), EACH)
    # Labels that look alike: which of them counts is decided once, for all programs.
    for partition, label in enumerate(('"1"', "1")):
        topic.append(partition, [numbered(0)[0]._replace(value=b'{"features": {}, "label": %s}' % label.encode())])
    settings = configured(tmp_path, topic, processes=5)
    ingest = ProcessIngest(Job(settings, "default", Start({})), lambda _: None)
    reached: dict[int, list[int]] = {partition: [] for partition in range(topic.partitions)}
    seen = killed = 0
    until = time.monotonic() + START_SECONDS
    try:
        while seen < topic.partitions * EACH + 2 and time.monotonic() < until:
            decoded = ingest.take(0.5)
            if decoded is None:
                continue
            seen += len(decoded.chunk) + decoded.unused
            for partition, offset in zip(decoded.track.partitions, decoded.track.next_offsets, strict=True):
                reached[int(partition)].append(int(offset))
            if killed < 2:
                # The ones that were heard least lately: at least one of them has partitions.
                for pid in ingest.processes[: 4 - killed]:
                    os.kill(pid, signal.SIGKILL)
                killed += 1
        assert ingest.take(0.5) is None
        refused = open_dead_letters(settings, "default").find()
    finally:
        ingest.close()
    assert ingest.task is Task.MULTICLASS
    assert len({"1", 1}.intersection(ingest.classes)) == len(refused) == 1
    refusing = refused[0].letter.partition
    assert refusing in (0, 1)
    for partition, offsets in reached.items():
        assert offsets == list(range(1, EACH + 1 + (partition == 1 - refusing)))


def children(process: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def learned(place: Installation, settings: Settings) -> int:
    status = read_status(model_paths(settings, "default").status)
    return sum(status.events_learned.values()) if status else 0


def wait_until_learned(place: Installation, settings: Settings, count: int) -> None:
    until = time.monotonic() + START_SECONDS
    while learned(place, settings) < count:
        assert time.monotonic() < until, place.log("train")[-3000:]
        time.sleep(0.02)


def test_readers_and_trainer_die_and_each_event_is_learned_once(tmp_path: Path, kafka_broker: str) -> None:
    """If this fails, several reading programs break what a version number stands for: events are lost or doubled."""
    topic = KafkaTopic(kafka_broker)
    settings = configured(tmp_path, topic, processes=2)
    model = {
        "topic": topic.name,
        "learner": {"kind": "linear"},
        "microbatch": {"max_size": 64, "adaptive": False},
        "checkpoint": {"every_seconds": 1},
    }
    sections = {"source": {"kind": "kafka"}, "kafka": {"bootstrap_servers": topic.address}, "ingest": {"processes": 2}}
    with installation(tmp_path, model, **sections, train={"niceness": 0}) as place:
        fill(topic, range(topic.partitions), EACH)
        trainer = place.start("train", "--model", "default")
        wait_until_learned(place, settings, 500)
        os.kill(children(trainer.pid)[-1], signal.SIGKILL)
        wait_until_learned(place, settings, EACH)
        os.kill(trainer.pid, signal.SIGKILL)
        trainer.wait()
        trainer = place.start("train", "--model", "default")
        wait_until_learned(place, settings, 3 * EACH)
        trainer.terminate()
        assert trainer.wait(START_SECONDS) == 0, place.log("train")[-3000:]
        status = read_status(model_paths(settings, "default").status)
        assert status is not None
        assert status.events_checksum == checksum_of_single(dict.fromkeys(range(3), EACH))
        # Out of earlier checkpoints, journal and log, read by two programs again: the same to the bit.
        assert place.start("checkpoints", "verify", "--replay", "1").wait(START_SECONDS) == 0, place.log("checkpoints")
