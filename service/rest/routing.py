"""How routes are registered: documented by FastAPI, and where every microsecond counts, called by Starlette directly.

FastAPI's own way of calling an endpoint (dependencies, validation, serialisation) takes longer than a prediction. The
routes of :class:`DirectRoute` skip it: they take the request, decode it themselves, and return a response.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import Response
from starlette.routing import request_response

from service.rest.schemas import Problem

MODEL_PREFIX = "/v1/models/{model}"

_REFERENCE = "#/components/schemas/{model}"


class DirectRoute(APIRoute):
    """A route that FastAPI documents, and whose endpoint is called with nothing but the request."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.app = request_response(endpoint)


def json_response(value: object, status: int = 200) -> Response:
    """Return the answer that holds `value`."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def reference(schema: type[BaseModel]) -> dict[str, str]:
    """Return a reference to a schema; :func:`complete_openapi` must be given it, too."""
    return {"$ref": _REFERENCE.format(model=schema.__name__)}


def model_parameter(path: str) -> list[dict[str, Any]]:
    """Return the OpenAPI description of the parameters in `path`."""
    if "{model}" not in path:
        return []
    text = "Name of the model."
    return [
        {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}, "description": text},
    ]


def complete_openapi(
    app: FastAPI, schemas: Sequence[type[BaseModel]], finish: Callable[[dict[str, Any]], None]
) -> Callable[[], dict[str, Any]]:
    """Return a replacement for ``app.openapi`` that adds `schemas`, which direct routes refer to."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            wanted = [(schema, "serialization") for schema in (*schemas, Problem)]
            _, found = models_json_schema(wanted, ref_template=_REFERENCE)  # type: ignore[arg-type]  # str is no Literal
            known = document.setdefault("components", {}).setdefault("schemas", {})
            document["components"]["schemas"] = found["$defs"] | known
            finish(document)
            app.openapi_schema = document
        return app.openapi_schema

    return openapi
