"""``GET /v1/models…``: what the trainer last reported, beside what this server answers from; and the checkpoints."""

import time
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from starlette.responses import Response

from service.monitoring.learning_metrics import trainer_is_up
from service.monitoring.status import Status
from service.rest.problems import problems
from service.rest.routing import MODEL_PREFIX, json_response, model_parameter
from service.rest.schemas import Checkpoints, ModelList, ModelState
from service.rest.served_model import ServedModel
from service.rest.serving_context import Context, state_of


class ModelRoutes:
    """The calls that tell about models. They read small files, so they run in threads."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_to(self, app: FastAPI) -> None:
        """Register the routes."""
        one, checkpoints = MODEL_PREFIX, f"{MODEL_PREFIX}/checkpoints"
        unavailable = problems(503)
        for path, endpoint, schema, summary, answers in (
            ("/v1/models", self.models, ModelList, "State of all models", {}),
            (one, self.model, ModelState, "State of one model", problems(404)),
            (checkpoints, self.checkpoints, Checkpoints, "Checkpoints that are kept", problems(404) | unavailable),
            ("/checkpoints", self.checkpoints, Checkpoints, "Checkpoints of `default`", problems(404) | unavailable),
        ):
            app.router.add_api_route(
                path,
                endpoint,
                methods=["GET"],
                tags=["models"],
                summary=summary,
                responses={200: {"model": schema}, **answers},
                openapi_extra={"parameters": model_parameter(path)},
            )

    def models(self) -> Response:
        """Trainers' last reports, and what this server answers from, for each model."""
        problems = self._context.served_models.roster.problems
        return json_response(
            {
                "models": [model_state(model) for model in self._context.models.values()],
                "unusable": [{"model": name, "problem": problem} for name, problem in problems.items()],
            }
        )

    def model(self, request: Request) -> Response:
        """Task, classes, features, learner, version, counters, positions, lag, scores, checkpoint, last errors."""
        return json_response(model_state(self._context.model_of(request)))

    def checkpoints(self, request: Request) -> Response:
        """Newest first."""
        model = self._context.model_of(request)
        return json_response({"model": model.name, "checkpoints": model.checkpoint_records()})


def model_state(model: ServedModel) -> dict[str, Any]:
    """Return the state of `model` as ``schemas.ModelState`` documents it."""
    status = model.status()
    return {
        "model": model.name,
        "declared_in": "file" if model.revision is None else "api",
        "state": state_of(status),
        "topic": model.settings.topic,
        **_learned(model, status),
        "trainer": _trainer(status),
        "served": _served(model),
    }


def _learned(model: ServedModel, status: Status | None) -> dict[str, Any]:
    """Return the trainer's report; of a model that never had a trainer, that of one that has learned nothing."""
    task = None if model.settings.task == "auto" else model.settings.task
    said = status or Status(model=model.name, epoch=0, pid=0, written_at=0.0, state="stopped", task=task)
    kept = msgspec.structs.asdict(said)
    for name in ("model", "state", "epoch", "pid", "written_at", "histograms", "version"):
        del kept[name]
    learned = kept.pop("events_learned")
    return kept | {
        "model_version": said.version,
        "device": status.device if status else None,
        "events_learned": sum(learned.values()),
        "events_learned_by": learned,
    }


def _trainer(status: Status | None) -> dict[str, Any]:
    age = max(0.0, time.time() - status.written_at) if status else None
    return {
        "up": trainer_is_up(status),
        "status_age_seconds": age,
        "epoch": status.epoch if status else None,
        "pid": status.pid if status else None,
    }


def _served(model: ServedModel) -> dict[str, Any] | None:
    served = model.serving.served()
    if served is None:
        return None
    return {
        "model_version": served.version,
        "model_age_seconds": served.age(),
        "learner": served.learner,
        "origin": served.origin,
        "restored_from": served.restored_from,
    }
