"""Why a cluster does not let us in, and what to do about it: its client says so only in its own words, if at all."""

import ssl

from kafka import errors

from consumers.errors import ConsumerError
from consumers.kafka_options import KafkaOptions

_OUR_CERTIFICATE = ("BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "CERTIFICATE_REQUIRED", "UNKNOWN_CA", "HANDSHAKE_FAILURE")

_UNREADABLE = ("PEM lib", "BAD_DECRYPT", "BAD_PASSWORD_READ")


def advice(refusal: BaseException, options: KafkaOptions) -> str | None:
    """Return why a connection was refused and what to do, in one line without secrets; None where that is not known.

    Parameters
    ----------
    refusal
        What the client met when it connected.
    options
        What it connected with.
    """
    if isinstance(refusal, ConsumerError):
        return str(refusal)
    if isinstance(refusal, errors.SaslAuthenticationFailedError):
        return _of_credentials(options)
    if isinstance(refusal, errors.UnsupportedSaslMechanismError):
        return f"it does not take sasl_mechanism {options.sasl_mechanism}: set one that its listener is configured for"
    text = str(refusal)
    if isinstance(refusal, ssl.SSLError | errors.KafkaConnectionError) and "[" in text:
        return _of_certificates(text, options)
    if isinstance(refusal, errors.InvalidReceiveError):
        return f"what answers there does not speak {options.security_protocol}: check security_protocol and the port"
    return None


def check_certificate(options: KafkaOptions) -> None:
    """Raise ConsumerError where our own certificate cannot be used: no cluster is needed to know that."""
    if options.ssl_certfile is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
            options.ssl_certfile, options.ssl_keyfile, options.ssl_password or ""
        )
    except OSError as error:
        why = _of_certificates(str(error), options) if isinstance(error, ssl.SSLError) else None
        file = options.ssl_keyfile or options.ssl_certfile
        raise ConsumerError(why or f"ssl_certfile {options.ssl_certfile} or {file} cannot be used: {error}") from error


def _of_credentials(options: KafkaOptions) -> str:
    if options.sasl_mechanism == "OAUTHBEARER":
        return "it refuses our token: check that the token has not run out and is meant for this cluster"
    return (
        f"it refuses the credentials of {options.sasl_username} ({options.sasl_mechanism}): check sasl_username, "
        f"sasl_password and sasl_mechanism"
    )


def _of_certificates(text: str, options: KafkaOptions) -> str | None:
    """Return what an error of TLS means, which `text` has in OpenSSL's words."""
    if "CERTIFICATE_VERIFY_FAILED" in text:
        why = text.rpartition("certificate verify failed: ")[2].rpartition(" (_ssl")[0]
        return f"its certificate is not trusted ({why}): set ssl_cafile to the certificate of its authority"
    if any(f"ALERT_{name}" in text for name in _OUR_CERTIFICATE):
        ours = f"ssl_certfile {options.ssl_certfile}" if options.ssl_certfile else "a client without a certificate"
        return f"it refuses {ours}: set ssl_certfile and ssl_keyfile to a certificate of an authority that it trusts"
    if "KEY_VALUES_MISMATCH" in text:
        return f"ssl_keyfile {options.ssl_keyfile} is not the key of ssl_certfile {options.ssl_certfile}: check both"
    if any(words in text for words in _UNREADABLE):
        files = " or ".join(filter(None, (options.ssl_certfile, options.ssl_keyfile)))
        return f"{files} cannot be read or unlocked: check that they are PEM files, and ssl_password"
    if text.startswith("KafkaConnectionError: ") and "SSL" in text:
        return f"what answers there does not speak {options.security_protocol}: check security_protocol and the port"
    return None
