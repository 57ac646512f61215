"""One connection to the server whose small predictions take the short way.

On the path it is what bytes reach first, as the protocol with bounds that it extends; everything that is no plain small
prediction, whole in what came at once, goes on as there. A request that takes the short way stands where uvicorn has
its own (``cycle``): so requests behind it wait their turn, and the ends of connection and server are told to it as to
any other.
"""

import asyncio
from typing import Any, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.rest.served_model import ServedModel
from service.rest.short_way import ShortWay
from service.security.limits_connection import GuardedProtocol


class _NobodyWaits:
    """Stands where uvicorn wakes up whoever waits for more of a body."""

    def set(self) -> None:
        """Do nothing."""


_NOBODY_WAITS = _NobodyWaits()


class ShortCycle:
    """A request that takes the short way; see :class:`service.rest.short_way.Asking`.

    The other attributes are those of uvicorn's own, which its protocol reads and writes.

    Parameters
    ----------
    protocol
        Its connection.
    scope
        As ASGI describes the request.
    model
        Who is asked.
    """

    __slots__ = (
        "body", "disconnected", "keep_alive", "message_event", "model", "more_body", "protocol", "response_complete",
        "response_started", "scope",
    )  # fmt: skip

    def __init__(self, protocol: "ShortProtocol", scope: Scope, model: ServedModel) -> None:
        self.protocol = protocol
        self.scope = scope
        self.model = model
        self.body = b""
        self.more_body = True
        self.keep_alive = True
        self.disconnected = self.response_started = self.response_complete = False
        self.message_event = _NOBODY_WAITS

    def answer(self, content: bytes) -> None:
        """See :class:`service.rest.short_way.Asking`."""
        self.protocol.send_answer(self, content)

    def hand_over(self) -> None:
        """See :class:`service.rest.short_way.Asking`."""
        self.protocol.hand_over(self)


class ShortProtocol(GuardedProtocol):
    """Uvicorn's protocol with bounds and a short way; made by uvicorn, for each connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Begin with a new connection."""
        # Behind a proxy that is believed, who asks is found out by a layer of the application.
        state = getattr(self.app, "state", None)
        self._short: ShortWay | None = getattr(state, "short_way", None)
        super().connection_made(transport)

    def begin_answering(self) -> None:
        """Have a request answered; where it may be, by the short way."""
        model = self._model_asked()
        if model is None:
            super().begin_answering()
            return
        path = self.url.decode("ascii")
        scope = cast(dict[str, Any], self.scope)
        scope |= {"method": "POST", "path": path, "raw_path": self.url, "query_string": b""}
        cycle = ShortCycle(self, scope, model)
        self.cycle = self._running = cast(RequestResponseCycle, cycle)

    def _model_asked(self) -> ServedModel | None:
        if self._short is None or self._crowded or self.flow.write_paused:
            return None
        if self.cycle is not None and not self.cycle.response_complete:
            return None  # a request before this one is still being answered
        parser = self.parser
        if parser.get_method() != b"POST" or parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return None
        return self._short.model_for(self.url, self.headers)

    def on_message_complete(self) -> None:
        """Ask, now that the request is whole."""
        super().on_message_complete()
        cycle: Any = self.cycle
        if type(cycle) is ShortCycle and not cycle.response_complete and self._short is not None:
            self._short.ask(cycle)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        super().data_received(data)
        cycle: Any = self.cycle
        if type(cycle) is ShortCycle and cycle.more_body and not self.transport.is_closing():
            self.hand_over(cycle)  # it did not come at once: waiting for the rest is not for here

    def send_answer(self, cycle: ShortCycle, content: bytes) -> None:
        """Send an answer, and go on to the next request."""
        if cycle.disconnected:
            return
        cycle.response_started = cycle.response_complete = True
        assert self._short is not None  # noqa: S101 - it has made the answer
        tls, stays = self.scheme == "https", cycle.keep_alive
        self.transport.write(self._short.response(content, self.server_state.default_headers, tls=tls, stays=stays))
        if not stays:
            self.transport.close()
        self.on_response_complete()

    def hand_over(self, cycle: ShortCycle) -> None:
        """Have the application answer, as if it had been asked at once."""
        if cycle.disconnected:
            return
        usual = RequestResponseCycle(
            scope=cast(Any, cycle.scope),
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=cycle.keep_alive,
            on_response=self.on_response_complete,
        )
        usual.message_event.set()  # there is something to be read
        usual.body += cycle.body
        usual.more_body = cycle.more_body
        if cast(Any, self.cycle) is cycle:
            self.cycle = usual
        self._start_asgi_task(usual, self.app)
