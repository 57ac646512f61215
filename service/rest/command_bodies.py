"""A request's body → the data of the command that it asks for; what cannot be obeyed is refused here already."""

from collections.abc import Callable

import msgspec
from starlette.requests import Request

from models.learner import Json
from service.errors import RequestInvalid
from service.operating.ordering import check_kept, check_name
from service.operating.rolling_back import LEARN, PAUSED
from service.rest.request_body import decode_json
from service.rest.served_model import ServedModel


class _Rollback(msgspec.Struct, forbid_unknown_fields=True):
    version: int | None = None
    name: str | None = None
    then: str | None = None


class _Keep(msgspec.Struct, forbid_unknown_fields=True):
    version: int | None = None


_rollback, _keep = msgspec.json.Decoder(_Rollback), msgspec.json.Decoder(_Keep)

Making = Callable[[ServedModel, Request, bytes], Json]
"""Makes the data of a command of a request's body; raises RequestInvalid where that cannot be."""


def nothing(model: ServedModel, request: Request, body: bytes) -> Json:
    """Make what a command without data says, whatever its body."""
    del model, request, body
    return {}


def make_rollback(model: ServedModel, request: Request, body: bytes) -> Json:
    """Make what says which checkpoint to go back to."""
    del request
    asked = decode_json(body, _rollback)
    which = asked.version if asked.name is None else asked.name
    if which is None or (asked.version is not None and asked.name is not None):
        raise RequestInvalid('say either {"version": n} or {"name": "…"}', 422, "version")
    if asked.then not in (None, LEARN, PAUSED):
        raise RequestInvalid(f"must be {LEARN!r} or {PAUSED!r}, or be left out", 422, "then")
    check_kept(model.checkpoints(), which, "version" if asked.name is None else "name")
    return {"checkpoint": which, "then": asked.then}


def make_pin(model: ServedModel, request: Request, body: bytes) -> Json:
    """Make what says which checkpoint, or whatever there is now, gets the name in the path."""
    version = decode_json(body, _keep).version if body.strip() else None
    if version is not None:
        check_kept(model.checkpoints(), version, "version")
    return {"name": check_name(request.path_params["name"]), "version": version}


def make_promotion(model: ServedModel, request: Request, body: bytes) -> Json:
    """Make what says that whoever the path names is to be the champion."""
    del body
    name, known = request.path_params["challenger"], model.settings.contenders
    if name not in known:
        raise RequestInvalid(f"nobody is called {name[:100]!r} here; there is {', '.join(known)}", 404, "challenger")
    return {"challenger": name}


def make_unpin(model: ServedModel, request: Request, body: bytes) -> Json:
    """Make what says whose name, that in the path, is taken away."""
    del body
    name = request.path_params["name"]
    check_kept(model.checkpoints(), name, "name")
    return {"name": name}
