"""The API's certificate: what is spoken, and what is said of files that are wrong."""

import pickle
import ssl
from pathlib import Path

import pytest

from service.config import ServeSettings
from service.errors import ConfigurationInvalid
from service.security.tls import TlsContext
from tests.support.certificates import Certificates, make_certificates


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def serving(files: Certificates, **others: object) -> ServeSettings:
    """Return settings with the server's certificate."""
    named = {"tls_certfile": files.server, "tls_keyfile": files.server_key} | others
    return ServeSettings.model_validate(named)


def test_nothing_old_is_spoken(files: Certificates) -> None:
    """A client could be talked into a version that is broken."""
    context = TlsContext(serving(files))()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_NONE


def test_clients_are_asked_for_certificates_where_that_is_wanted(files: Certificates) -> None:
    """Anybody could connect although mutual TLS is configured."""
    context = TlsContext(serving(files, tls_client_cafile=files.authority))()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) == 1


def test_it_reaches_the_workers(files: Certificates) -> None:
    """Several workers could not be started under TLS."""
    made = TlsContext(serving(files, tls_keyfile=files.encrypted_key, tls_key_password=files.password))
    assert isinstance(pickle.loads(pickle.dumps(made))(), ssl.SSLContext)


def handshake(files: Certificates, certificate: Path | None) -> str | None:
    """Let a client with `certificate` meet a server that asks for one; return the TLS version, None where refused."""
    client_context = ssl.create_default_context(cafile=str(files.authority))
    if certificate is not None:
        client_context.load_cert_chain(certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    server_context = TlsContext(serving(files, tls_client_cafile=files.authority))()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    finished: set[ssl.SSLObject] = set()
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
                finished.add(side)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return None
    assert finished == {client, server}
    return server.version()


def test_a_client_needs_a_certificate_of_the_right_authority(files: Certificates) -> None:
    """A stranger could connect although mutual TLS is configured."""
    assert handshake(files, files.client) in ("TLSv1.2", "TLSv1.3")
    assert handshake(files, None) is None
    assert handshake(files, files.stranger) is None


@pytest.mark.parametrize("password", [None, "wrong-password-0815"])
def test_an_encrypted_key_needs_its_password(files: Certificates, password: str | None) -> None:
    """The server would wait for somebody to type it, or show the wrong one."""
    with pytest.raises(ConfigurationInvalid, match=r"serve\.tls_key_password") as told:
        TlsContext(serving(files, tls_keyfile=files.encrypted_key, tls_key_password=password))()
    assert "0815" not in str(told.value)
    assert told.value.__suppress_context__


def test_wrong_files_are_said_to_be(files: Certificates, tmp_path: Path) -> None:
    """Whoever set it up would have to guess which of the files is wrong."""
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    other = make_certificates(tmp_path)
    for settings, said in (
        (serving(files, tls_keyfile=other.server_key), "serve.tls_keyfile: .* is not the key of"),
        (serving(files, tls_certfile=nonsense), "serve.tls_certfile.*must be PEM"),
        (serving(files, tls_client_cafile=nonsense), "serve.tls_client_cafile.*authorities"),
    ):
        with pytest.raises(ConfigurationInvalid, match=said):
            TlsContext(settings)()
    nonsense.unlink()
    gone = serving(files).model_copy(update={"tls_keyfile": nonsense})
    with pytest.raises(ConfigurationInvalid, match="cannot be read"):
        TlsContext(gone)()
