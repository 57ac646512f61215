"""Creating a topic, with the broker's own defaults: only for what Headrace itself writes, never for what it reads."""

from typing import Any

from kafka import errors
from kafka.admin import KafkaAdminClient

from consumers.errors import ConsumerError, SourceUnavailable
from consumers.kafka_client import connect
from consumers.kafka_options import KafkaOptions


def create_topic(options: KafkaOptions, topic: str) -> None:
    """Create `topic` and wait until it can be used; one that is there already is left as it is.

    Raises
    ------
    SourceUnavailable
        The cluster cannot be reached, or does not let us.
    """
    timeout_ms = int(options.connect_timeout * 1000)
    client, _ = connect(_make, options, {"request_timeout_ms": timeout_ms})
    try:
        client.create_topics({topic: {}}, timeout_ms=timeout_ms, wait_for_metadata=True)
    except errors.TopicAlreadyExistsError:
        pass
    except (errors.KafkaError, OSError, RuntimeError, ValueError) as error:
        raise _refused(error, topic, options) from error
    finally:
        client.close()


def _make(**settings: Any) -> KafkaAdminClient:
    """Make a client; it refuses settings that other clients have and it has not."""
    known = {name: value for name, value in settings.items() if name in KafkaAdminClient.DEFAULT_CONFIG}
    return KafkaAdminClient(**known)


def _refused(error: Exception, topic: str, options: KafkaOptions) -> ConsumerError:
    reason = str(error) or type(error).__name__
    return SourceUnavailable(f"{options.bootstrap_servers} does not let us create topic {topic}: {reason}", 30.0)
