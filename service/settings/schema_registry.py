"""The section ``schema_registry`` of the configuration: where the schemas of Avro messages are, and who asks."""

from importlib.util import find_spec
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from service.settings.section import ExistingFile, Section


class SchemaRegistrySettings(Section):
    """A registry with the interface of Confluent's.

    Attributes
    ----------
    url
        Its address; None: there is none, and Avro is refused.
    username, password
        For basic authentication.
    bearer_token
        In the place of both.
    ssl_cafile
        Authorities that its certificate may be signed by; None for those of the system.
    ssl_certfile, ssl_keyfile, ssl_password
        Our own certificate, where it asks for one, its key, and the password of that.
    timeout
        Seconds that it may take to answer; reading waits and asks again, and nothing is dropped.
    """

    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] | None = None
    username: str | None = None
    password: SecretStr | None = None
    bearer_token: SecretStr | None = None
    ssl_cafile: ExistingFile | None = None
    ssl_certfile: ExistingFile | None = None
    ssl_keyfile: ExistingFile | None = None
    ssl_password: SecretStr | None = None
    timeout: Annotated[float, Field(gt=0, le=600)] = 10.0

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        """Refuse an address with a password in it: addresses are logged."""
        if value is not None and "@" in value.partition("://")[2].partition("/")[0]:
            raise ValueError("must not hold a password: put it into schema_registry.username and .password")
        if value is not None and find_spec("fastavro") is None:
            raise ValueError("reading Avro needs fastavro, which is not installed: install headrace[avro]")
        return None if value is None else value.rstrip("/")

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together: set both, or neither")
        if self.username is not None and self.bearer_token is not None:
            raise ValueError("set either username and password, or bearer_token")
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("ssl_keyfile is of no use without ssl_certfile, the certificate that the key is for")
        given = (self.username, self.bearer_token, self.ssl_cafile, self.ssl_certfile)
        if self.url is None and any(each is not None for each in given):
            raise ValueError("url is missing: without the registry's address nothing else here is of use")
        return self
