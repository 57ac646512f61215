"""The API's certificate: what TLS needs, made anew in each process that serves, and wrong files said to be wrong.

Nothing older than TLS 1.2 is spoken. Where authorities for clients are named, a client without a certificate that one
of them signed gets no connection at all; it still needs a key, for a certificate says who somebody is, not what for.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from service.config import ServeSettings
from service.errors import ConfigurationInvalid


@dataclass(frozen=True, slots=True)
class TlsContext:
    """Makes the context; may be pickled.

    Attributes
    ----------
    serve
        The settings.
    """

    serve: ServeSettings

    def __call__(self, _config: object = None, _default: Callable[[], ssl.SSLContext] | None = None) -> ssl.SSLContext:
        """Return the context; called by the HTTP server.

        Raises
        ------
        ConfigurationInvalid
            A file is not what it should be; the message says which, and never quotes it.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load_certificate(context)
        if self.serve.tls_client_cafile is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            try:
                context.load_verify_locations(self.serve.tls_client_cafile)
            except (ssl.SSLError, OSError) as error:
                raise ConfigurationInvalid(
                    f"serve.tls_client_cafile: {self.serve.tls_client_cafile} cannot be used ({_reason(error)}); it "
                    "must hold certificates of authorities (PEM)"
                ) from None
        return context

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        serve = self.serve
        assert serve.tls_certfile is not None  # noqa: S101 - whoever makes this has looked
        password = "" if serve.tls_key_password is None else serve.tls_key_password.get_secret_value()
        try:
            # A password is always given: without one OpenSSL would ask for it at the terminal, and wait.
            context.load_cert_chain(serve.tls_certfile, serve.tls_keyfile, lambda: password)
        except ssl.SSLError as error:
            raise ConfigurationInvalid(_explained(serve, error)) from None
        except OSError as error:
            raise ConfigurationInvalid(
                f"serve.tls_certfile, serve.tls_keyfile: {error.filename or 'one of them'} cannot be read "
                f"({_reason(error)}); whoever runs the server must be allowed to"
            ) from None


def _explained(serve: ServeSettings, error: ssl.SSLError) -> str:
    """Return what is wrong with certificate and key."""
    if error.reason == "KEY_VALUES_MISMATCH":
        return (
            f"serve.tls_keyfile: {serve.tls_keyfile} is not the key of the certificate in {serve.tls_certfile}; the "
            "server's own certificate must stand first in its file"
        )
    # What OpenSSL says of a wrong password differs from version to version, and may look like a damaged key.
    secret = "is wrong" if serve.tls_key_password is not None else "is missing, where the key is encrypted"
    return (
        f"serve.tls_certfile, serve.tls_keyfile: {serve.tls_certfile} and {serve.tls_keyfile} cannot be used "
        f"({_reason(error)}): both must be PEM, or serve.tls_key_password {secret}"
    )


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or type(error).__name__)
