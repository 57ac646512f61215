"""``POST …/predict``: the path from a request's bytes to its answer, as short as it can be."""

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import anyio.to_thread
from fastapi import FastAPI, Request
from starlette.responses import Response

from consumers.source import NewRecord
from service.rest.explaining import answer_explained
from service.rest.observations import raw_features
from service.rest.prediction_answers import answer_rows, encode_answer
from service.rest.prediction_requests import asked_in, blaming
from service.rest.problems import problems, status_of
from service.rest.request_body import content_type_of, read_body, weight_of
from service.rest.routing import MODEL_PREFIX, DirectRoute, model_parameter, reference
from service.rest.schemas_rows import Instances, OneInstance, PredictionAnswer
from service.rest.served_model import ServedModel
from service.rest.serving_context import Context
from service.security.judge import CALLER

INLINE_BYTES = 65_536
"""Larger bodies take long enough to hold up other requests: they get a thread."""

JSON = ("application/json",)

FAILURE = "headrace.failure"
"""In a request's scope: why its answer cannot be given, where the short way has found that out already."""

LargeAnswer = tuple[bytes, int, Sequence[NewRecord]]
"""An encoded answer, the predictions in it, and what is to be remembered of it."""

Answering = Callable[[ServedModel, bytes], Awaitable[tuple[bytes, int]]]
"""Makes of a model and a body the answer's body and the number of predictions in it."""


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
            return await answer_in_thread(self._context, model, partial(self._answer_large, model, body))
        asked = asked_in(body, self._context.limits)
        if asked.explain:
            explained = partial(answer_explained, self._context, model, asked, body)
            return await answer_in_thread(self._context, model, explained)
        remembered = asked.to_remember(model.settings.remember)
        with blaming(asked.path), self._context.holding_rows(len(asked.rows), model):
            served, predictions = await model.coalescer.predict(asked.rows, model.keys_of(asked.rows, asked.ids))
            made = answer_rows(predictions, asked.ids)
            if remembered:
                await model.remembering.remember(model.observations(asked, raw_features(body), served, made))
        return encode_answer(model.name, served, made), len(made)

    def _answer_large(self, model: ServedModel, body: bytes) -> LargeAnswer:
        """Return the encoded answer, how many predictions are in it, and what is to be remembered of it."""
        asked = asked_in(body, self._context.limits)
        if asked.explain:
            return answer_explained(self._context, model, asked, body)
        remembered = asked.to_remember(model.settings.remember)
        with blaming(asked.path), self._context.holding_rows(len(asked.rows), model):
            served, predictions = model.predict(asked.rows, model.keys_of(asked.rows, asked.ids))
            made = answer_rows(predictions, asked.ids)
            records = model.observations(asked, raw_features(body), served, made) if remembered else []
        return encode_answer(model.name, served, made), len(made), records


async def answer_in_thread(
    context: Context, model: ServedModel, answer: Callable[[], LargeAnswer]
) -> tuple[bytes, int]:
    """Return what `answer` makes in a thread of what takes long, once what is to be remembered of it is durable."""
    async with model.large_predictions:
        content, count, records = await anyio.to_thread.run_sync(answer, limiter=context.prediction_threads)
    if records:
        with context.holding_rows(len(records), model):
            await model.remembering.remember(records)
    return content, count


async def answer_counted(context: Context, request: Request, answer: Answering) -> Response:
    """Read the body of a prediction request, have it answered, and count it with its status."""
    started = time.perf_counter()
    model = context.model_of(request)
    try:
        _check_failure(request)
        content_type_of(request, JSON)
        held = context.admission.body_bytes
        body = await read_body(request, context.settings.serve.max_body_bytes, held)
        try:
            with context.admission.lanes["predict"].one(request.scope.get(CALLER), model.name):
                content, count = await answer(model, body)
        finally:
            held.give_back(weight_of(len(body)))
    except Exception as error:
        context.counts.predicted(model.name, status_of(error), 1, time.perf_counter() - started)
        raise
    context.counts.predicted(model.name, 200, count, time.perf_counter() - started)
    return Response(content, media_type="application/json")


def _check_failure(request: Request) -> None:
    """Raise what the short way has found out already."""
    failure: Exception | None = request.scope.get(FAILURE)
    if failure is not None:
        raise failure


_DESCRIPTION = (
    "Every prediction of an answer comes from one version of the parameters, which it names. Features need no "
    "declaration; unknown ones are ignored. Before any label was seen, `label` is null and there are no probabilities. "
    "Where the model remembers predictions (`remember: log`), one with an `id` is answered once it is durable in the "
    "log: a label with that id is then learned with these features, and the score is that of this answer. With "
    "`explain: true` each prediction says what each feature contributed to it."
)

_BODY = {
    "required": True,
    "content": {"application/json": {"schema": {"anyOf": [reference(OneInstance), reference(Instances)]}}},
}
