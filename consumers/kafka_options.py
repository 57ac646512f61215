"""How to reach a Kafka cluster: addresses, TLS and SASL, and how much to fetch at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

INSTALL_LIBRDKAFKA = "install it, pip install 'headrace[librdkafka]', or set kafka.client to kafka-python"


def what_is_missing(client: str) -> str | None:
    """Return why a client cannot be used in this installation, and what to do; None where it can."""
    if client == "librdkafka" and find_spec("confluent_kafka") is None:
        return f"kafka.client librdkafka needs confluent-kafka, which is not installed: {INSTALL_LIBRDKAFKA}"
    return None


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """Address and credentials of a cluster; everything that readers and sinks of it have in common.

    Secrets do not show in its ``repr``, so it may be logged.

    Attributes
    ----------
    bootstrap_servers
        ``host:port``, several parted by commas.
    client_id
        Name under which the broker's logs and quotas know this client.
    security_protocol
        ``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``.
    sasl_mechanism
        ``PLAIN``, ``SCRAM-SHA-256``, ``SCRAM-SHA-512``, ``GSSAPI`` or ``OAUTHBEARER``.
    sasl_username, sasl_password
        For ``PLAIN`` and ``SCRAM-…``.
    sasl_kerberos_service_name, sasl_kerberos_domain_name
        For ``GSSAPI``.
    oauth_token_file
        For ``OAUTHBEARER``: file that holds an access token, read anew for every connection.
    oauth_token_url, oauth_client_id, oauth_client_secret, oauth_scope
        For ``OAUTHBEARER``: where to ask for tokens instead (client credentials grant), as whom, and for what.
    ssl_cafile, ssl_certfile, ssl_keyfile, ssl_password, ssl_crlfile, ssl_ciphers, ssl_check_hostname
        PEM files of the authority, of this client's certificate and of its key, the key's password, and so on.
    isolation_level
        ``read_committed`` passes over what aborted transactions wrote, and costs nothing where there are none.
    fetch_max_bytes, max_partition_fetch_bytes
        What one answer of a broker may hold, in all and for one partition: bounds the memory of the client.
    connect_timeout
        Seconds within which a broker must answer when a connection is opened.
    unreachable_after
        Seconds without any word from the cluster after which reading reports it as unavailable.
    delivery_timeout
        Seconds within which an appended record must be acknowledged.
    max_message_bytes
        Largest record that is appended; as the topic's ``max.message.bytes``.
    extra
        Further settings of kafka-python (its names), passed through as they are; they win.
    client
        Which client fetches: ``kafka-python``, or ``librdkafka``. Asking about the topic, committing, and producing are
        always kafka-python's.
    librdkafka
        Further settings of librdkafka (its names), passed through as they are; they win.
    """

    bootstrap_servers: str = "localhost:9092"
    client_id: str = "headrace"
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    sasl_kerberos_service_name: str = "kafka"
    sasl_kerberos_domain_name: str | None = None
    oauth_token_file: str | None = None
    oauth_token_url: str | None = None
    oauth_client_id: str | None = None
    oauth_client_secret: str | None = field(default=None, repr=False)
    oauth_scope: str | None = None
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_password: str | None = field(default=None, repr=False)
    ssl_crlfile: str | None = None
    ssl_ciphers: str | None = None
    ssl_check_hostname: bool = True
    isolation_level: str = "read_committed"
    fetch_max_bytes: int = 52_428_800
    max_partition_fetch_bytes: int = 1_048_576
    connect_timeout: float = 10.0
    unreachable_after: float = 15.0
    delivery_timeout: float = 30.0
    max_message_bytes: int = 1_048_576
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    client: str = "kafka-python"
    librdkafka: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def connection(self) -> dict[str, Any]:
        """Return the settings that every client of the cluster takes, by kafka-python's names."""
        return {
            "bootstrap_servers": self.bootstrap_servers.split(","),
            "client_id": self.client_id,
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
            "sasl_kerberos_service_name": self.sasl_kerberos_service_name,
            "sasl_kerberos_domain_name": self.sasl_kerberos_domain_name,
            "ssl_cafile": self.ssl_cafile,
            "ssl_certfile": self.ssl_certfile,
            "ssl_keyfile": self.ssl_keyfile,
            # Never None: a locked key would have the pass phrase asked for at a terminal that nobody looks at.
            "ssl_password": self.ssl_password or "",
            "ssl_crlfile": self.ssl_crlfile,
            "ssl_ciphers": self.ssl_ciphers,
            "ssl_check_hostname": self.ssl_check_hostname,
        }
