"""What Headrace needs to know of kafka-python: making its clients, asking for a topic, and what its errors mean.

Written against kafka-python 3.0.12, whose source settles what its documentation leaves open. Nothing but the modules
named ``kafka…`` in this package imports it.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from kafka import KafkaConsumer, errors

from consumers.errors import CodecMissing, ConsumerError, LogUnreadable, PositionLost, SourceUnavailable, TopicMissing
from consumers.kafka_bounds import bound
from consumers.kafka_last_words import hear
from consumers.kafka_names import mend
from consumers.kafka_options import KafkaOptions
from consumers.kafka_refusal import advice, check_certificate
from consumers.kafka_tokens import token_provider

T = TypeVar("T")

# It logs each of many attempts ten times a second; what matters is raised here, once. A level that was set is kept.
if logging.getLogger("kafka").level == logging.NOTSET:
    logging.getLogger("kafka").setLevel(logging.CRITICAL)

# How often metadata is asked for: new partitions, a deleted topic and a lost cluster show themselves so.
METADATA_SECONDS = 3.0

# A topic that was created a moment ago is not known to every broker yet.
_TOPIC_GRACE = 2.0

_POSITION = (errors.OffsetOutOfRangeError, errors.NoOffsetForPartitionError, errors.LogTruncationError)
_RIGHTS = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
    errors.SaslAuthenticationFailedError,
)


class Cluster:
    """What a client knows of its cluster; kafka-python calls it to make the network part of that client.

    Parameters
    ----------
    options
        How to reach it.

    Attributes
    ----------
    heard_at
        When it was heard of last, in monotonic seconds.
    """

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self.heard_at = time.monotonic()
        self._refusal: str | None = None
        self._known = False
        self._client: Any = None

    def __call__(self, **settings: Any) -> Any:
        """Make the network part of a client, with its two shortcomings mended."""
        self._client = KafkaConsumer.DEFAULT_CONFIG["kafka_client"](**settings)
        # 3.0.12 takes `allow_auto_create_topics` but forgets to hand it on, so that asking for a topic would create it.
        self._client.cluster.config["allow_auto_create_topics"] = False
        self._client.cluster.add_listener(self._on_metadata)
        self._listen_for_refusals(self._client._manager)
        return self._client

    def partitions(self, topic: str) -> frozenset[int]:
        """Return the topic's partitions as last heard; empty where it is not known."""
        return frozenset(self._client.cluster.partitions_for_topic(topic) or ())

    def identity(self, topic: str) -> str:
        """Return the topic's id as last heard; empty where the brokers are too old to have such ids."""
        identity = self._client.cluster.topic_id(topic)
        return "" if identity is None else str(identity)

    def find(self, topic: str, options: KafkaOptions) -> frozenset[int]:
        """Ask for the topic and return its partitions.

        Raises
        ------
        SourceUnavailable, TopicMissing
        """
        cluster = self._client.cluster
        began_at = asked_at = time.monotonic()
        asked_again = False
        try:
            cluster.set_topics([topic])
        except ValueError as error:
            raise TopicMissing(f"no topic can be called {topic!r}: {error}") from error
        while not self.partitions(topic):
            waited = time.monotonic() - began_at
            if topic in cluster.unauthorized_topics:
                raise SourceUnavailable(
                    f"{options.bootstrap_servers} lets us not see topic {topic}: check its ACLs", 10.0
                )
            if waited > _TOPIC_GRACE and self.heard_at > asked_at:
                if asked_again:
                    raise topic_missing(topic, options)
                # What was heard may be the answer to an earlier question, which did not name the topic.
                asked_again, asked_at = True, time.monotonic()
                cluster.set_topics([topic])
            if time.monotonic() - asked_at > options.connect_timeout:
                raise self.unreachable("it does not answer")
            time.sleep(0.01)
        return self.partitions(topic)

    def unreachable(self, why: object) -> SourceUnavailable:
        """Return the error that says that the cluster does not answer, and what to do where that is known."""
        if self._refusal is None:
            return unreachable(self._options, why)
        return SourceUnavailable(f"cannot use Kafka at {self._options.bootstrap_servers}: {self._refusal}", 5.0)

    def close(self) -> None:
        """Close the connections of a client that was made in part only."""
        if self._client is not None:
            self._client.close()

    def _listen_for_refusals(self, manager: Any) -> None:
        """Remember why a connection could not be made: the client only logs it, and says that it took too long."""
        get_connection = manager.get_connection

        def listened(*arguments: Any, **settings: Any) -> Any:
            if self._refusal is not None and not self._known:
                # Trying on at once would change nothing, and may lock an account. Whoever opens tries again later.
                raise errors.KafkaConnectionError(self._refusal)
            connection = get_connection(*arguments, **settings)
            connection.init_future.add_errback(self._on_refusal)
            return connection

        manager.get_connection = listened

    def _on_refusal(self, error: BaseException) -> None:
        # A refused client is often just cut off the next time: what said more is kept.
        self._refusal = advice(error, self._options) or self._refusal

    def _on_metadata(self, _: Any) -> None:
        self.heard_at = time.monotonic()
        self._refusal, self._known = None, True


