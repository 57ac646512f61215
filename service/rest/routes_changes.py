"""``PUT`` and ``DELETE /v1/models/{model}``: models are added, changed and removed while the service runs.

On the path it stands beside everything: what comes of a change is written down (``roster/changing.py``), and trainers
and all serving processes follow that. The answer to a PUT is given once the model is durable and this process serves
it; every other process looks for a name that it does not know before it says that there is none.
"""

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import anyio.to_thread
import msgspec
from fastapi import FastAPI, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from service.config import ModelSettings
from service.errors import RequestInvalid
from service.rest.problems import problems
from service.rest.request_body import content_type_of, decode_json, read_body, weight_of
from service.rest.routing import MODEL_PREFIX, DirectRoute, json_response, model_parameter
from service.rest.schemas import AddedModel, ModelSettingsAnswer, RemovedModel
from service.rest.serving_context import Context
from service.roster.changing import Changes
from service.roster.conditions import Conditions
from service.security.judge import CALLER

_MOST_BYTES = 65_536
"""Of a model's settings: a thousand times what they mostly take."""

_decoder = msgspec.json.Decoder(dict[str, Any])


class ChangeRoutes:
    """The calls that change which models there are."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._changes = Changes(context.served_models.roster)

    def add_to(self, app: FastAPI) -> None:
        """Register the routes."""
        for method, path, endpoint, described, parameters, body in (
            ("PUT", MODEL_PREFIX, self.put, _PUT, _PUT_PARAMETERS, _body()),
            ("DELETE", MODEL_PREFIX, self.delete, _DELETE, _DELETE_PARAMETERS, None),
            ("GET", f"{MODEL_PREFIX}/settings", self.settings, _SETTINGS, [], None),
        ):
            extra = {"parameters": [*model_parameter(path), *parameters]} | ({"requestBody": body} if body else {})
            app.router.add_api_route(
                path,
                endpoint,
                methods=[method],
                tags=["models"],
                route_class_override=DirectRoute,
                openapi_extra=extra,
                **described,
            )

    async def put(self, request: Request) -> Response:
        """Add a model, or change one that was added."""
        name = request.path_params["model"]
        content_type_of(request, ("application/json",))
        held = self._context.admission.body_bytes
        body = await read_body(request, _MOST_BYTES, held)
        try:
            given = decode_json(body, _decoder)
        finally:
            held.give_back(weight_of(len(body)))
        caller = request.scope.get(CALLER) or ""
        done = await anyio.to_thread.run_sync(partial(self._changes.put, name, given, _conditions(request), caller))
        await anyio.to_thread.run_sync(self._context.served_models.follow)
        answer = {
            "model": name,
            "declared_in": "api",
            "created": done.created,
            "settings": done.settings.models[name].model_dump(mode="json"),
        }
        response = json_response(answer, 201 if done.created else 200)
        response.headers["ETag"] = f'"{done.revision}"'
        if done.created:
            response.headers["Location"] = f"/v1/models/{name}"
        return response

    async def delete(self, request: Request) -> Response:
        """Remove a model that was added."""
        name = request.path_params["model"]
        keep, caller = _keep(request), request.scope.get(CALLER) or ""
        cleared = await anyio.to_thread.run_sync(
            partial(self._changes.remove, name, _conditions(request), keep=keep, caller=caller)
        )
        await anyio.to_thread.run_sync(self._context.served_models.follow)
        if cleared:
            return Response(status_code=204)
        return json_response({"model": name, "state": "removing"}, 202)

    async def settings(self, request: Request) -> Response:
        """Tell the settings of a model."""
        model = self._context.model_of(request)
        answer = {"model": model.name, "settings": model.settings.model_dump(mode="json")}
        if model.revision is None:
            return json_response({**answer, "declared_in": "file", "given": None})
        given, revision = await anyio.to_thread.run_sync(self._changes.settings_of, model.name)
        response = json_response({**answer, "declared_in": "api", "given": given})
        response.headers["ETag"] = f'"{revision}"'
        return response


def _conditions(request: Request) -> Conditions:
    return Conditions(request.headers.get("if-match"), request.headers.get("if-none-match"))


def _keep(request: Request) -> bool:
    """Return whether what was learned is to be kept.

    Raises
    ------
    RequestInvalid
    """
    said = request.query_params.get("keep", "true")
    if said not in ("true", "false"):
        raise RequestInvalid(f"keep must be true or false, not {said[:100]!r}", 422, "keep")
    return said == "true"


def _header(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": text}


@cache
def _body() -> dict[str, Any]:
    """Return the description of a model's settings: the sections of the configuration themselves."""
    schema: Mapping[str, Any] = TypeAdapter(ModelSettings).json_schema(mode="validation")
    return {"required": True, "content": {"application/json": {"schema": {"type": "object", **_inlined(schema)}}}}


def _inlined(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema whose parts stand where they are used, for a body has no room for definitions of its own."""
    parts = schema.get("$defs", {})

    def inline(value: Any) -> Any:
        if isinstance(value, Mapping):
            name = str(value.get("$ref", "")).rpartition("/")[2]
            if name in parts:
                return inline({**parts[name], **{key: each for key, each in value.items() if key != "$ref"}})
            return {key: inline(each) for key, each in value.items() if key != "$defs"}
        return [inline(each) for each in value] if isinstance(value, list) else value

    inlined: dict[str, Any] = inline(schema)
    return inlined


_MATCH = _header("If-Match", "Only if the settings are those of this `ETag`; `*`: only if there is such a model.")

_PUT: dict[str, Any] = {
    "summary": "Add a model, or change one that was added",
    "description": "Takes what `models.NAME` in the configuration takes, checked the same way. When it is answered, "
    "it is durable and can be asked (version 0); it has a trainer within about a second. A model that has learned goes "
    "on with changed settings; where it could not go on with them, they are refused with 409.",
    "responses": {
        200: {"model": AddedModel, "description": "It was there, and has these settings now."},
        201: {"model": AddedModel, "description": "It was added."},
        **problems(400, 403, 409, 412, 413, 415, 422, 503),
    },
}

_PUT_PARAMETERS = [_MATCH, _header("If-None-Match", "`*`: only if there is no such model yet.")]

_DELETE: dict[str, Any] = {
    "summary": "Remove a model that was added",
    "description": "Its trainer ends with a last checkpoint, and what it has learned is moved aside, where nothing "
    "ever removes it; its topic stays as it is. A model that gets the name later begins anew.",
    "status_code": 204,
    "responses": {
        202: {"model": RemovedModel, "description": "It is not served any more; the rest follows its trainer's end."},
        204: {"description": "It is gone."},
        **problems(403, 404, 409, 412, 422, 503),
    },
}

_DELETE_PARAMETERS = [
    _MATCH,
    {
        "name": "keep",
        "in": "query",
        "required": False,
        "schema": {"type": "boolean", "default": True},
        "description": "`false`: what it has learned is deleted, not moved aside.",
    },
]

_SETTINGS: dict[str, Any] = {
    "summary": "Settings of a model",
    "description": "All of them, and for one that was added those that were `given`: what a PUT takes again.",
    "responses": {200: {"model": ModelSettingsAnswer}, **problems(404, 503)},
}
