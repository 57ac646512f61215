"""How to reach a cluster, in librdkafka's words: one setting of ours is one of its own, or several.

Names and meanings: https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md (2.16).
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from consumers.kafka_bounds import MAXIMUM_BYTES
from consumers.kafka_options import KafkaOptions
from consumers.kafka_tokens import token_provider

# It logs each of many attempts; what matters is raised, once. A level that was set is kept.
log = logging.getLogger("librdkafka")
if log.level == logging.NOTSET:
    log.setLevel(logging.CRITICAL)

_ENVELOPE = 512
"""Bytes of an answer beside what was fetched, as librdkafka counts them."""

_QUEUED_RECORDS = 20_000
"""Records of a partition that wait in the client: with its own 100,000 it takes more memory and reads no faster."""

_BACK_OFF_MS = 10
"""Until a full queue is looked at again: with its own second, reading stops for most of each second."""

_SHORTEST_SETUP_MS = 1_000
"""librdkafka takes no shorter time for opening a connection."""


def client_settings(options: KafkaOptions, group_id: str | None) -> dict[str, Any]:
    """Return the settings of a consumer that reads what it is told to, commits nothing and resets no offset.

    Parameters
    ----------
    options
        How to reach the cluster.
    group_id
        A group that we may use: librdkafka wants one and asks for its coordinator, though it is never joined.

    Raises
    ------
    ConsumerError
        The options do not say where tokens come from.
    """
    return {
        "group.id": group_id or options.client_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "allow.auto.create.topics": False,
        "isolation.level": options.isolation_level,
        "check.crcs": True,
        "logger": log,
        **_address(options),
        **_fetching(options),
        **_credentials(options),
        **_certificates(options),
        **options.librdkafka,
    }


def _address(options: KafkaOptions) -> dict[str, Any]:
    return {
        "bootstrap.servers": options.bootstrap_servers,
        "client.id": options.client_id,
        "security.protocol": options.security_protocol.lower(),
        "socket.connection.setup.timeout.ms": max(_SHORTEST_SETUP_MS, int(options.connect_timeout * 1000)),
        "reconnect.backoff.max.ms": 3_000,
    }


def _fetching(options: KafkaOptions) -> dict[str, Any]:
    return {
        "fetch.max.bytes": options.fetch_max_bytes,
        "max.partition.fetch.bytes": options.max_partition_fetch_bytes,
        # Also what a batch that is compressed by zstd may become.
        "receive.message.max.bytes": max(MAXIMUM_BYTES, options.fetch_max_bytes) + _ENVELOPE,
        "queued.min.messages": _QUEUED_RECORDS,
        "fetch.queue.backoff.ms": _BACK_OFF_MS,
    }


def _credentials(options: KafkaOptions) -> dict[str, Any]:
    if options.sasl_mechanism is None:
        return {}
    found: dict[str, Any] = {"sasl.mechanism": options.sasl_mechanism}
    if options.sasl_mechanism == "OAUTHBEARER":
        return found | {"oauth_cb": _token_callback(options)}
    if options.sasl_username is not None:
        found["sasl.username"] = options.sasl_username
    if options.sasl_password is not None:
        found["sasl.password"] = options.sasl_password
    return found


def _token_callback(options: KafkaOptions) -> Callable[[str], tuple[str, float]] | None:
    """Return what librdkafka asks for a token whenever the one before has lived for four fifths of its time."""
    provider = token_provider(options)
    if provider is None:
        return None

    def token(_: str) -> tuple[str, float]:
        found = provider.token()
        return found, time.time() + provider.seconds_left(found)

    return token


def _certificates(options: KafkaOptions) -> dict[str, Any]:
    if options.security_protocol not in ("SSL", "SASL_SSL"):
        return {}
    named = {
        "ssl.ca.location": options.ssl_cafile,
        "ssl.certificate.location": options.ssl_certfile,
        # As kafka-python has it, one file may hold both.
        "ssl.key.location": options.ssl_keyfile or options.ssl_certfile,
        "ssl.key.password": options.ssl_password,
        "ssl.crl.location": options.ssl_crlfile,
        "ssl.cipher.suites": options.ssl_ciphers,
        "ssl.endpoint.identification.algorithm": "https" if options.ssl_check_hostname else "none",
    }
    return {name: value for name, value in named.items() if value is not None}
