"""Access tokens for ``OAUTHBEARER``: read from a file, or asked for at an authorization server.

The client asks for a token whenever it connects, and again before the session that the broker allowed runs out.
"""

import base64
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from abc import abstractmethod
from pathlib import Path

from kafka.net.sasl.oauth import AbstractTokenProvider

from consumers.errors import ConsumerError, SourceUnavailable
from consumers.kafka_options import KafkaOptions

_ASK_SECONDS = 5.0
"""How long an authorization server may take: the client does nothing else meanwhile."""

_FRESH_SHARE = 0.8
"""Share of its life for which a token is used again; a new one is asked for after that."""

_LIFE_WHERE_NONE_IS_SAID = 300.0  # seconds
_LARGEST_ANSWER = 1_048_576


def token_provider(options: KafkaOptions) -> "TokenProvider | None":
    """Return what hands the client its tokens; None where the mechanism is another one.

    Raises
    ------
    ConsumerError
        The options do not say where tokens come from.
    """
    if options.sasl_mechanism != "OAUTHBEARER" or "sasl_oauth_token_provider" in options.extra:
        return None
    if options.oauth_token_file is not None:
        return TokenFile(Path(options.oauth_token_file))
    if options.oauth_token_url is not None:
        return TokenServer(options)
    raise ConsumerError("OAUTHBEARER needs to know where tokens come from: set oauth_token_file or oauth_token_url")


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # the client has no type hints
    """Hands out tokens; kafka-python asks for one whenever it connects, librdkafka also how long it lives."""

    @abstractmethod
    def token(self) -> str:
        """Return a token that is good now."""

    def seconds_left(self, token: str) -> float:
        """Return for how long a token is good from now on: what it says itself where it is a JSON web token."""
        try:
            claims = token.split(".")[1]
            said = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
            return float(said["exp"]) - time.time()
        except (IndexError, ValueError, KeyError, TypeError):
            return _LIFE_WHERE_NONE_IS_SAID


class TokenFile(TokenProvider):
    """Hands out what a file holds at that moment: somebody else renews it, as a mounted secret or a sidecar does.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def token(self) -> str:
        """Return the token.

        Raises
        ------
        SourceUnavailable
            The file cannot be read, or is empty.
        """
        try:
            token = self._path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SourceUnavailable(f"oauth_token_file {self._path} holds no token for Kafka: {error}") from None
        if not token:
            raise SourceUnavailable(f"oauth_token_file {self._path} is empty: it must hold a token for Kafka")
        return token


class TokenServer(TokenProvider):
    """Asks an authorization server with OAuth's client credentials grant, and keeps the token while it is fresh.

    Parameters
    ----------
    options
        Its address, the client's id and secret, and the scope.
    """

    def __init__(self, options: KafkaOptions) -> None:
        super().__init__()
        self._options = options
        self._lock = threading.Lock()
        self._token = ""
        self._fresh_until = self._good_until = 0.0

    def token(self) -> str:
        """Return a token that is fresh.

        Raises
        ------
        SourceUnavailable
            The server did not give one.
        """
        with self._lock:
            if not self._token or time.monotonic() >= self._fresh_until:
                self._token, seconds = self._ask()
                self._fresh_until = time.monotonic() + seconds * _FRESH_SHARE
                self._good_until = time.monotonic() + seconds
            return self._token

    def seconds_left(self, token: str) -> float:
        """Return for how long a token is good from now on, as the server said where it gave this one."""
        if token == self._token:
            return self._good_until - time.monotonic()
        return super().seconds_left(token)

    def _ask(self) -> tuple[str, float]:
        """Return a new token and the seconds for which it is good."""
        url = self._options.oauth_token_url or ""
        try:
            with urllib.request.urlopen(self._request(url), timeout=_ASK_SECONDS) as answer:  # noqa: S310 -- http(s) only
                found = json.loads(answer.read(_LARGEST_ANSWER))
            return str(found["access_token"]), float(found.get("expires_in", _LIFE_WHERE_NONE_IS_SAID))
        except urllib.error.HTTPError as error:
            why = f"it answered {error.code}: check oauth_client_id, oauth_client_secret and oauth_scope"
        except (OSError, ValueError) as error:
            why = f"{type(error).__name__}: {error}"
        except (KeyError, TypeError):
            why = "its answer holds no access_token"
        raise SourceUnavailable(f"oauth_token_url {url} gave no token for Kafka: {why}")

    def _request(self, url: str) -> urllib.request.Request:
        options = self._options
        fields = {"grant_type": "client_credentials"}
        if options.oauth_scope is not None:
            fields["scope"] = options.oauth_scope
        named = f"{_quoted(options.oauth_client_id)}:{_quoted(options.oauth_client_secret)}".encode()
        headers = {
            "Authorization": "Basic " + base64.b64encode(named).decode(),
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        return urllib.request.Request(url, urllib.parse.urlencode(fields).encode(), headers)  # noqa: S310 -- as above


def _quoted(text: str | None) -> str:
    """Return `text` as OAuth wants ids and secrets within HTTP's basic credentials."""
    return urllib.parse.quote_plus(text or "")
