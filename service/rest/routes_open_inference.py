"""The Open Inference Protocol (version 2) over HTTP, so that clients written for other servers work with this one.

It is the same prediction behind another door: see ``open_inference.py`` for what becomes of tensors.
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import anyio.to_thread
import msgspec
from fastapi import FastAPI, Request
from starlette.responses import Response

from models.learner import Predictions
from service.decoding.flattening import FeatureInvalid
from service.errors import RequestInvalid
from service.predictor import Served
from service.rest.open_inference import (
    DATATYPES,
    InferenceRequest,
    Tensor,
    metadata_of,
    named_rows,
    outputs_of,
    rows_of,
)
from service.rest.prediction_answers import answer_rows
from service.rest.problems import problems
from service.rest.request_body import decode_json
from service.rest.routes_predict import INLINE_BYTES, LargeAnswer, answer_counted, answer_in_thread
from service.rest.routing import DirectRoute, json_response, model_parameter
from service.rest.served_model import ServedModel
from service.rest.serving_context import Context

PREFIX = "/v2/models/{model}"

_decoder = msgspec.json.Decoder(InferenceRequest)


class OpenInferenceRoutes:
    """The protocol's calls for all models."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_to(self, app: FastAPI) -> None:
        """Register the routes."""
        for path, endpoint, summary in (
            ("/v2", self.server, "Name and version of the server"),
            ("/v2/health/live", self.live, "Whether the process answers"),
            ("/v2/health/ready", self.ready, "Whether all models can be asked"),
            (PREFIX, self.metadata, "Inputs and outputs of a model"),
            (f"{PREFIX}/ready", self.model_ready, "Whether a model can be asked"),
        ):
            answers = problems(*((404, 503) if "{model}" in path else (503,)))
            app.router.add_api_route(path, endpoint, **_documented(path, "GET", summary), responses=answers)
        app.router.add_api_route(
            f"{PREFIX}/infer",
            self.infer,
            **_documented(f"{PREFIX}/infer", "POST", "Predict for rows given as tensors", _BODY),
            responses=problems(400, 404, 413, 415, 422, 503),
            route_class_override=DirectRoute,
        )

    async def server(self) -> Response:
        """Tell what this is."""
        return json_response({"name": "headrace", "version": package_version(), "extensions": []})

    async def live(self) -> Response:
        """Answer that the process lives."""
        return json_response({"live": True})

    async def ready(self) -> Response:
        """Answer whether every model has a version attached."""
        ready = self._context.ready()
        return json_response({"ready": ready}, 200 if ready else 503)

    async def model_ready(self, request: Request) -> Response:
        """Answer whether this model has a version attached."""
        model = self._context.model_of(request)
        ready = model.serving.attached and not self._context.draining
        return json_response({"name": model.name, "ready": ready}, 200 if ready else 503)

    async def metadata(self, request: Request) -> Response:
        """Tell the features seen so far, and what is predicted."""
        model = self._context.model_of(request)
        status = await anyio.to_thread.run_sync(model.status)
        served = model.serving.served()
        task = status.task if status else model.settings.task
        tensors = metadata_of(status.features if status else [], task, status.classes if status else [])
        versions = [str(served.version)] if served else []
        return json_response({"name": model.name, "versions": versions, "platform": "headrace", **tensors})

    async def infer(self, request: Request) -> Response:
        """Answer one request."""
        return await answer_counted(self._context, request, self._answer)

    async def _answer(self, model: ServedModel, body: bytes) -> tuple[bytes, int]:
        if len(body) > INLINE_BYTES:
            return await answer_in_thread(self._context, model, partial(self._answer_large, model, body))
        asked = decode_json(body, _decoder)
        rows = self._rows_of(asked, body)
        naming = named_rows(asked, rows)
        remembered = naming.to_remember(model.settings.remember)
        with _blaming_tensors(asked.inputs), self._context.holding_rows(len(rows), model):
            served, predictions = await model.coalescer.predict(rows, model.keys_of(rows, naming.ids))
            if remembered:
                made = answer_rows(predictions, naming.ids)
                await model.remembering.remember(model.observations(naming, rows, served, made))
        return _encode(model, asked, served, predictions, len(rows))

    def _answer_large(self, model: ServedModel, body: bytes) -> LargeAnswer:
        asked = decode_json(body, _decoder)
        rows = self._rows_of(asked, body)
        naming = named_rows(asked, rows)
        remembered = naming.to_remember(model.settings.remember)
        with _blaming_tensors(asked.inputs), self._context.holding_rows(len(rows), model):
            served, predictions = model.predict(rows, model.keys_of(rows, naming.ids))
            records = []
            if remembered:
                records = model.observations(naming, rows, served, answer_rows(predictions, naming.ids))
        return *_encode(model, asked, served, predictions, len(rows)), records

    def _rows_of(self, asked: InferenceRequest, body: bytes) -> list[dict[str, Any]]:
        """Return the rows that the tensors hold, none of them out of bounds."""
        for index, tensor in enumerate(asked.inputs):
            # Before anything is made of it: a shape of [10**12, 0] needs no data.
            self._context.limits.check_count(max(tensor.shape[:1], default=0), f"inputs[{index}].shape")
        rows = rows_of(asked.inputs)
        with _blaming_tensors(asked.inputs):
            self._context.limits.check(rows, body)
        return rows