def close_consumer(consumer: Any) -> None:
    """Close a consumer of kafka-python; it commits nothing, and a cluster that does not answer does not hold it up."""
    consumer.close(autocommit=False, timeout_ms=2_000)


def connect(make: Callable[..., T], options: KafkaOptions, settings: dict[str, Any]) -> tuple[T, Cluster]:
    """Make a client of kafka-python, connected.

    Parameters
    ----------
    make
        Its class.
    options
        Address and credentials.
    settings
        What this kind of client takes beside them.

    Raises
    ------
    SourceUnavailable
        No broker answered in time.
    ConsumerError
        The settings are not right.
    """
    check_certificate(options)
    bound()
    hear()
    mend()
    cluster = Cluster(options)
    reconnect = {"reconnect_backoff_max_ms": 3_000, "bootstrap_timeout_ms": options.connect_timeout * 1000}
    try:
        credentials = {"sasl_oauth_token_provider": token_provider(options)}
        client = make(
            **{**options.connection(), **credentials, **reconnect, **settings, **options.extra, "kafka_client": cluster}
        )
    except (errors.KafkaTimeoutError, errors.KafkaConnectionError, OSError) as error:
        cluster.close()
        raise cluster.unreachable(error) from error
    except (errors.KafkaError, ValueError, TypeError, AssertionError, ImportError, RuntimeError) as error:
        cluster.close()
        raise ConsumerError(f"the Kafka settings are not right: {error}") from error
    except BaseException:
        cluster.close()
        raise
    return client, cluster


def unreachable(options: KafkaOptions, why: object) -> SourceUnavailable:
    """Return the error that says that the cluster does not answer."""
    return SourceUnavailable(
        f"cannot reach Kafka at {options.bootstrap_servers} ({options.security_protocol}): {why}. Check that it runs, "
        f"and that address, security_protocol, certificates and credentials are right"
    )


def topic_missing(topic: str, options: KafkaOptions) -> TopicMissing:
    """Return the error that says that the topic must be created, and how."""
    return TopicMissing(
        f"topic {topic} does not exist at {options.bootstrap_servers}. Create it: kafka-topics.sh --create "
        f"--topic {topic} --partitions 4 --bootstrap-server {options.bootstrap_servers}"
    )


def position_lost(topic: str, why: object) -> PositionLost:
    """Return the error that says that the topic does not hold what comes next."""
    return PositionLost(
        f"topic {topic} does not hold what is to be read next ({why}): retention was faster, or the topic was made "
        f"again. Start anew, or from the earliest record that is left"
    )


def refused(topic: str, options: KafkaOptions, why: object) -> SourceUnavailable:
    """Return the error that says that we may not read the topic."""
    return SourceUnavailable(f"{options.bootstrap_servers} refuses to hand out topic {topic}: {why}", 10.0)


def reading_error(error: Exception, topic: str, options: KafkaOptions) -> ConsumerError:
    """Return what an error of kafka-python means to a reader of `topic`."""
    if isinstance(error, _POSITION):
        return position_lost(topic, error)
    if isinstance(error, errors.UnsupportedCodecError):
        return CodecMissing(f"topic {topic} holds records that cannot be decompressed here: {error}. Install the codec")
    if isinstance(error, errors.UnknownTopicOrPartitionError):
        return topic_missing(topic, options)
    if isinstance(error, _RIGHTS):
        return refused(topic, options, error)
    if isinstance(error, (errors.RetriableError, errors.KafkaConnectionError, OSError)):
        return unreachable(options, error)
    return LogUnreadable(f"topic {topic} holds something that cannot be read: {type(error).__name__}: {error}")
