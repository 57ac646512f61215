"""``POST …/predict``: the path from a request's bytes to its answer, as short as it can be."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio.to_thread
import msgspec
from fastapi import FastAPI, Request
from starlette.responses import Response

from models.examples import Features
from models.learner import Predictions
from service.columns import features_from_rows
from service.errors import RequestInvalid
from service.flattening import FeatureInvalid
from service.prediction_answers import InstanceId, encode_answer
from service.predictor import Served
from service.problems import problems, status_of
from service.request_body import content_type_of, decode_json, read_body
from service.routing import MODEL_PREFIX, DirectRoute, model_parameter, reference
from service.schemas import Instance, Instances, PredictionAnswer
from service.serving_context import Context, ServedModel

INLINE_ROWS = 64
"""Predictions for more rows than these take long enough to be worth a thread; for fewer, the thread takes longer."""

_INLINE_BYTES = 65_536

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
        asked = decode_json(body, _decoder)
        if len(body) <= _INLINE_BYTES and len(asked.instances or ()) <= INLINE_ROWS:
            return _answer(model, asked)
        return await anyio.to_thread.run_sync(_answer, model, asked)


async def answer_counted(context: Context, request: Request, answer: Answering) -> Response:
    """Read the body of a prediction request, have it answered, and count it with its status."""
    started = time.perf_counter()
    model = context.model_of(request)
    try:
        content_type_of(request, JSON)
        body = await read_body(request, context.settings.serve.max_body_bytes)
        content, count = await answer(model, body)
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


def _answer(model: ServedModel, asked: _Body) -> tuple[bytes, int]:
    """Return the encoded answer and how many predictions are in it."""
    rows, ids, one = _rows_of(asked)
    served, predictions = predict_rows(model, rows, "" if one else "instances[{}].")
    return encode_answer(model.name, served, predictions, ids), len(ids)


def _rows_of(asked: _Body) -> tuple[Sequence[dict[str, Any]], Sequence[InstanceId], bool]:
    """Return features and ids, and whether it was the form for a single instance."""
    if asked.instances is not None:
        if asked.features is not None:
            raise RequestInvalid("send either features or instances, not both", 422, "features")
        return [each.features for each in asked.instances], [each.id for each in asked.instances], False
    if asked.features is None:
        raise RequestInvalid(
            'missing; send {"features": {…}} or {"instances": [{"features": {…}}, …]}', 422, "features"
        )
    return [asked.features], [asked.id], True


def predict_rows(model: ServedModel, rows: Sequence[dict[str, Any]], prefix: str) -> tuple[Served, Predictions]:
    """Return predictions for decoded features.

    Parameters
    ----------
    model
        Whose predictions.
    rows
        Name → value, one mapping a row.
    prefix
        Path of a row in the request, with ``{}`` for its number: for errors.

    Raises
    ------
    RequestInvalid
        422 where a feature cannot be used.
    PublicationMissing
        There are parameters, but they cannot be reached now.
    """
    return model.serving.predict(_features(model, rows, prefix))


def _features(model: ServedModel, rows: Sequence[dict[str, Any]], prefix: str) -> Features:
    try:
        return features_from_rows(rows, model.settings.events)
    except FeatureInvalid as error:
        field = f"{prefix.format(error.index)}features"
        raise RequestInvalid(error.message, 422, f"{field}.{error.field}" if error.field else field) from error
