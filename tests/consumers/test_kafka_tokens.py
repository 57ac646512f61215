"""Access tokens for Kafka: from a file, or from an authorization server."""

import base64
import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from consumers.errors import ConsumerError, SourceUnavailable
from consumers.kafka_options import KafkaOptions
from consumers.kafka_tokens import TokenFile, TokenServer, token_provider

SECRET = "rabbit: 50% & more"


class Authority(HTTPServer):
    """An authorization server that gives what a test wants it to, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.status = 200
        self.answer: object = {"access_token": "first", "expires_in": 3600}
        self.asked: list[tuple[str, dict[str, list[str]]]] = []

    def options(self, scope: str | None = None) -> KafkaOptions:
        return KafkaOptions(
            sasl_mechanism="OAUTHBEARER",
            oauth_token_url=f"http://127.0.0.1:{self.server_port}/token",
            oauth_client_id="head race",
            oauth_client_secret=SECRET,
            oauth_scope=scope,
        )


class Asked(BaseHTTPRequestHandler):
    """One question."""

    server: Authority

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.asked.append((self.headers["Authorization"], urllib.parse.parse_qs(body)))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(json.dumps(self.server.answer).encode())

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - as its base class calls it
        """Say nothing."""


@pytest.fixture
def authority() -> Iterator[Authority]:
    server = Authority()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_asks_as_oauth_has_it(authority: Authority) -> None:
    """Else an authorization server refuses, or gives a token for something else."""
    provider = token_provider(authority.options(scope="kafka"))
    assert provider is not None
    assert provider.token() == "first"
    ((named, fields),) = authority.asked
    assert base64.b64decode(named.removeprefix("Basic ")).decode() == f"head+race:{urllib.parse.quote_plus(SECRET)}"
    assert fields == {"grant_type": ["client_credentials"], "scope": ["kafka"]}


def test_a_token_is_used_again_while_it_is_fresh(authority: Authority) -> None:
    """Else every connection costs a token, or one that has run out is sent for ever."""
    provider = TokenServer(authority.options())
    assert [provider.token(), provider.token()] == ["first", "first"]
    assert len(authority.asked) == 1
    authority.answer = {"access_token": "short", "expires_in": 0}
    stale = TokenServer(authority.options())
    assert stale.token() == "short"
    authority.answer = {"access_token": "next"}
    assert stale.token() == "next"


@pytest.mark.parametrize(
    ("status", "answer", "told"),
    [
        (401, {}, "answered 401: check oauth_client_id"),
        (200, {"error": "no"}, "holds no access_token"),
        (200, [], "holds"),
    ],
)
def test_a_refusal_is_told_without_the_secret(authority: Authority, status: int, answer: object, told: str) -> None:
    """Else an operator sees a traceback, or everybody who reads logs sees the secret."""
    authority.status, authority.answer = status, answer
    with pytest.raises(SourceUnavailable, match=told) as caught:
        TokenServer(authority.options()).token()
    assert "rabbit" not in str(caught.value)
    assert "rabbit" not in repr(authority.options())


def test_an_authority_that_is_not_there_is_told() -> None:
    """Else Kafka is looked at when the authorization server is down."""
    options = KafkaOptions(oauth_token_url="http://127.0.0.1:1/token", oauth_client_id="a", oauth_client_secret=SECRET)
    with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1:1/token gave no token"):
        TokenServer(options).token()


def test_a_file_is_read_anew(tmp_path: Path) -> None:
    """Else a token that a sidecar renewed is not used before a restart."""
    file = tmp_path / "token"
    provider = TokenFile(file)
    with pytest.raises(SourceUnavailable, match="holds no token"):
        provider.token()
    file.write_text("one\n")
    assert provider.token() == "one"
    file.write_text(" ")
    with pytest.raises(SourceUnavailable, match="is empty"):
        provider.token()


def test_the_client_gets_tokens_only_where_it_needs_them() -> None:
    """Else other mechanisms are refused by the client, or a missing address shows up as a client's riddle."""
    assert token_provider(KafkaOptions(sasl_mechanism="PLAIN")) is None
    own = object()
    assert token_provider(KafkaOptions(sasl_mechanism="OAUTHBEARER", extra={"sasl_oauth_token_provider": own})) is None
    with pytest.raises(ConsumerError, match="oauth_token_file or oauth_token_url"):
        token_provider(KafkaOptions(sasl_mechanism="OAUTHBEARER"))
