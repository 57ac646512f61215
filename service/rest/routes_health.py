"""Probes and ``/metrics``."""

import anyio.to_thread
from fastapi import FastAPI
from starlette.responses import Response

from service.errors import RequestInvalid
from service.metrics import CONTENT_TYPE_LATEST, render_metrics
from service.rest.problems import problems
from service.rest.routing import json_response
from service.rest.schemas import Health
from service.rest.serving_context import Context

_READY_AGAIN = 1.0
"""Seconds after which a probe of a server that is starting may ask again."""


class HealthRoutes:
    """What machines ask of the process rather than of a model."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_to(self, app: FastAPI) -> None:
        """Register the routes."""
        for path, endpoint, summary, answers in (
            ("/health/live", self.live, "Whether the process answers", {}),
            ("/health/ready", self.ready, "Whether predictions can be asked for", problems(503)),
        ):
            app.router.add_api_route(
                path,
                endpoint,
                methods=["GET"],
                tags=["operations"],
                summary=summary,
                responses={200: {"model": Health}, **answers},
            )
        app.router.add_api_route(
            "/metrics",
            self.metrics,
            methods=["GET"],
            tags=["operations"],
            summary="Metrics for Prometheus",
            responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Metrics."}},
        )

    async def live(self) -> Response:
        """Answer that the process lives: restart it if this fails."""
        return json_response({"status": "live"})

    async def ready(self) -> Response:
        """Answer whether a version of every model is attached; not so while starting and while stopping."""
        if self._context.draining:
            raise RequestInvalid("this process is stopping", 503, retry_after=_READY_AGAIN)
        if not self._context.ready():
            raise RequestInvalid("no version of the model is attached yet", 503, retry_after=_READY_AGAIN)
        return json_response({"status": "ready"})

    async def metrics(self) -> Response:
        """Learning metrics of all models, and this server's own, summed over its processes."""
        context = self._context
        text = await anyio.to_thread.run_sync(render_metrics, context.statuses, context.served, context.counts.total)
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})
