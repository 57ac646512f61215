"""Sections of the configuration that say who may call the API, how much of it, and how it listens."""

import ipaddress
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from service.settings.section import ExistingFile, Port, Section


class ServeSettings(Section):
    """Where the REST API listens, in how many processes, under which certificate, and how large a request may be.

    Attributes
    ----------
    tls_certfile, tls_keyfile
        Certificate, with those above it up to the root's, and its private key (PEM). Without them it is plain HTTP.
    tls_key_password
        Of the private key, where it is encrypted.
    tls_client_cafile
        Certificates of authorities (PEM): a client must show a certificate that one of them signed (mutual TLS).
    trusted_proxies
        Addresses or networks of proxies that are believed when they say, in ``X-Forwarded-For`` and
        ``X-Forwarded-Proto``, who the client is and how it came.
    """

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Port = 8000
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    max_body_bytes: Annotated[int, Field(ge=1024)] = 8_388_608
    tls_certfile: ExistingFile | None = None
    tls_keyfile: ExistingFile | None = None
    tls_key_password: SecretStr | None = None
    tls_client_cafile: ExistingFile | None = None
    trusted_proxies: tuple[str, ...] = ()

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            try:
                ipaddress.ip_network(each, strict=False)
            except ValueError:
                raise ValueError(
                    f"{each!r} is neither an address nor a network, such as 10.0.0.7 or 10.0.0.0/24"
                ) from None
        return value

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.tls_certfile is None) != (self.tls_keyfile is None):
            raise ValueError("tls_certfile and tls_keyfile go together: set both for TLS, or neither")
        if self.tls_certfile is None and (self.tls_client_cafile or self.tls_key_password):
            raise ValueError(
                "tls_client_cafile and tls_key_password are of no use without tls_certfile and tls_keyfile"
            )
        return self

    @property
    def uses_tls(self) -> bool:
        """Whether clients come by HTTPS."""
        return self.tls_certfile is not None

    def address(self, host: str | None = None, port: int | None = None) -> str:
        """Return the address of the API; `host` and `port` instead of the configured ones where they are given."""
        name = host or self.host
        return f"{'https' if self.uses_tls else 'http'}://{f'[{name}]' if ':' in name else name}:{port or self.port}"


class SecuritySettings(Section):
    """Who may call the API.

    Attributes
    ----------
    api_keys_file
        The keys that open it, as ``headrace keys`` writes them. Without one nobody is asked for a key.
    allow_anonymous
        Listen beyond this machine without keys all the same, because something else keeps strangers out.
    requests_per_second
        Of one key, or without keys of one address, in each process of the server; more are answered with 429. Without
        a bound, none is counted.
    """

    api_keys_file: Path | None = None
    allow_anonymous: bool = False
    requests_per_second: Annotated[float, Field(gt=0, le=1_000_000)] | None = None

    @field_validator("api_keys_file")
    @classmethod
    def _expand(cls, value: Path | None) -> Path | None:
        """Take ``~`` for the home folder. Whether the file is there is asked when it is needed: a command makes it."""
        if value is None:
            return None
        if value.expanduser().is_dir():
            raise ValueError("is a folder, and must be a file; `headrace keys add NAME --role predict` makes one")
        return value.expanduser()


class LimitsSettings(Section):
    """How much a client may ask for, and how much this server takes on at once; each is for one process of it.

    Attributes
    ----------
    max_rows
        Instances or events in one request.
    max_features
        Values in one instance or event, those in lists and nested objects included.
    max_nesting
        Levels of objects and lists within features.
    max_text
        Characters of a name or of a text among the features.
    max_explained
        Features, over all instances of one request that is to be explained: the model is asked once more for each.
    max_header_bytes
        Of a request's line and headers together.
    max_concurrent
        Predictions being answered at once, and as many requests of each other kind (events; everything else). One key
        may take up three quarters of them.
    max_queued_rows, max_queued_bytes
        Instances and events that are being dealt with, and bytes of the large bodies (beyond 64 KiB) that have arrived
        for them. A single request may exceed them.
    max_connections
        Open connections. A few more are taken for probes.
    slow_client_seconds
        A client that takes longer to send its headers, that in so long sends less of its body than 16 KiB a second,
        or that does not read its answer for so long, is cut off.
    keep_alive_seconds
        How long a connection without any request stays open.
    """

    max_rows: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    max_features: Annotated[int, Field(ge=1)] = 10_000
    max_nesting: Annotated[int, Field(ge=1, le=32)] = 32
    max_text: Annotated[int, Field(ge=16)] = 65_536
    max_explained: Annotated[int, Field(ge=1, le=100_000)] = 4_096
    max_header_bytes: Annotated[int, Field(ge=1024, le=1_048_576)] = 16_384
    max_concurrent: Annotated[int, Field(ge=1)] = 100
    max_queued_rows: Annotated[int, Field(ge=1)] = 50_000
    max_queued_bytes: Annotated[int, Field(ge=1024)] = 67_108_864
    max_connections: Annotated[int, Field(ge=1)] = 1000
    slow_client_seconds: Annotated[float, Field(gt=0, le=3600)] = 10
    keep_alive_seconds: Annotated[int, Field(ge=1, le=3600)] = 5
