"""``POST …/events``: events from HTTP into the log, answered once they are durable there.

On the path it stands before the log. An event becomes one record; what cannot be decoded is refused here, with its
index, and costs the other events nothing. Whether a label fits the task only the trainer can say.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

import anyio.to_thread
import msgspec
from fastapi import FastAPI, Request
from starlette.responses import Response

from consumers.errors import AppendFailed
from consumers.source import NewRecord, Sink
from service.decoding.event_bodies import events_from_body
from service.decoding.event_problems import Problem
from service.decoding.payloads import ARROW, JSON, NDJSON
from service.errors import RequestInvalid
from service.events import EventDecoder
from service.rest.idempotency import KEY_PARAMETER, key_of
from service.rest.problems import problems
from service.rest.request_body import read_body, weight_of
from service.rest.routing import MODEL_PREFIX, DirectRoute, model_parameter, reference
from service.rest.schemas_rows import Event, EventsAnswer
from service.rest.served_model import ServedModel
from service.rest.serving_context import Context
from service.security.judge import CALLER
from service.settings.event_options import RECORD_KEY, EventOptions

NOT_APPENDED = "not_appended"
"""Reason of an event that the log did not acknowledge, where it did others: it may be sent again by itself."""

_encode = msgspec.json.Encoder().encode


class EventRoutes:
    """The call that takes events, for all models."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._decoders = threading.local()

    def add_to(self, app: FastAPI) -> None:
        """Register the routes."""
        for path in (f"{MODEL_PREFIX}/events", "/events"):
            app.router.add_api_route(
                path,
                self.events,
                methods=["POST"],
                status_code=202,
                route_class_override=DirectRoute,
                tags=["events"],
                summary="Send events to learn from",
                description=_DESCRIPTION,
                operation_id="events" if "{model}" in path else "events_default",
                responses={202: {"model": EventsAnswer}, **problems(400, 404, 409, 413, 415, 422, 503)},
                openapi_extra={"parameters": [*model_parameter(path), KEY_PARAMETER], "requestBody": _BODY},
            )

    async def events(self, request: Request) -> Response:
        """Take the events of one request."""
        model = self._context.model_of(request)
        key = key_of(request)
        context = self._context
        held = context.admission.body_bytes
        body = await read_body(request, context.settings.serve.max_body_bytes, held)
        # Decoding may take long, and waiting for the disk or the broker does: neither may hold up predictions.
        take = partial(self._take, model, body, request.headers.get("content-type", ""), key)
        try:
            with context.admission.lanes["ingest"].one(request.scope.get(CALLER), model.name):
                answer = await anyio.to_thread.run_sync(take, limiter=model.event_threads)
        finally:
            held.give_back(weight_of(len(body)))
        return Response(answer, 202, media_type="application/json")

    def _take(self, model: ServedModel, body: bytes, content_type: str, key: str | None) -> bytes:
        """Return the answer, the accepted events being durable."""
        append = partial(self._append, model, body, content_type, key)
        return append() if key is None else self._context.answers().once(model.name, key, body, append)

    def _append(self, model: ServedModel, body: bytes, content_type: str, key: str | None) -> bytes:
        judged = events_from_body(body, content_type, self._decoder(model), self._context.limits)
        if len(judged) == 1 and isinstance(judged[0][1], Problem) and judged[0][1].reason == "malformed":
            raise RequestInvalid(judged[0][1].detail, 400)
        accepted = {index: event for index, event in judged if isinstance(event, bytes)}
        rejected = [
            {"index": index, "reason": problem.reason, "detail": problem.detail}
            for index, problem in judged
            if isinstance(problem, Problem)
        ]
        if accepted:
            records = self._records(model, list(accepted.values()))
            with self._context.holding_rows(len(records), model):
                lost = _append_all(model.sink(), records, None if key is None else f"{model.name}/{key}")
            indices = list(accepted)
            rejected += [{"index": indices[each], "reason": NOT_APPENDED, "detail": why} for each, why in lost.items()]
            rejected.sort(key=itemgetter("index"))
        return _encode({"accepted": len(judged) - len(rejected), "rejected": rejected})

    def _decoder(self, model: ServedModel) -> EventDecoder:
        """Return this thread's decoder of the model's events."""
        of, decoder = getattr(self._decoders, model.name, (None, None))
        # Another model may have the name by now, or this one other settings.
        if of is not model or decoder is None:
            decoder = EventDecoder(_as_sent(model.settings.events), {})
            setattr(self._decoders, model.name, (model, decoder))
        return decoder

    def _records(self, model: ServedModel, events: Sequence[bytes]) -> Sequence[NewRecord]:
        """Return one record an event, with the id as its key where a key is of any use.

        Kafka puts records of one key into one partition, so that an observation and its label stay in order.
        """
        options = model.settings.events
        if self._context.settings.source.kind == "log" and options.id != RECORD_KEY:
            return [NewRecord(event) for event in events]
        id_of = _id_reader(options)
        return [NewRecord(event, id_of(event)) for event in events]


def _as_sent(options: EventOptions) -> EventOptions:
    """Return how events are read before they are records: an envelope's own id becomes the key."""
    keyed = options.format == "envelope" and options.id == RECORD_KEY
    return options.model_copy(update={"id": None}) if keyed else options


def _append_all(sink: Sink, records: Sequence[NewRecord], key: str | None) -> dict[int, str]:
    """Append `records`; return those that were not acknowledged, with the reason, where the others are durable.

    Raises
    ------
    AppendFailed, SourceUnavailable
        None is known to be durable: the request may be sent again as it is.
    """
    try:
        sink.append(records, key)
    except AppendFailed as error:
        if error.failed is None:
            raise
        return dict.fromkeys(error.failed, str(error))
    return {}


class _WithId(msgspec.Struct):
    id: Any = None


def _id_reader(options: EventOptions) -> Callable[[bytes], bytes | None]:
    """Return what finds the id of an accepted event, as bytes; None where it has none."""
    if options.format == "envelope":
        envelope = msgspec.json.Decoder(_WithId)
        return lambda event: _as_key(envelope.decode(event).id)
    if options.id is None or options.id == RECORD_KEY:
        return lambda _: None
    anything = msgspec.json.Decoder()
    path = options.id
    return lambda event: _as_key(_at(anything.decode(event), path))


def _at(value: Any, path: str) -> Any:
    """Return what lies at a dotted path: a name may itself hold dots."""
    if not isinstance(value, dict):
        return None
    if path in value:
        return value[path]
    for name in value:
        if path.startswith(f"{name}."):
            return _at(value[name], path[len(name) + 1 :])
    return None


def _as_key(found: Any) -> bytes | None:
    return str(found).encode() if isinstance(found, str | int) else None


_DESCRIPTION = (
    "One event, an array of them, or lines of them. Answered once the accepted ones are durable in the log, or "
    "acknowledged by Kafka. Only their shape is checked here. Send an `Idempotency-Key` to be able to send the same "
    "request again after a timeout without sending its events twice."
)

_BODY = {
    "required": True,
    "content": {
        # Whatever stands in the place of an event is refused by itself, in the answer's `rejected`: hence the `{}`.
        JSON: {
            "schema": {"anyOf": [reference(Event), {"type": "array", "items": {"anyOf": [reference(Event), {}]}}, {}]}
        },
        NDJSON: {
            "schema": {"type": "string", "description": 'Lines such as {"features": {"price": 3.2}, "label": "late"}'}
        },
        ARROW: {"schema": {"type": "string", "format": "binary"}},
    },
}
