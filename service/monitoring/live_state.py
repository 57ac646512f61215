"""What a running service says of a model, watched from outside: for progress bars, and to know when all is learned."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

import httpx

from service.errors import DeliveryFailed

_EVERY = 0.4
"""Seconds between two looks; the trainer renews its report up to five times a second."""

_SCORES = (
    ("accuracy", (("majority_accuracy", "majority class"), ("no_change_accuracy", "last label"))),
    ("mae", (("mean_mae", "mean"), ("no_change_mae", "last value"))),
)
"""Score that is shown → its baselines: the score of whoever always says so."""


class LiveState:
    """Asks a server for a model's state again and again, in a thread of its own; a context.

    Parameters
    ----------
    url
        The server's address.
    model
        Whose state.
    key
        The API key to send; None for none.
    """

    def __init__(self, url: str, model: str = "default", key: str | None = None) -> None:
        self._client = httpx.Client(base_url=url, timeout=5.0, headers=key_headers(key))
        self._path = f"/v1/models/{model}"
        self._state: Mapping[str, Any] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="live state", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    @property
    def state(self) -> Mapping[str, Any]:
        """The last answer; empty before the first."""
        return self._state

    @property
    def consumed(self) -> int:
        """Events that the trainer has passed, usable or not."""
        return int(self._state.get("events_consumed") or 0)

    def wait_for(self, consumed: int, notice: Callable[[Mapping[str, Any]], None], patience: float = 60.0) -> None:
        """Wait until the trainer has passed `consumed` events.

        Parameters
        ----------
        consumed
            How many.
        notice
            Called with the state while waiting.
        patience
            Seconds without any progress after which to give up.

        Raises
        ------
        DeliveryFailed
        """
        last, since = self.consumed, time.monotonic()
        while self.consumed < consumed:
            notice(self._state)
            if self.consumed > last:
                last, since = self.consumed, time.monotonic()
            elif time.monotonic() - since > patience:
                raise DeliveryFailed(
                    f"the events arrived, but {consumed - last} of them are not learned, and nothing has moved for "
                    f"{patience:g} s; the trainer is {self._state.get('state', 'unknown')}: {_last_error(self._state)}"
                )
            time.sleep(_EVERY / 2)
        notice(self._state)

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY):
            self._look()

    def _look(self) -> None:
        try:
            answer = self._client.get(self._path)
        except httpx.HTTPError:
            # The server may be restarting, or there is none beside the topic; what was known stays.
            return
        if answer.status_code == httpx.codes.OK:
            self._state = answer.json()


def key_headers(key: str | None) -> dict[str, str]:
    """Return the headers with which a client shows its key."""
    return {} if key is None else {"authorization": f"Bearer {key}"}


def headline(state: Mapping[str, Any]) -> dict[str, float]:
    """Return the score over the whole stream that the task is judged by, and its baselines; perhaps none."""
    scores = state.get("scores", {}).get("stream", {})
    for score, baselines in _SCORES:
        if scores.get(score) is not None:
            names = (score, *(name for name, _ in baselines))
            return {name: float(scores[name]) for name in names if scores.get(name) is not None}
    return {}


def describe(state: Mapping[str, Any]) -> str:
    """Return the score and its baselines for a person: ``accuracy 0.987 (majority class 0.786, last label 0.981)``."""
    found = headline(state)
    for score, baselines in _SCORES:
        if score in found:
            beside = ", ".join(f"{words} {_short(found[name])}" for name, words in baselines if name in found)
            return f"{score} {_short(found[score])}" + (f" ({beside})" if beside else "")
    return "no score yet"


def _short(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"


def _last_error(state: Mapping[str, Any]) -> str:
    errors = state.get("errors") or []
    return str(errors[-1]["message"]) if errors else "look into its log"
