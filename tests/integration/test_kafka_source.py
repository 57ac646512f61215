"""Kafka's own ways to go wrong, against a real broker: partitions come, topics go, brokers die, codecs are missing."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError
from kafka.record import default_records
from kafka.structs import TopicPartition

from consumers.errors import (
    AppendFailed,
    CodecMissing,
    ConsumerError,
    LogReplaced,
    RecordTooLarge,
    SourceUnavailable,
    TopicMissing,
)
from consumers.kafka import KafkaOptions, KafkaReader, KafkaSink, KafkaSource
from consumers.source import NewRecord, Position, Record
from tests.support.broker import Broker, add_partitions, admin, create_topic, delete_topic
from tests.support.topics import KafkaTopic, numbered, read, read_all, values

CLIENTS = ["kafka-python", "librdkafka"]

with_both_clients = pytest.mark.parametrize("topic", CLIENTS, indirect=True)


@pytest.fixture
def topic(kafka_broker: str, request: pytest.FixtureRequest) -> KafkaTopic:
    """Return a topic, read with kafka-python unless a test asks for both clients."""
    return KafkaTopic(kafka_broker, client=getattr(request, "param", CLIENTS[0]))


@pytest.fixture
def reader(topic: KafkaTopic) -> Iterator[KafkaReader]:
    opened = topic.source.open({})
    yield opened
    opened.close()


def until(condition: Callable[[], bool], timeout: float = 30.0) -> None:
    """Wait for `condition`."""
    give_up = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.02)


def poll_until_error(reader: KafkaReader, timeout: float = 60.0) -> tuple[list[Record], ConsumerError]:
    """Poll until that raises, and return what came before and the error."""
    got: list[Record] = []
    give_up = time.monotonic() + timeout
    while time.monotonic() < give_up:
        try:
            got += reader.poll(100, 0.1)
        except ConsumerError as error:
            return got, error
    raise AssertionError("no error in time")


@with_both_clients
def test_a_new_partition_is_read_from_its_beginning(topic: KafkaTopic, reader: KafkaReader) -> None:
    """Else what went into a partition before it was noticed is never learned."""
    topic.append(0, numbered(1))
    assert values(read(reader, 1)) == [1]
    add_partitions(topic.address, topic.name, 4)
    topic.append(3, numbered(2, 3))
    topic.append(0, numbered(4))
    got = read(reader, 3)
    assert (values(got, 3), values(got, 0)) == ([2, 3], [4])
    assert reader.ends().keys() >= {0, 1, 2}


def test_asking_for_a_topic_does_not_create_it(kafka_broker: str) -> None:
    """Else a mistyped topic is created, empty, with the wrong number of partitions, and learned from for ever."""
    options = KafkaOptions(bootstrap_servers=kafka_broker)
    with pytest.raises(TopicMissing, match=r"kafka-topics\.sh --create --topic no-such-topic"):
        KafkaSource(options, "no-such-topic").open({})
    sink = KafkaSink(options, "no-such-topic")
    with pytest.raises(TopicMissing):
        sink.append(numbered(1))
    sink.close()
    with admin(kafka_broker) as client:
        assert "no-such-topic" not in client.list_topics()


def test_a_name_that_no_topic_can_have_is_refused(kafka_broker: str) -> None:
    """Else a wrong name is a traceback out of the client."""
    with pytest.raises(TopicMissing, match="no topic can be called"):
        KafkaSource(KafkaOptions(bootstrap_servers=kafka_broker), "two words").open({})


def test_a_broker_that_is_not_there_is_unavailable() -> None:
    """Else a broker that is still starting ends the trainer, or hangs it."""
    options = KafkaOptions(bootstrap_servers="127.0.0.1:1", connect_timeout=0.5)
    started = time.monotonic()
    with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1:1") as caught:
        KafkaSource(options, "events").open({})
    assert caught.value.retry_after > 0
    sink = KafkaSink(options, "events")
    with pytest.raises(SourceUnavailable):
        sink.append(numbered(1))
    sink.close()
    assert time.monotonic() - started < 20.0
    until(lambda: not any(thread.name.startswith("kafka-") for thread in threading.enumerate()))


@with_both_clients
def test_settings_that_the_client_refuses_are_named(topic: KafkaTopic) -> None:
    """Else a wrong setting is retried for ever as if the broker were away."""
    options = replace(topic.options, extra={"no_such_setting": 1})
    if options.client == "librdkafka":
        options = replace(topic.options, librdkafka={"no_such_setting": 1})
    with pytest.raises(ConsumerError, match="no_such_setting") as caught:
        KafkaSource(options, topic.name).open({})
    assert not isinstance(caught.value, SourceUnavailable)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_broker_that_dies_and_comes_back_costs_nothing(own_broker: Broker, client: str) -> None:
    """Else each restart of a broker loses events, doubles them, or stops the trainer for good."""
    create_topic(own_broker.address, "events", 2)
    options = KafkaOptions(own_broker.address, unreachable_after=1.5, delivery_timeout=4.0, client=client)
    sink = KafkaSink(options, "events")
    reader = KafkaSource(options, "events").open({})
    sink.append(numbered(*range(100)))
    got: list[Record] = read(reader, 60)
    own_broker.stop(kill=True)
    more, error = poll_until_error(reader)
    got += more
    assert isinstance(error, SourceUnavailable)
    with pytest.raises((AppendFailed, SourceUnavailable)):
        sink.append(numbered(1000))
    own_broker.start()
    until(lambda: _appended(sink, 2000))
    until(lambda: 2000 in _extended(got, reader))
    # Whether the record that was not acknowledged made it is unknown; all others are there once.
    assert sorted(number for number in values(got) if number not in (1000, 2000)) == list(range(100))
    reader.close()
    sink.close()


def _extended(got: list[Record], reader: KafkaReader) -> list[int]:
    """Poll once more and return all that was read."""
    with contextlib.suppress(SourceUnavailable):
        got += reader.poll(1_000, 0.5)
    return values(got)


def _appended(sink: KafkaSink, number: int) -> bool:
    try:
        return sink.append(numbered(number))
    except (AppendFailed, SourceUnavailable):
        return False


@pytest.mark.parametrize("client", CLIENTS)
def test_closing_does_not_wait_for_a_dead_broker(own_broker: Broker, client: str) -> None:
    """Else a shutdown hangs when it is needed most."""
    create_topic(own_broker.address, "events", 1)
    options = KafkaOptions(bootstrap_servers=own_broker.address, client=client)
    sink = KafkaSink(options, "events")
    sink.append(numbered(1))
    reader = KafkaSource(options, "events", group_id="group").open({})
    read(reader, 1)
    own_broker.stop(kill=True)
    reader.commit({0: Position(1)})
    started = time.monotonic()
    reader.close()
    sink.close()
    assert time.monotonic() - started < 15.0


@with_both_clients
def test_a_topic_that_was_deleted_is_missing(topic: KafkaTopic, reader: KafkaReader) -> None:
    """Else a trainer waits for ever for a topic that is gone."""
    delete_topic(topic.address, topic.name)
    assert isinstance(poll_until_error(reader)[1], TopicMissing)
    with pytest.raises(TopicMissing):
        reader.poll(1, 0.0)


@with_both_clients
def test_a_topic_that_was_made_again_is_another_one(topic: KafkaTopic, reader: KafkaReader) -> None:
    """Else offsets of the old topic are taken for offsets of the new one, and events are passed over."""
    delete_topic(topic.address, topic.name)
    until(lambda: _created(topic))
    assert isinstance(poll_until_error(reader)[1], LogReplaced)
    again = topic.source.open({})
    assert again.identity != reader.identity
    again.close()
    with pytest.raises(LogReplaced):
        topic.source.open({}, reader.identity)


def _created(topic: KafkaTopic) -> bool:
    try:
        create_topic(topic.address, topic.name, topic.partitions)
    except Exception:  # noqa: BLE001  # deleting takes its time, and says so in several ways
        return False
    return True


def test_commits_can_be_seen_under_the_group(topic: KafkaTopic, reader: KafkaReader) -> None:
    """Else lag tools show nothing of the trainer."""
    topic.append(0, numbered(1, 2, 3))
    read(reader, 3)
    reader.commit({0: Position(2, 7)})
    group = f"group-{topic.name}"

    def committed() -> bool:
        try:
            with admin(topic.address) as client:
                offsets = client.list_group_offsets(group)[group]
        except KafkaError:
            # The first commit of all makes the broker create the topic that it keeps them in.
            return False
        return {tp.partition: each.offset for tp, each in offsets.items()} == {0: 2}

    until(committed)


def test_closing_commits_what_still_waits(topic: KafkaTopic, reader: KafkaReader) -> None:
    """Else lag tools show a clean shutdown as lag."""
    topic.append(1, numbered(1))
    read(reader, 1)
    reader.commit({1: Position(1)})
    reader.close()
    with admin(topic.address) as client:
        group = f"group-{topic.name}"
        assert {tp.partition for tp in client.list_group_offsets(group)[group]} == {1}


@with_both_clients
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_every_codec_is_read(topic: KafkaTopic, codec: str) -> None:
    """Else a producer's choice of compression stops the trainer."""
    with KafkaProducer(bootstrap_servers=topic.address, compression_type=codec, linger_ms=50) as producer:
        for number in range(100):
            producer.send(topic.name, str(number).encode(), partition=0)
    assert values(read_all(topic.source, {0: Position(37)}, 63)) == list(range(37, 100))


