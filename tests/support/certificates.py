"""Certificates for tests: an authority of their own, what it signed, and the files that settings name."""

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)


@dataclass(frozen=True)
class Certificates:
    """Files in PEM.

    Attributes
    ----------
    authority
        Certificate of the authority.
    server, server_key
        Of a server on this machine, and its private key.
    encrypted_key
        The same private key under `password`.
    client
        Of a client, its private key in the same file.
    stranger
        Of a client that another authority signed.
    """

    authority: Path
    server: Path
    server_key: Path
    encrypted_key: Path
    password: str
    client: Path
    stranger: Path


def make_certificates(folder: Path, password: str = "open-sesame-4711") -> Certificates:  # for tests
    """Return certificates that were made in `folder`."""
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1", "localhost")
    made = Certificates(
        folder / "authority.pem",
        folder / "server.pem",
        folder / "server.key",
        folder / "encrypted.key",
        password,
        folder / "client.pem",
        folder / "stranger.pem",
    )
    authority.cert_pem.write_to_path(made.authority)
    for place, blob in enumerate(server.cert_chain_pems):
        blob.write_to_path(made.server, append=place > 0)
    server.private_key_pem.write_to_path(made.server_key)
    key = load_pem_private_key(server.private_key_pem.bytes(), None)
    encryption = BestAvailableEncryption(password.encode())
    made.encrypted_key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    authority.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(made.client)
    trustme.CA().issue_cert("stranger@example.org").private_key_and_cert_chain_pem.write_to_path(made.stranger)
    return made
