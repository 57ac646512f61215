"""``POST …/predict``: the path from a request's bytes to its answer, as short as it can be."""

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import anyio.to_thread
import msgspec
from fastapi import FastAPI, Request
from starlette.responses import Response

from service.decoding.flattening import FeatureInvalid
from service.errors import RequestInvalid
from service.rest.prediction_answers import InstanceId, encode_answer
from service.rest.problems import problems, status_of
from service.rest.request_body import content_type_of, decode_json, read_body, weight_of
from service.rest.routing import MODEL_PREFIX, DirectRoute, model_parameter, reference
from service.rest.schemas import Instance, Instances, PredictionAnswer
from service.rest.serving_context import Context, ServedModel
from service.security.judge import CALLER
from service.security.limits_rows import RowLimits

INLINE_BYTES = 65_536
"""Larger bodies take long enough to hold up other requests: they get a thread."""

IN_INSTANCES = "instances[{}].features"

JSON = ("application/json",)

Answering = Callable[[ServedModel, bytes], Awaitable[tuple[bytes, int]]]
"""Makes of a model and a body the answer's body and the number of predictions in it."""


class _Instance(msgspec.Struct):
    features: dict[str, Any]
    id: InstanceId = None


class _Body(msgspec.Struct):
    """Either form of the body: one instance, or a list of them."""

    features: dict[str, Any] | None = None
    id: InstanceId = None
    instances: list[_Instance] | None = None


_decoder = msgspec.json.Decoder(_Body)


class PredictRoutes:
    """The prediction calls of all models."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_to(self, app: FastAPI) -> None:
        """Register the routes."""
        for path in (f"{MODEL_PREFIX}/predict", "/predict"):
            app.router.add_api_route(
                path,
                self.predict,
                methods=["POST"],
                route_class_override=DirectRoute,
                tags=["predictions"],
                summary="Predict for one instance or for many",
                description=_DESCRIPTION,
                operation_id="predict" if "{model}" in path else "predict_default",
                responses={200: {"model": PredictionAnswer}, **problems(400, 404, 413, 415, 422, 503)},
                openapi_extra={"parameters": model_parameter(path), "requestBody": _BODY},
            )

    async def predict(self, request: Request) -> Response:
        """Answer one request."""
        return await answer_counted(self._context, request, self._answer)

    async def _answer(self, model: ServedModel, body: bytes) -> tuple[bytes, int]:
        if len(body) > INLINE_BYTES:
            return await anyio.to_thread.run_sync(
                self._answer_large, model, body, limiter=self._context.prediction_threads
            )
        rows, ids, path = rows_in(body, self._context.limits)
        with blaming(path), self._context.holding_rows(len(rows)):
            served, predictions = await model.coalescer.predict(rows)
        return encode_answer(model.name, served, predictions, ids), len(ids)

    def _answer_large(self, model: ServedModel, body: bytes) -> tuple[bytes, int]:
        """Return the encoded answer and how many predictions are in it."""
        rows, ids, path = rows_in(body, self._context.limits)
        with blaming(path), self._context.holding_rows(len(rows)):
            served, predictions = model.predict(rows)
        return encode_answer(model.name, served, predictions, ids), len(ids)


def rows_in(body: bytes, limits: RowLimits) -> tuple[Sequence[dict[str, Any]], Sequence[InstanceId], str]:
    """Return the rows' features and ids, none of them out of bounds, and where in the request the features are.

    Raises
    ------
    RequestInvalid
    """
    rows, ids, path = _rows_of(decode_json(body, _decoder))
    limits.check_count(len(rows), "instances")
    with blaming(path):
        limits.check(rows, body)
    return rows, ids, path


async def answer_counted(context: Context, request: Request, answer: Answering) -> Response:
    """Read the body of a prediction request, have it answered, and count it with its status."""
    started = time.perf_counter()
    model = context.model_of(request)
    try:
        content_type_of(request, JSON)
        held = context.admission.body_bytes
        body = await read_body(request, context.settings.serve.max_body_bytes, held)
        try:
            with context.admission.lanes["predict"].one(request.scope.get(CALLER)):
                content, count = await answer(model, body)
        finally:
            held.give_back(weight_of(len(body)))
    except Exception as error:
        context.counts.predicted(model.name, status_of(error), 1, time.perf_counter() - started)
        raise
    context.counts.predicted(model.name, 200, count, time.perf_counter() - started)
    return Response(content, media_type="application/json")


_DESCRIPTION = (
    "Every prediction of an answer comes from one version of the parameters, which it names. Features need no "
    "declaration; unknown ones are ignored. Before any label was seen, `label` is null and there are no probabilities."
)

_BODY = {
    "required": True,
    "content": {"application/json": {"schema": {"anyOf": [reference(Instance), reference(Instances)]}}},
}


def _rows_of(asked: _Body) -> tuple[Sequence[dict[str, Any]], Sequence[InstanceId], str]:
    """Return the rows' features and ids, and where in the request a row's features are."""
    if asked.instances is not None:
        if asked.features is not None:
            raise RequestInvalid("send either features or instances, not both", 422, "features")
        return [each.features for each in asked.instances], [each.id for each in asked.instances], IN_INSTANCES
    if asked.features is None:
        raise RequestInvalid(
            'missing; send {"features": {…}} or {"instances": [{"features": {…}}, …]}', 422, "features"
        )
    return [asked.features], [asked.id], "features"


@contextlib.contextmanager
def blaming(path: str) -> Iterator[None]:
    """Turn a feature that cannot be used into a 422 that says where it is.

    Parameters
    ----------
    path
        Of a row's features in the request, with ``{}`` for the row's number.
    """
    try:
        yield
    except FeatureInvalid as error:
        field = path.format(error.index)
        raise RequestInvalid(error.message, 422, f"{field}.{error.field}" if error.field else field) from error
