"""The short way of a small prediction: answered where its bytes arrive, past the application and its middleware.

On the path it stands between a connection (``short_protocol.py``) and the coalescer. It is judged by the same judge,
takes the same places and meets the same bounds as in the routes, by the same functions; what is left out is what
carries any request to any route: a task, a scope's way through six layers, a response object, a second write. Whatever
is not simply answered (a refusal, a mistake, an explanation, parameters that are missing) is handed over to the
application, which says why. So there is one place that words problems, and a defect here costs time and no more.
"""

import time
from collections.abc import Callable
from typing import Protocol

from starlette.types import Scope

from service.errors import RequestInvalid
from service.rest.coalescing import Answer
from service.rest.observations import raw_features
from service.rest.prediction_answers import answer_rows, encode_answer
from service.rest.prediction_requests import Asked, asked_in
from service.rest.routes_predict import FAILURE, INLINE_BYTES
from service.rest.served_model import ServedModel
from service.rest.serving_context import Context
from service.security.gate import JUDGED
from service.security.headers import Headers, add_security_headers
from service.security.judge import CALLER, Judge

_OTHERWISE = frozenset({b"content-encoding", b"expect", b"te", b"trailer", b"transfer-encoding", b"upgrade"})
"""Headers that change how a request is read or answered."""

_JSON = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})

_LONGEST_LENGTH = len(str(INLINE_BYTES))


class _TakesLonger(Exception):
    """What is asked is nothing for the event loop."""


class Asking(Protocol):
    """A request that waits for its answer, as its connection has it."""

    scope: Scope
    model: ServedModel
    body: bytes

    def answer(self, content: bytes) -> None:
        """Send the answer."""

    def hand_over(self) -> None:
        """Have the application answer."""


class ShortWay:
    """Answers predictions. Belongs to the event loop.

    Parameters
    ----------
    context
        What the routes share.
    judge
        The same as before the routes.
    """

    def __init__(self, context: Context, judge: Judge) -> None:
        self._judge = judge.judge
        self._counts = context.counts
        self._places = context.admission.lanes["predict"]
        self._rows = context.admission.rows
        self._limits = context.limits
        self._models = context.served_models
        self._head: dict[bool, tuple[Headers, bytes]] = {}

    def model_for(self, url: bytes, headers: Headers) -> ServedModel | None:
        """Return the model that a POST asks; None where it is to go the usual way, for whatever reason."""
        model = self._models.by_url.get(url)
        if model is None:
            return None
        known_length = False
        for name, value in headers:
            if name == b"content-length":
                known_length = len(value) <= _LONGEST_LENGTH and value.isdigit() and int(value) <= INLINE_BYTES
            elif name == b"content-type":
                if value not in _JSON:
                    return None
            elif name in _OTHERWISE:
                return None
        return model if known_length else None

    def ask(self, asking: Asking) -> None:
        """Have a request answered whose body is complete."""
        started = time.perf_counter()
        scope = asking.scope
        refusal = scope[JUDGED] = self._judge(scope)
        if refusal is not None:
            asking.hand_over()
            return
        caller, name = scope.get(CALLER), asking.model.name
        try:
            self._places.take(caller, name)
        except RequestInvalid:
            asking.hand_over()
            return
        try:
            asked = asked_in(asking.body, self._limits)
            remembered = asked.to_remember(asking.model.settings.remember)
            if asked.explain:
                raise _TakesLonger  # noqa: TRY301 - it leaves by the same door
            self._rows.take(len(asked.rows), model=name)
        # Whatever it is, the application will find the same, and say it.
        except Exception:  # noqa: BLE001
            self._places.give_back(caller, name)
            asking.hand_over()
            return

        def finish(content: bytes | None) -> None:
            self._places.give_back(caller, name)
            self._rows.give_back(len(asked.rows), name)
            if content is None:
                asking.hand_over()
                return
            self._counts.predicted(asking.model.name, 200, len(asked.rows), time.perf_counter() - started)
            asking.answer(content)

        def settle(found: Answer | Exception) -> None:
            self._settle(asking, asked, found, finish, remembered=remembered)

        asking.model.coalescer.ask(asked.rows, settle, asking.model.keys_of(asked.rows, asked.ids))

    def _settle(
        self,
        asking: Asking,
        asked: Asked,
        found: Answer | Exception,
        finish: Callable[[bytes | None], None],
        *,
        remembered: bool,
    ) -> None:
        """Have a request finished with its answer, or with None where the application is to give it."""
        if isinstance(found, Exception):
            finish(None)
            return
        served, predictions = found
        model = asking.model
        try:
            made = answer_rows(predictions, asked.ids)
            content = encode_answer(model.name, served, made)
            records = model.observations(asked, raw_features(asking.body), served, made) if remembered else []
        except Exception:  # noqa: BLE001 - as above; and others that were computed with it wait for theirs
            finish(None)
            return
        if not records:
            finish(content)
            return

        def kept(error: Exception | None) -> None:
            # It is not tried again there: the log may have it after all.
            if error is not None:
                asking.scope[FAILURE] = error
            finish(None if error is not None else content)

        model.remembering.keep(records, kept)

    def response(self, content: bytes, default: Headers, *, tls: bool, stays: bool) -> bytes:
        """Return an answer as it goes over the wire.

        Parameters
        ----------
        content
            The body.
        default
            Headers of all answers of this server; another list once one of them has changed.
        tls
            Whether the connection is encrypted.
        stays
            Whether the connection stays open.
        """
        known = self._head.get(tls)
        if known is None or known[0] is not default:
            known = self._head[tls] = (default, _head(default, tls=tls))
        length = str(len(content)).encode()
        return b"".join((known[1], length, b"\r\n\r\n" if stays else b"\r\nconnection: close\r\n\r\n", content))


def _head(default: Headers, *, tls: bool) -> bytes:
    """Return status line and headers up to the length of what follows."""
    headers = add_security_headers([*default, (b"content-type", b"application/json")], tls=tls)
    lines = [name + b": " + value for name, value in headers]
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"content-length: "])
