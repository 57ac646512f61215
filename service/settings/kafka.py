"""The section ``kafka`` of the configuration: how to reach the cluster, and who we are to it."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, field_serializer, field_validator, model_validator

from consumers.kafka_options import what_is_missing
from service.settings.section import ExistingFile, Section

_BY_PASSWORD = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class KafkaSettings(Section):
    """How to reach the cluster; :class:`consumers.kafka_options.KafkaOptions` says what each setting means.

    Attributes
    ----------
    client
        Which client fetches: ``librdkafka`` is several times as fast, and an extra to install.
    """

    bootstrap_servers: Annotated[str, Field(min_length=1)] = "localhost:9092"
    client: Literal["kafka-python", "librdkafka"] = "kafka-python"
    client_id: str = "headrace"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_kerberos_service_name: str = "kafka"
    sasl_kerberos_domain_name: str | None = None
    oauth_token_file: Path | None = None
    oauth_token_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] | None = None
    oauth_client_id: str | None = None
    oauth_client_secret: SecretStr | None = None
    oauth_scope: str | None = None
    ssl_cafile: ExistingFile | None = None
    ssl_certfile: ExistingFile | None = None
    ssl_keyfile: ExistingFile | None = None
    ssl_password: SecretStr | None = None
    ssl_crlfile: ExistingFile | None = None
    ssl_ciphers: str | None = None
    ssl_check_hostname: bool = True
    isolation_level: Literal["read_committed", "read_uncommitted"] = "read_committed"
    fetch_max_bytes: Annotated[int, Field(ge=1024)] = 52_428_800
    max_partition_fetch_bytes: Annotated[int, Field(ge=1024)] = 1_048_576
    max_message_bytes: Annotated[int, Field(ge=1024)] = 1_048_576
    connect_timeout: Annotated[float, Field(gt=0)] = 10.0
    unreachable_after: Annotated[float, Field(gt=0)] = 15.0
    delivery_timeout: Annotated[float, Field(gt=0)] = 30.0
    extra: dict[str, Any] = Field(default_factory=dict)
    librdkafka: dict[str, Any] = Field(default_factory=dict)

    @field_validator("bootstrap_servers", mode="before")
    @classmethod
    def _join_servers(cls, value: Any) -> Any:
        """Accept a list of servers as well."""
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("bootstrap_servers")
    @classmethod
    def _check_servers(cls, value: str) -> str:
        servers = [server.strip() for server in value.split(",")]
        for server in servers:
            if not re.fullmatch(r"[^\s:/]+:\d{1,5}|\[[0-9A-Fa-f:.]+\]:\d{1,5}", server):
                raise ValueError("must be host:port, several parted by commas, such as kafka-1:9092,kafka-2:9092")
        return ",".join(servers)

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        sasl = self.security_protocol.startswith("SASL_")
        if sasl and self.sasl_mechanism is None:
            raise ValueError(f"security_protocol {self.security_protocol} needs sasl_mechanism, such as SCRAM-SHA-512")
        if not sasl and self.sasl_mechanism is not None:
            raise ValueError("sasl_mechanism is of no use unless security_protocol is SASL_SSL or SASL_PLAINTEXT")
        if self.sasl_mechanism in _BY_PASSWORD and (self.sasl_username is None or self.sasl_password is None):
            raise ValueError(f"sasl_mechanism {self.sasl_mechanism} needs sasl_username and sasl_password")
        return self

    @model_validator(mode="after")
    def _check_token(self) -> Self:
        """Check that a token can be had in one way, and only where one is asked for."""
        by_file, by_url = self.oauth_token_file is not None, self.oauth_token_url is not None
        if self.sasl_mechanism != "OAUTHBEARER":
            if by_file or by_url:
                raise ValueError(
                    "oauth_token_file and oauth_token_url are of no use unless sasl_mechanism is OAUTHBEARER"
                )
            return self
        if by_file == by_url:
            raise ValueError("sasl_mechanism OAUTHBEARER needs either oauth_token_file or oauth_token_url")
        if by_url and (self.oauth_client_id is None or self.oauth_client_secret is None):
            raise ValueError("oauth_token_url needs oauth_client_id and oauth_client_secret")
        return self

    @model_validator(mode="after")
    def _check_certificate(self) -> Self:
        """Check that a key comes with its certificate."""
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("ssl_keyfile is of no use without ssl_certfile, the certificate that the key is for")
        return self

    @model_validator(mode="after")
    def _check_client(self) -> Self:
        """Check what only one client can do."""
        if self.librdkafka and self.client != "librdkafka":
            raise ValueError("settings of librdkafka are of no use unless kafka.client is librdkafka")
        missing = what_is_missing(self.client)
        if missing is not None:
            raise ValueError(missing)
        if self.client == "librdkafka" and self.sasl_mechanism == "GSSAPI":
            # The wheels of confluent-kafka are built without Kerberos.
            raise ValueError("sasl_mechanism GSSAPI needs kafka.client kafka-python")
        return self

    @field_serializer("extra", "librdkafka")
    def _hide_secrets(self, extra: dict[str, Any]) -> dict[str, Any]:
        """Hide what may be secret among settings that only the client knows."""
        return {
            name: "**********" if re.search("password|secret|token|key", name, re.IGNORECASE) else value
            for name, value in extra.items()
        }

    def client_options(self) -> dict[str, Any]:
        """Return the arguments of ``KafkaOptions``, secrets revealed: never to be logged."""
        options: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            options[name] = str(value) if isinstance(value, Path) else value
        return options
