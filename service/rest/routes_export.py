"""``GET …/export``: one version of a model as a file that other programs can answer with (docs/export.md)."""

from functools import partial
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request
from starlette.responses import Response

from service.errors import RequestInvalid
from service.exporting.export_file import encode_export
from service.exporting.exporting import export_of
from service.operating.ordering import check_kept, checkpoint_of
from service.rest.problems import problems
from service.rest.routing import MODEL_PREFIX, DirectRoute, model_parameter
from service.rest.served_model import ServedModel
from service.rest.serving_context import Context

_TYPE = "application/octet-stream"


class ExportRoutes:
    """The call that hands a version out."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_to(self, app: FastAPI) -> None:
        """Register the routes."""
        for path in (f"{MODEL_PREFIX}/export", "/export"):
            app.router.add_api_route(
                path,
                self.export,
                methods=["GET"],
                route_class_override=DirectRoute,
                response_class=Response,
                tags=["operations"],
                summary="A version as a file",
                description=_DESCRIPTION,
                operation_id="export" if "{model}" in path else "export_default",
                responses={200: {"content": {_TYPE: {"schema": _BINARY}}}, **problems(404, 422, 503)},
                openapi_extra={"parameters": [*model_parameter(path), *_PARAMETERS]},
            )

    async def export(self, request: Request) -> Response:
        """Hand a version out."""
        model, asked = self._context.model_of(request), request.query_params
        which = None if "version" not in asked else checkpoint_of(asked["version"])
        if asked.get("state", "false") not in ("true", "false"):
            raise RequestInvalid("must be true or false", 422, "state")
        make = partial(_content, model, which, with_state=asked.get("state") == "true")
        # Building a learner takes longer than a request for a prediction may be held up.
        content, version = await anyio.to_thread.run_sync(make, limiter=self._context.prediction_threads)
        name = f"{model.name}-{version}.safetensors"
        return Response(content, media_type=_TYPE, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _content(model: ServedModel, which: int | str | None, *, with_state: bool) -> tuple[bytes, int]:
    kept = model.checkpoints()
    if not kept:
        raise RequestInvalid("there is nothing to export yet: no checkpoint was written", 404)
    if which is not None:
        check_kept(kept, which, "version")
    export = export_of(model.store, which, with_state=with_state)
    return encode_export(export), int(export.about["version"])


_DESCRIPTION = (
    "Safetensors with a description: what answers are made of, and with `state=true` all that the learner is, for "
    "another model's `warm_start`. Of the newest checkpoint, or the one that is named."
)
_BINARY = {"type": "string", "format": "binary"}
_PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "version",
        "in": "query",
        "required": False,
        "schema": {"type": "string"},
        "description": "Of a checkpoint, its version or its name; without it the newest.",
    },
    {"name": "state", "in": "query", "required": False, "schema": {"type": "boolean", "default": False}},
]
