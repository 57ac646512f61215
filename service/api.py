"""The REST API: one FastAPI application over all models. It learns nothing and holds no parameters of its own.

Each group of calls is a file in ``rest/``: ``routes_predict.py`` (start there), ``routes_events.py``,
``routes_models.py``, ``routes_changes.py``, ``routes_commands.py``, ``routes_health.py``, ``routes_open_inference.py``,
``routes_docs.py``. What they share is in ``serving_context.py``; what goes wrong in any of them becomes a problem in
``problems.py``; ``serving.py`` runs the application. Before all of them stands ``security/gate.py``; predictions
mostly take a shorter way (``short_way.py``).
"""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from functools import partial

import anyio.to_thread
import structlog
from fastapi import FastAPI

from models.registry import prepare
from service.config import Settings
from service.rest.problems import install_problem_handlers
from service.rest.routes_changes import ChangeRoutes
from service.rest.routes_commands import CommandRoutes
from service.rest.routes_docs import DocsRoutes
from service.rest.routes_events import EventRoutes
from service.rest.routes_export import ExportRoutes
from service.rest.routes_health import HealthRoutes
from service.rest.routes_models import ModelRoutes
from service.rest.routes_open_inference import OpenInferenceRoutes, package_version
from service.rest.routes_predict import PredictRoutes
from service.rest.routing import complete_openapi
from service.rest.schemas_commands import COMMAND_BODIES
from service.rest.schemas_rows import Event, Instances, OneInstance
from service.rest.serving_context import Context
from service.rest.short_way import ShortWay
from service.security.gate import Gate
from service.security.judge import Judge
from service.security.keys import KeyRing
from service.security.openapi import secure_openapi

_REFRESH_SECONDS = 0.5
"""How often to look for what a request must not wait for: a checkpoint to fall back to, a trainer that came back."""

_THREADS = 1
"""For one computation on the CPU: a request's is so small that sharing it out takes longer than doing it."""

_DESCRIPTION = """\
Keeps a model learning from a stream of events and serves it while it learns.

Send labelled events to `/events`, ask for predictions at `/predict`, look at `/v1/models/default`, scrape `/metrics`.
Every call that names no model means the one called `default`. Errors are `application/problem+json` (RFC 9457).
A request whose line and headers are too long is answered with 431, and one that is sent too slowly with 408; both end
the connection.
"""

_log = structlog.get_logger("headrace.api")


def create_app(settings: Settings) -> FastAPI:
    """Return the application for `settings`.

    Its ``state.context`` is what its routes share, its ``state.short_way`` answers predictions where bytes arrive.

    Raises
    ------
    KeysInvalid
        There is to be a file of keys, and it cannot be used.
    """
    keys = KeyRing(settings.security.api_keys_file) if settings.security.api_keys_file else None
    context = Context(settings)
    app = FastAPI(
        title="Headrace",
        version=package_version(),
        summary="A live model behind a stream",
        description=_DESCRIPTION,
        lifespan=_lifespan,
        # Its own pages load scripts from elsewhere; routes_docs.py has ours.
        docs_url=None,
        redoc_url=None,
    )
    judge = Judge(settings, keys, context.admission)
    app.state.context = context
    app.state.short_way = ShortWay(context, judge)
    told, changed = (PredictRoutes, EventRoutes, ModelRoutes), (ChangeRoutes, CommandRoutes, ExportRoutes)
    for routes in (*told, *changed, HealthRoutes, OpenInferenceRoutes):
        routes(context).add_to(app)
    DocsRoutes().add_to(app)
    install_problem_handlers(app)
    app.add_middleware(Gate, judge=judge, counts=context.counts)
    secured = partial(secure_openapi, keys=keys is not None)
    app.openapi = complete_openapi(app, [Event, OneInstance, Instances, *COMMAND_BODIES], secured)  # type: ignore[method-assign]  # FastAPI's own way
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Attach to what is published, keep looking for more, and let go of everything in the end."""
    context: Context = app.state.context
    # Nothing is served yet, so this may block; and the bound on threads holds for the thread that sets it.
    prepare(_THREADS)
    await _refresh(context)
    # What is there by now stays: looking through it for garbage takes a tenth of a second, in the middle of a request.
    gc.collect()
    gc.freeze()
    refreshing = asyncio.create_task(_keep_refreshing(context))
    try:
        yield
    finally:
        refreshing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await refreshing
        await anyio.to_thread.run_sync(context.close)


async def _keep_refreshing(context: Context) -> None:
    while True:
        await asyncio.sleep(_REFRESH_SECONDS)
        await _refresh(context)


async def _refresh(context: Context) -> None:
    try:
        await anyio.to_thread.run_sync(context.refresh)
    # Whatever it is, what is served now goes on being served, and the next look may fare better.
    except Exception as error:  # noqa: BLE001
        _log.error("looking for newer parameters failed", error=str(error), exc_info=error)
