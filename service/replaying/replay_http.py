"""Replayed events to a server: ``POST …/events``, safe to try again, until each batch is durable there."""

import time
import uuid
from collections.abc import Callable, Sequence

import httpx
import msgspec

from service.errors import DeliveryFailed
from service.monitoring.live_state import key_headers
from service.replaying.message_forms import CONTENT_TYPES, Format, body_of
from service.replaying.replay_targets import Delivered

_TRY_AGAIN = {409, 429, 502, 503, 504}
"""Statuses of a server, or of what stands before it, that are different in a moment."""

_PATIENCE = 60.0
"""Seconds during which a batch is tried again: a server that restarts is back by then."""

_FIRST_DELAY, _LONGEST_DELAY = 0.1, 5.0

_NOT_APPENDED = "not_appended"
"""What a server says of an event that Kafka did not acknowledge: it is to be sent again, by itself."""

_TRIES = 5
"""How often that is done: a record that is too large for its topic is refused every time."""
_TIMEOUT = 30.0


class HttpTarget:
    """Sends events to a server; a batch that fails half-way is sent again, and taken once.

    Parameters
    ----------
    url
        The server's address, such as ``http://127.0.0.1:8000``.
    model
        Whose events they are.
    form
        How a batch is written down; any but ``avro``.
    patience
        Seconds during which a batch is tried again while the server cannot be reached or says that it cannot now.
    sleep
        Waits some seconds.
    key
        The API key to send; None for none.
    """

    def __init__(
        self,
        url: str,
        model: str = "default",
        form: Format = "ndjson",
        *,
        patience: float = _PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
        key: str | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._path = f"/v1/models/{model}"
        self._form: Format = form
        self._patience = patience
        self._sleep = sleep
        self._client = httpx.Client(base_url=self._url, timeout=_TIMEOUT, headers=key_headers(key))
        self._run = uuid.uuid4().hex
        self._batch = 0

    def check(self) -> None:
        """Look whether the server is there and knows the model.

        Raises
        ------
        DeliveryFailed
        """
        try:
            answer = self._client.get(self._path)
        except httpx.HTTPError as error:
            raise DeliveryFailed(
                f"nothing answers at {self._url} ({_reason(error)}): start a service with `headrace up`, or name the "
                "address of another with --to URL"
            ) from None
        if answer.status_code != httpx.codes.OK:
            raise DeliveryFailed(f"{self._url}{self._path} answers {answer.status_code}: {_detail(answer)}")

    def send(self, events: Sequence[bytes]) -> Delivered:
        """Deliver `events`; see :class:`Target`."""
        self._batch += 1
        return self._send(events, f"{self._run}-{self._batch}")

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def _send(self, events: Sequence[bytes], key: str, tries: int = _TRIES) -> Delivered:
        answer = self._post(body_of(events, self._form), key)
        if answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE and len(events) > 1:
            middle = len(events) // 2
            return self._send(events[:middle], f"{key}.0") + self._send(events[middle:], f"{key}.1")
        if answer.status_code != httpx.codes.ACCEPTED:
            raise DeliveryFailed(f"{self._url} refuses the events with {answer.status_code}: {_detail(answer)}")
        taken = msgspec.json.decode(answer.content)
        delivered = Delivered(taken["accepted"])
        later = []
        for rejected in taken["rejected"]:
            if rejected["reason"] == _NOT_APPENDED and tries > 1:
                later.append(events[rejected["index"]])
            else:
                delivered += Delivered(0, {rejected["reason"]: 1})
        if later:
            self._sleep(_FIRST_DELAY * 2 ** (_TRIES - tries))
            delivered += self._send(later, f"{key}.again", tries - 1)
        return delivered

    def _post(self, body: bytes, key: str) -> httpx.Response:
        """Return the first answer that is not "later"; the key makes it safe to ask again."""
        headers = {"content-type": CONTENT_TYPES[self._form], "idempotency-key": key}
        give_up = time.monotonic() + self._patience
        delay = _FIRST_DELAY
        while True:
            try:
                answer = self._client.post(f"{self._path}/events", content=body, headers=headers)
            except httpx.TransportError as error:
                problem, wait = f"cannot be reached ({_reason(error)})", delay
            else:
                if answer.status_code not in _TRY_AGAIN:
                    return answer
                problem = f"answers {answer.status_code}: {_detail(answer)}"
                wait = max(delay, _retry_after(answer))
            if time.monotonic() + wait > give_up:
                raise DeliveryFailed(f"{self._url} {problem}; gave up after {self._patience:g} s")
            self._sleep(wait)
            delay = min(delay * 2, _LONGEST_DELAY)


def _retry_after(answer: httpx.Response) -> float:
    """Return the seconds that the server asks to wait; 0 where it names none, or a date."""
    value = answer.headers.get("retry-after", "")
    return min(float(value), _LONGEST_DELAY) if value.isdecimal() else 0.0


def _detail(answer: httpx.Response) -> str:
    """Return what a problem says; of any other answer, how it begins."""
    try:
        problem = answer.json()
        return str(problem["detail"]) + (f" (field {problem['field']})" if problem.get("field") else "")
    except (ValueError, KeyError, TypeError):
        return " ".join(answer.text[:200].split()) or answer.reason_phrase


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
