"""``POST …/rollback``, ``…/pause``, ``…/resume`` and names of checkpoints: written down as commands, then waited for.

On the path it stands before the command table (``operating/command_table.py``): the API never touches a model itself.
Where the trainer obeys within seconds, the answer says what it did; else the command waits, and can be asked for.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import anyio.to_thread
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.responses import Response

from service.durability.pins import NAME
from service.errors import RequestInvalid
from service.monitoring.learning_metrics import trainer_is_up
from service.operating.command_table import Command, CommandTable
from service.operating.operated import PAUSE, RESUME
from service.operating.ordering import result_of, wait_for
from service.operating.pinning import PIN, UNPIN
from service.rest.command_bodies import Making, make_pin, make_promotion, make_rollback, make_unpin, nothing
from service.rest.idempotency import KEY_PARAMETER, key_of
from service.rest.problems import problems
from service.rest.request_body import read_body, weight_of
from service.rest.routing import MODEL_PREFIX, DirectRoute, json_response, model_parameter, reference
from service.rest.schemas_commands import (
    CommandList,
    CommandState,
    Keep,
    Obeyed,
    RollbackToName,
    RollbackToVersion,
    Waiting,
)
from service.rest.served_model import ServedModel
from service.rest.serving_context import Context
from service.restart.contest_steps import PROMOTE
from service.restart.rollback import DECISION as ROLLBACK
from service.security.judge import caller_of
from service.settings.challengers import CHALLENGER
from service.wiring import commands_path

_WAIT_SECONDS = 5.0
"""How long a command is waited for while its trainer is up: longer than any microbatch takes."""

_LISTED = 100
"""Commands that are listed."""

_BODY_BYTES = 4096
"""A command's body, at most."""

_MOST = 2**63 - 1
"""Number of a command, at most: SQLite has no larger ones."""


class _Call(NamedTuple):
    """One of the calls: what it is, who makes the command's data of its body, and what that body looks like."""

    method: str
    path: str
    kind: str
    making: Making
    body: tuple[type[BaseModel], ...]
    summary: str


class CommandRoutes:
    """The calls that ask something of a trainer."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._table = CommandTable(commands_path(context.settings))

    def add_to(self, app: FastAPI) -> None:
        """Register the routes, with and without a model's name."""
        for prefix in (MODEL_PREFIX, ""):
            for call in _CALLS:
                _add_command(app, call, f"{prefix}{call.path}", partial(self.command, call))
            _add_look(app, f"{prefix}/commands", self.commands, CommandList)
            _add_look(app, f"{prefix}/commands/{{number}}", self.one, CommandState)

    async def command(self, call: _Call, request: Request) -> Response:
        """Have a command written down, wait for what comes of it, and answer."""
        model = self._context.model_of(request)
        held = self._context.admission.body_bytes
        body = await read_body(request, _BODY_BYTES, held)
        held.give_back(weight_of(len(body)))
        order = partial(self._order, model, call, request, body)
        command = await anyio.to_thread.run_sync(order, limiter=self._context.event_threads)
        result = result_of(command)
        if command.outcome is not None:
            return json_response(result)
        response = json_response(result, 202)
        prefix = MODEL_PREFIX.format(model=model.name) if "model" in request.path_params else ""
        response.headers["Location"] = f"{prefix}/commands/{command.number}"
        return response

    def _order(self, model: ServedModel, call: _Call, request: Request, body: bytes) -> Command:
        data, caller = call.making(model, request, body), caller_of(request.scope)
        number = self._table.order(model.name, call.kind, data, caller, key=key_of(request))
        return wait_for(self._table, model.name, number, lambda: trainer_is_up(model.status()), _WAIT_SECONDS)

    def commands(self, request: Request) -> Response:
        """Newest first."""
        model = self._context.model_of(request)
        found = [_shown(each) for each in self._table.recent(model.name, _LISTED)]
        return json_response({"model": model.name, "commands": found})

    def one(self, request: Request) -> Response:
        """One by its number."""
        model, given = self._context.model_of(request), request.path_params["number"]
        number = int(given) if given.isascii() and given.isdecimal() and len(given) < 20 else 0
        command = self._table.find(model.name, number) if 0 < number <= _MOST else None
        if command is None:
            raise RequestInvalid(f"there is no command {given[:30]!r} to {model.name} (any more)", 404, "number")
        return json_response(_shown(command))


