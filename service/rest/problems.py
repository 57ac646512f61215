"""Everything that goes wrong in a request → ``application/problem+json`` (RFC 9457), with the field that is to blame.

On the path it stands between the routes and the client: a route raises, and a handler here makes the answer. Which
error becomes which status is decided here and nowhere else.
"""

import math
import time
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from consumers.errors import ConsumerError, SourceUnavailable
from models.errors import ModelError
from service.errors import PublicationMissing, RequestInvalid, StorageFailed
from service.rest.schemas import Problem
from service.security.headers import add_security_headers

PROBLEM_JSON = "application/problem+json"

_TRY_AGAIN = 2.0
"""Seconds for ``Retry-After`` where the cause names none: a trainer or a broker takes about that long to come back."""

_TELL_EVERY = 10.0
"""Seconds between two lines of log for one reason."""

_TELL_MOST = 100
"""Reasons that are remembered."""

_told: dict[str, float] = {}

_UNAVAILABLE = (ConsumerError, PublicationMissing, ModelError, StorageFailed)
"""What may be different in a moment, and is nothing that the client did."""

_log = structlog.get_logger("headrace.api")


def problem_response(
    request: Request, status: int, detail: str, *, field: str = "", retry_after: float | None = None
) -> Response:
    """Return the answer that tells a client what went wrong, and the metrics' middlemen the status."""
    headers = {} if retry_after is None else {"Retry-After": whole_seconds(retry_after)}
    return Response(encode_problem(request.url.path, status, detail, field), status, headers, PROBLEM_JSON)


def encode_problem(path: str, status: int, detail: str, field: str = "") -> bytes:
    """Return the body of the answer that tells a client at `path` what went wrong."""
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": path,
    }
    if field:
        problem["field"] = field
    if path.startswith("/v2"):
        problem["error"] = detail  # the Open Inference Protocol's clients look for it there
    return msgspec.json.encode(problem)


def whole_seconds(retry_after: float) -> str:
    """Return the value of ``Retry-After``: in whole seconds (RFC 9110); none at all would be read as "at once"."""
    return str(max(1, math.ceil(retry_after)))


def status_of(error: Exception) -> int:
    """Return the HTTP status that `error` is answered with."""
    if isinstance(error, RequestInvalid):
        return error.status
    if isinstance(error, ClientDisconnect):
        return HTTPStatus.BAD_REQUEST
    return HTTPStatus.SERVICE_UNAVAILABLE if isinstance(error, _UNAVAILABLE) else HTTPStatus.INTERNAL_SERVER_ERROR


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error of every route of `app` a problem."""
    app.add_exception_handler(RequestInvalid, _request_invalid)
    app.add_exception_handler(RequestValidationError, _validation_failed)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    for kind in _UNAVAILABLE:
        app.add_exception_handler(kind, _unavailable)
    app.add_exception_handler(Exception, _unexpected)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of the problems with which a route may answer."""
    return {
        status: {
            "description": _DESCRIPTIONS[status],
            "content": {PROBLEM_JSON: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}},
        }
        for status in statuses
    }


def nothing_there(path: str) -> str:
    """Return what to say of a path that leads nowhere."""
    return f"There is nothing at {path[:200]}; see /docs for what there is."


_DESCRIPTIONS = {
    400: "The request is malformed: it cannot be decoded.",
    401: "No API key was sent, or none that opens this API.",
    403: "The API key has no role that opens this call, or the configuration does not allow it.",
    404: "There is no model of that name.",
    409: "It contradicts what there is: `detail` says what, such as a request with the same Idempotency-Key that is "
    "being answered right now, or a model that the configuration declares.",
    412: "What `If-Match` or `If-None-Match` asks for is not so.",
    413: "The body is larger than `serve.max_body_bytes`, or has more rows than `limits.max_rows`.",
    415: "The body is of a content type that this call does not take.",
    422: "The request can be decoded but not used; `field` says where.",
    429: "Asked more often than `security.requests_per_second` allows; see Retry-After.",
    503: "Not now: the log, the broker or the model's parameters cannot be reached, or too much is being answered; "
    "see Retry-After.",
}


async def _request_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestInvalid)  # noqa: S101 - by registration
    return problem_response(request, error.status, str(error), field=error.field, retry_after=error.retry_after)


async def _validation_failed(request: Request, error: Exception) -> Response:
    """Answer what FastAPI itself found wrong: a parameter of the path or the query."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - by registration
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    return problem_response(request, HTTPStatus.UNPROCESSABLE_ENTITY, first["msg"], field=field)


async def _http_exception(request: Request, error: Exception) -> Response:
    """Answer what routing found wrong: no such path, or not with this method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - by registration
    detail = str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = nothing_there(request.url.path)
    response = problem_response(request, error.status_code, detail)
    response.headers.update(error.headers or {})
    return response


async def _disconnected(request: Request, _: Exception) -> Response:
    """Answer a client that is gone: nobody reads it, but the route must end without a traceback."""
    return problem_response(request, HTTPStatus.BAD_REQUEST, "The client went away before the body was complete.")


async def _unavailable(request: Request, error: Exception) -> Response:
    retry_after = error.retry_after if isinstance(error, SourceUnavailable) else _TRY_AGAIN
    tell_operator(str(error), request.url.path)
    return problem_response(request, HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry_after=retry_after)


def tell_operator(reason: str, path: str) -> None:
    """Log why requests are refused, now and then: an outage fails thousands of them for one and the same reason."""
    now = time.monotonic()
    if now - _told.get(reason, -math.inf) < _TELL_EVERY:
        return
    if len(_told) >= _TELL_MOST:
        _told.clear()
    _told[reason] = now
    _log.warning("requests are refused", reason=reason, path=path[:200])


async def _unexpected(request: Request, error: Exception) -> Response:
    """Answer a defect of ours; the traceback is for the log, not for the client."""
    _log.error("a request failed in a way that it must not", path=request.url.path, exc_info=error)
    detail = "Headrace failed in a way that it must not. Its log says more; please report it."
    response = problem_response(request, HTTPStatus.INTERNAL_SERVER_ERROR, detail)
    # This answer is given outside of the gate, which would have added them.
    response.raw_headers = add_security_headers(response.raw_headers, tls=request.url.scheme == "https")
    return response
