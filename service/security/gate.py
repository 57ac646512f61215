"""The gate before all routes: it lets a request through, or answers in the application's place.

On the path it is the first thing that a request to the application meets, before routing and before any of its body is
read. It is a plain ASGI application around the other one, so that it costs a request a few microseconds. What it lets
through ``judge.py`` decides.
"""

import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.monitoring.prediction_counts import PredictionCounts
from service.rest.problems import PROBLEM_JSON, encode_problem, tell_operator, whole_seconds
from service.security.access import methods_at, model_at
from service.security.headers import add_security_headers
from service.security.judge import PLACE, Judge, Refusal, caller_of

JUDGED = "headrace.judged"
"""Where in a request's scope its judgement stands where it was judged before, so that it counts once: a refusal, or
None."""

_NO_PLACE = contextlib.nullcontext()


class Gate:
    """Lets requests through to an application, or answers in its place.

    Parameters
    ----------
    app
        The application.
    judge
        Decides which.
    counts
        Where predictions that were refused are counted.
    """

    def __init__(self, app: ASGIApp, judge: Judge, counts: PredictionCounts) -> None:
        self._app = app
        self._judge = judge
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        tls = scope["scheme"] == "https"

        async def send_dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = add_security_headers(message["headers"], tls=tls)
            await send(message)

        refusal = scope[JUDGED] if JUDGED in scope else self._judge.judge(scope)
        if refusal is None:
            with scope.get(PLACE, _NO_PLACE):
                await self._app(scope, receive, send_dressed)
        else:
            self._note(refusal, scope)
            stays = await self._judge.tarpit.hold(caller_of(scope))
            await _refuse(refusal if stays else refusal.closing(), scope, send_dressed)

    def _note(self, refusal: Refusal, scope: Scope) -> None:
        """Tell the operator of a refusal, and count it."""
        if refusal.status in (401, 403):
            tell_operator(refusal.detail, scope["path"])
        access = methods_at(scope["path"]).get(scope["method"])
        if access is not None and access.lane == "predict":
            self._counts.refused(model_at(scope["path"]), refusal.status)


async def _refuse(refusal: Refusal, scope: Scope, send: Send) -> None:
    """Answer in place of the application: as directly as can be, for under a flood this is what is done most."""
    body = encode_problem(scope["path"], refusal.status, refusal.detail)
    headers = [(b"content-type", PROBLEM_JSON.encode()), (b"content-length", str(len(body)).encode())]
    if refusal.retry_after is not None:
        headers.append((b"retry-after", whole_seconds(refusal.retry_after).encode()))
    headers += [(name.encode(), value.encode()) for name, value in refusal.headers]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