def _shown(command: Command) -> dict[str, Any]:
    """Return a command as ``schemas_commands.CommandState`` documents it."""
    outcome = command.outcome
    state = "waiting" if outcome is None else "done" if outcome["status"] == 200 else "refused"
    return {
        "model": command.model,
        "command": command.number,
        "kind": command.kind,
        "data": command.data,
        "caller": command.caller,
        "ordered_at": command.ordered_at,
        "state": state,
        "finished_at": command.finished_at,
        "outcome": outcome,
    }


_CALLS = (
    _Call("POST", "/rollback", ROLLBACK, make_rollback, (RollbackToVersion, RollbackToName), "Go back to a checkpoint"),
    _Call("POST", "/pause", PAUSE, nothing, (), "Stop learning; predictions go on"),
    _Call("POST", "/resume", RESUME, nothing, (), "Go on learning"),
    _Call("PUT", "/checkpoints/{name}", PIN, make_pin, (Keep,), "Keep a checkpoint under a name"),
    _Call("DELETE", "/checkpoints/{name}", UNPIN, make_unpin, (), "Take a checkpoint's name away"),
    _Call("POST", "/challengers/{challenger}/promote", PROMOTE, make_promotion, (), "Make a challenger the champion"),
)

_DESCRIPTION = (
    "Obeyed by the model's trainer between two microbatches, once, whatever happens to it meanwhile. Answered when "
    "that is done; with 202 where the trainer is down or takes long: then it is obeyed later, and `Location` says "
    "where to ask."
)

_PARAMETERS: Mapping[str, dict[str, Any]] = {
    "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
    "number": {"type": "integer", "minimum": 1},
    "challenger": {"type": "string", "pattern": CHALLENGER},
}


def _add_command(app: FastAPI, call: _Call, path: str, endpoint: Callable[..., Any]) -> None:
    extra: dict[str, Any] = {"parameters": [*_parameters(path), KEY_PARAMETER]}
    if call.body:
        content = {"application/json": {"schema": {"anyOf": [reference(schema) for schema in call.body]}}}
        extra["requestBody"] = {"required": Keep not in call.body, "content": content}
    app.router.add_api_route(
        path,
        endpoint,
        methods=[call.method],
        route_class_override=DirectRoute,
        tags=["operations"],
        summary=call.summary,
        description=_DESCRIPTION,
        operation_id=_operation(call.method, path),
        responses={200: {"model": Obeyed}, 202: {"model": Waiting}, **problems(400, 404, 409, 413, 422, 503)},
        openapi_extra=extra,
    )


def _add_look(app: FastAPI, path: str, endpoint: Callable[..., Any], schema: type[BaseModel]) -> None:
    app.router.add_api_route(
        path,
        endpoint,
        methods=["GET"],
        route_class_override=DirectRoute,
        tags=["operations"],
        summary="What came of a command" if schema is CommandState else "The last commands to a model",
        operation_id=_operation("GET", path),
        responses={200: {"model": schema}, **problems(404, 503)},
        openapi_extra={"parameters": _parameters(path)},
    )


def _parameters(path: str) -> list[dict[str, Any]]:
    """Return the description of the parameters in `path`."""
    own = [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in _PARAMETERS.items()
        if f"{{{name}}}" in path
    ]
    return [*model_parameter(path), *own]


def _operation(method: str, path: str) -> str:
    """Return a name for a call, for programs that are made of the description."""
    parts = [part for part in path.split("/") if part and part[0] != "{"]
    last = parts[-1] + ("_one" if path.endswith("}") else "")
    return f"{method.lower()}_{last}" + ("" if path.startswith("/v1") else "_default")
