"""What Headrace needs to know of librdkafka's Python client: making a consumer, and what its errors mean.

It reads several times as fast as kafka-python, and is an extra: ``headrace[librdkafka]``. Nothing but the modules named
``librdkafka…`` in this package imports it, and none of them is imported unless ``kafka.client`` names it. Written
against confluent-kafka 2.16, whose source settles what its documentation leaves open.
"""

from enum import Enum, auto

from consumers.errors import ConsumerError
from consumers.kafka_client import unreachable
from consumers.kafka_options import INSTALL_LIBRDKAFKA, KafkaOptions
from consumers.librdkafka_options import client_settings

try:
    from confluent_kafka import Consumer, KafkaError, KafkaException
except ImportError as missing:
    raise ConsumerError(f"kafka.client librdkafka cannot be used ({missing}): {INSTALL_LIBRDKAFKA}") from missing


class Meaning(Enum):
    """What an error that comes in place of a record means to whoever reads."""

    PASSING = auto()
    """It goes by, or shows itself in another way: a cluster by its silence, a topic that is gone in the metadata."""
    LOST = auto()
    """The partition does not hold the offset that comes next."""
    REFUSED = auto()
    """We may not read the topic."""
    ODD = auto()
    """librdkafka cannot read what is there."""


_LOST = {
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError._LOG_TRUNCATION,
    KafkaError._NO_OFFSET,
    KafkaError.OFFSET_OUT_OF_RANGE,
}
_REFUSED = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}
_GONE = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError.INCONSISTENT_TOPIC_ID,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}


def meaning_of(error: KafkaError, partition: int) -> Meaning:
    """Return what `error` means.

    Parameters
    ----------
    error
        It came in place of a record.
    partition
        Of which it is said; negative where it is of none.
    """
    if error.code() in _LOST:
        return Meaning.LOST
    if error.code() in _REFUSED:
        return Meaning.REFUSED
    if error.code() in _GONE or partition < 0 or error.retriable():
        return Meaning.PASSING
    return Meaning.ODD


def make_consumer(options: KafkaOptions, topic: str, group_id: str | None) -> Consumer:
    """Return a consumer that knows where the topic's partitions are: otherwise it waits half a second to ask again.

    Raises
    ------
    SourceUnavailable
        No broker answered in time.
    ConsumerError
        The settings are not right.
    """
    try:
        consumer = Consumer(client_settings(options, group_id))
    except (KafkaException, ValueError, TypeError) as error:
        raise ConsumerError(f"the Kafka settings are not right for librdkafka: {words_of(error)}") from error
    try:
        consumer.list_topics(topic, options.connect_timeout)
    except KafkaException as error:
        consumer.close()
        raise unreachable(options, words_of(error)) from error
    except BaseException:
        consumer.close()
        raise
    return consumer


def words_of(error: BaseException) -> str:
    """Return what an error of the client says, without the numbers around it."""
    first = error.args[0] if error.args else error
    return first.str() if isinstance(first, KafkaError) else str(error)