def test_a_missing_codec_is_fatal_and_named(
    topic: KafkaTopic, reader: KafkaReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else records that cannot be read here are passed over, or the next poll never returns."""
    with KafkaProducer(bootstrap_servers=topic.address, compression_type="zstd") as producer:
        producer.send(topic.name, b"1" * 1000, partition=0)
    monkeypatch.setattr(default_records.codecs, "has_zstd", lambda: False)
    for _ in range(2):
        _, error = poll_until_error(reader)
        assert isinstance(error, CodecMissing)
        assert "zstd" in str(error)


@with_both_clients
def test_aborted_transactions_are_passed_over(topic: KafkaTopic) -> None:
    """Else events that their producer took back are learned."""
    with KafkaProducer(bootstrap_servers=topic.address, transactional_id=topic.name) as producer:
        producer.init_transactions()
        for number in range(6):
            producer.begin_transaction()
            producer.send(topic.name, str(number).encode(), partition=0)
            producer.flush()
            producer.abort_transaction() if number % 2 else producer.commit_transaction()
    reader = topic.source.open({})
    assert values(read(reader, 3)) == [0, 2, 4]
    assert list(reader.poll(10, 0.5)) == []
    reader.close()


def test_a_partition_that_stands_still_has_the_client_made_anew(topic: KafkaTopic) -> None:
    """Else a client that has lost track of a partition starves the trainer until somebody looks."""
    reader = KafkaReader(topic.options, topic.name, None, {}, stalled_after=0.3)
    topic.append(1, numbered(1))
    read(reader, 1)
    reader._consumer.pause(TopicPartition(topic.name, 1))
    topic.append(1, numbered(2, 3))
    assert values(read(reader, 2)) == [2, 3]
    reader.close()


@with_both_clients
def test_a_quiet_partition_is_left_alone(topic: KafkaTopic) -> None:
    """Else a quiet topic has the trainer connect again and again."""
    reader = KafkaReader(topic.options, topic.name, None, {}, stalled_after=0.2)
    topic.append(1, numbered(1))
    read(reader, 1)
    consumer = reader._consumer
    assert list(reader.poll(10, 1.0)) == []
    assert list(reader.poll(10, 1.0)) == []
    assert reader._consumer is consumer
    reader.close()


def test_a_record_that_is_too_large_is_refused_before_anything_is_sent(topic: KafkaTopic) -> None:
    """Else one record spoils the sink for all others, or half of a request is appended."""
    sink = topic.sink()
    with pytest.raises(AppendFailed, match="too large"):
        sink.append([NewRecord(b"1"), NewRecord(b"x" * 1_048_576)])
    assert sink.append([NewRecord(b"2"), NewRecord(b"3" * 1_048_000)])
    sink.close()
    assert [len(each.value or b"") for each in read_all(topic.source, {}, 2)] in ([1, 1_048_000], [1_048_000, 1])


def test_a_sink_recovers_from_what_the_broker_refuses(topic: KafkaTopic) -> None:
    """Else an error of the broker's leaves a sink that refuses everything until it is restarted."""
    sink = KafkaSink(replace(topic.options, max_message_bytes=10_000_000), topic.name)
    with pytest.raises(AppendFailed, match="TooLarge"):
        sink.append([NewRecord(b"x" * 3_000_000)])
    assert sink.append(numbered(1))
    sink.close()
    assert values(read_all(topic.source, {}, 1)) == [1]


def test_a_sink_says_which_records_are_not_durable(kafka_broker: str, kafka_topic: Callable[..., str]) -> None:
    """Else who sends a hundred events of which one is refused cannot know that the others are there."""
    name = kafka_topic(4, configs={"max.message.bytes": "100000"})
    options = KafkaOptions(bootstrap_servers=kafka_broker)
    sink = KafkaSink(options, name)
    records = [NewRecord(str(number).encode(), key=b"%d" % number) for number in range(40)]
    records[7] = NewRecord(b"7" * 200_000, key=b"7")
    with pytest.raises(RecordTooLarge) as caught:
        sink.append(records)
    failed = caught.value.failed
    assert failed is not None
    assert 7 in failed
    durable = set(range(40)) - set(failed)
    assert durable
    assert set(values(read_all(KafkaSource(options, name), {}, len(durable)))) >= durable
    with pytest.raises(RecordTooLarge) as caught:
        sink.append([records[7]])
    assert caught.value.failed is None
    assert sink.append(numbered(1))
    sink.close()


def test_a_sink_marks_records_with_the_key_of_the_request(topic: KafkaTopic) -> None:
    """Else nobody downstream can tell a retry from a new event."""
    sink = topic.sink()
    assert sink.append([NewRecord(b"1", headers=(("a", b"b"),))], idempotency_key="again")
    sink.close()
    (record,) = read_all(topic.source, {}, 1)
    assert list(record.headers) == [("a", b"b"), ("idempotency-key", b"again")]


def test_a_sink_keeps_records_of_a_key_together(topic: KafkaTopic) -> None:
    """Else an observation and its label are learned in any order."""
    sink = topic.sink()
    sink.append([NewRecord(str(number).encode(), key=b"%d" % (number % 7)) for number in range(70)])
    sink.close()
    got = read_all(topic.source, {}, 70)
    for key in range(7):
        of_key = [each for each in got if each.key == b"%d" % key]
        assert len({each.partition for each in of_key}) == 1
        assert values(of_key) == list(range(key, 70, 7))


def test_a_sink_is_shared_by_threads(topic: KafkaTopic) -> None:
    """Else requests that come at once are mixed up."""
    sink = topic.sink()
    threads = [threading.Thread(target=sink.append, args=(numbered(*range(n, n + 50)),)) for n in range(0, 400, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sink.close()
    assert sorted(values(read_all(topic.source, {}, 400))) == list(range(400))
    with pytest.raises(SourceUnavailable, match="closed"):
        sink.append(numbered(1))


@with_both_clients
def test_a_backlog_is_read_as_by_the_client_itself(topic: KafkaTopic) -> None:
    """Else the reader drops or reorders what the client hands out."""
    sink = topic.sink()
    sink.append([NewRecord(str(number).encode()) for number in range(20_000)])
    sink.close()
    client = KafkaConsumer(bootstrap_servers=topic.address, enable_auto_commit=False)
    partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
    client.assign(partitions)
    client.seek_to_beginning()
    by_client: dict[int, list[int]] = {number: [] for number in range(topic.partitions)}
    while sum(map(len, by_client.values())) < 20_000:
        for partition, records in client.poll(1_000).items():
            by_client[partition.partition] += values(records)
    client.close()
    got = read_all(topic.source, {}, 20_000)
    assert {number: values(got, number) for number in by_client} == by_client
