"""One connection to the server: how much and how slowly a client may send before it is cut off.

On the path it is what bytes reach first; what it makes of them goes to ``gate.py``. The HTTP server under us
(uvicorn) waits for ever for headers and bodies, and takes headers of any size; this class, between it and the socket,
does not. A timer looks at each connection now and then, so that a request costs nothing but a few assignments.
"""

import asyncio
import json
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.config import Settings
from service.rest.problems import PROBLEM_JSON
from service.security.headers import add_security_headers

CROWDED = "headrace.crowded"
"""Stands in the scope of a request whose connection is one too many: only probes are answered on it."""

_FOR_PROBES = 32
"""Connections beyond ``limits.max_connections`` that are taken to be asked for health, and for nothing else."""

_PATIENCE_IN_A_CROWD = 2.0
"""Seconds that such a connection has for its headers."""

_BYTES_PER_SECOND = 16_384
"""A body that always comes faster may take as long as it needs."""

_MOST_AHEAD = 32
"""Requests that a client may send without waiting for the answer to the first one; each is kept in memory."""

_FAREWELL = 0.5
"""Seconds that an idle connection has for its end when the server ends."""

_LOOKS = 4
"""How often a connection is looked at within the time that a client has."""


class GuardedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol with bounds; made by uvicorn, for each connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Begin to watch a new connection, or refuse it."""
        super().connection_made(transport)
        settings: Settings = cast(Any, self.config.app).settings
        self._limits = settings.limits
        self._most_ignored = settings.serve.max_body_bytes
        self._crowded = len(self.connections) > self._limits.max_connections
        self._patience = min(self._limits.slow_client_seconds, _PATIENCE_IN_A_CROWD if self._crowded else 1e9)
        self._now = self.loop.time()
        # Since when a request is being received; None between two of them.
        self._since: float | None = self._now
        self._in_body = False
        self._received = 0
        self._chunk = 0
        self._answered_early = False
        self._unread_since: float | None = None
        self._refused: tuple[int, str] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None
        if len(self.connections) > self._limits.max_connections + _FOR_PROBES:
            self._refuse(503, "there are too many connections; come again")
        else:
            self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """End watching, and tell whoever is still answering: uvicorn tells only the newest of several requests."""
        if self._timer is not None:
            self._timer.cancel()
        for cycle in (self._running, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._unset_keepalive_if_required()
        self._now = self.loop.time()
        if self._since is None:
            self._since = self._now
        self._chunk = len(data)
        self._received += self._chunk
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # to nothing that we know: it was a request like any other
        except httptools.HttpParserError:
            self._refuse(*(self._refused or (400, "this is not HTTP")))
            return
        if self._since is not None and self._received > self._limits.max_header_bytes and not self._in_body:
            self._refuse(431, self._too_long())
        elif self._answered_early and self._received > self._most_ignored:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        """Look at the headers, and have the request answered."""
        most = self._limits.max_header_bytes
        if max(self._received, self._chunk) > most:  # else they cannot be longer
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > most:
                self._refused = (431, self._too_long())
                raise ValueError(self._refused[1])  # ends the parser; data_received() answers
        if len(self.pipeline) >= _MOST_AHEAD:
            raise ValueError("too many requests ahead of their answers")
        if self._crowded:
            self.scope[CROWDED] = True  # type: ignore[literal-required]  # a scope may hold anything
        self.begin_answering()
        self._in_body = True
        self._since = self._now
        self._received = 0

    def begin_answering(self) -> None:
        """Have a request answered whose headers are in bounds; its body is still to come."""
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        super().on_message_complete()
        self._since = None
        self._in_body = self._answered_early = False
        self._received = 0

    def on_response_complete(self) -> None:
        """Go on to the next request; where this one's body is still coming, only so much of it is thrown away."""
        if self._in_body and self._running is self.cycle:
            self._answered_early = True
            self._received = 0
        super().on_response_complete()

    def shutdown(self) -> None:
        """End the connection, after the answer where one is being given."""
        super().shutdown()
        if self.transport.is_closing():
            # Under TLS an idle client would have half a minute to say goodbye, and the server that long to end.
            self.loop.call_later(_FAREWELL, self.transport.abort)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def pause_writing(self) -> None:
        """Note that the client does not read."""
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that it does again."""
        self._unread_since = None
        super().resume_writing()

    def _look_later(self) -> None:
        self._timer = self.loop.call_later(self._patience / _LOOKS, self._look)

    def _look(self) -> None:
        """Cut the client off where its time is over."""
        now = self.loop.time()
        if self.transport.is_closing() and self._unread_since is None:
            self._unread_since = now  # what is left in the buffer keeps it open
        if self._unread_since is not None and now - self._unread_since > self._patience:
            self.transport.abort()
            return
        if self._since is not None and not self.transport.is_closing():
            self._look_at_request(now, self._since)
        self._look_later()

    def _look_at_request(self, now: float, since: float) -> None:
        if self.flow.read_paused:
            self._since = now  # it is us who do not read
            return
        taken = now - since
        if taken <= self._patience:
            return
        if self._in_body and not self._answered_early and self._received >= taken * _BYTES_PER_SECOND:
            # Fast enough so far; from here on it has to be, too, or a client could send most of a body and then stop.
            self._since, self._received = now, 0
        elif self._received or self._in_body:
            self._refuse(408, "the request comes too slowly (limits.slow_client_seconds)")
        else:
            self.transport.close()  # a connection that was never used

    def _too_long(self) -> str:
        return f"the request's line and headers are longer than {self._limits.max_header_bytes} bytes"

    def _refuse(self, status: int, detail: str) -> None:
        """Answer without the application, and close; only close where another answer is on its way."""
        running = self._running
        idle = running is None or running.response_complete
        waits = running is self.cycle and self._in_body and running is not None and not running.response_started
        if self.transport.is_closing():
            return
        if not self.pipeline and (idle or waits):
            self.transport.write(self._problem(status, detail))
            self.transport.close()
        else:
            self.transport.abort()

    def _problem(self, status: int, detail: str) -> bytes:
        """Return a whole answer, as it goes over the wire."""
        phrase = HTTPStatus(status).phrase
        body = json.dumps({"type": "about:blank", "title": phrase, "status": status, "detail": detail}).encode()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", PROBLEM_JSON.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *([(b"retry-after", b"1")] if status == HTTPStatus.SERVICE_UNAVAILABLE else []),
        ]
        lines = [name + b": " + value for name, value in add_security_headers(headers, tls=self.scheme == "https")]
        return b"\r\n".join([f"HTTP/1.1 {status} {phrase}".encode(), *lines, b"", body])