def _encode(
    model: ServedModel, asked: InferenceRequest, served: Served, predictions: Predictions, rows: int
) -> tuple[bytes, int]:
    wanted = None if asked.outputs is None else [str(output.get("name", "")) for output in asked.outputs]
    answer: dict[str, Any] = {
        "model_name": model.name,
        "model_version": str(served.version),
        "parameters": {"model_age_seconds": served.age(), "learner": served.learner, **_arms(predictions)},
        "outputs": outputs_of(predictions, rows, wanted),
    }
    return msgspec.json.encode(answer | ({} if asked.id is None else {"id": asked.id})), rows


def _arms(predictions: Predictions) -> dict[str, Any]:
    """Return who answered each row, where challengers answer some."""
    return {} if predictions.contenders is None else {"arms": predictions.contenders}


@contextlib.contextmanager
def _blaming_tensors(inputs: list[Tensor]) -> Iterator[None]:
    """Turn a feature that cannot be used into a 422 that says in which tensor it is."""
    try:
        yield
    except FeatureInvalid as error:
        names = [tensor.name for tensor in inputs]
        field = f"inputs[{names.index(error.field)}].data" if error.field in names else "inputs"
        raise RequestInvalid(f"{error.message} (row {error.index})", 422, field) from error


_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["inputs"],
                "properties": {
                    "id": {"type": ["string", "null"]},
                    "parameters": {
                        "type": ["object", "null"],
                        "properties": {
                            "ids": {
                                "type": ["array", "null"],
                                "items": {"type": ["string", "integer", "null"]},
                                "description": "What the rows are called, where they are remembered; the request's "
                                "`id` names a single one.",
                            },
                            "remember": {"type": ["boolean", "null"], "description": "As in /v1/models/…/predict."},
                        },
                    },
                    "inputs": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["name", "shape", "datatype", "data"],
                            "properties": {
                                "name": {"type": "string", "description": "Name of the feature."},
                                "shape": {
                                    "type": "array",
                                    "items": {"type": "integer", "minimum": 0},
                                    "minItems": 1,
                                    "maxItems": 2,
                                },
                                "datatype": {"type": "string", "enum": list(DATATYPES)},
                                "data": {
                                    "type": "array",
                                    "items": {},
                                    "description": "Row after row, flat or nested; as many values as `shape` says.",
                                },
                                "parameters": {"type": ["object", "null"]},
                            },
                        },
                    },
                    "outputs": {
                        "type": ["array", "null"],
                        "items": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {"name": {"type": "string", "enum": ["label", "probabilities", "value"]}},
                        },
                    },
                },
            },
            "example": {"inputs": [{"name": "price", "shape": [2], "datatype": "FP64", "data": [3.2, 4.1]}]},
        }
    },
}


def _documented(path: str, method: str, summary: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what FastAPI needs to know of a route of the protocol."""
    extra = {"parameters": model_parameter(path)} | ({"requestBody": body} if body else {})
    return {"methods": [method], "tags": ["open inference protocol"], "summary": summary, "openapi_extra": extra}


def package_version() -> str:
    """Return Headrace's version; ``unknown`` where it runs from a folder without being installed."""
    try:
        return version("headrace")
    except PackageNotFoundError:
        return "unknown"
