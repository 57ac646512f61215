"""A real HTTP server that answers as a test says, and remembers what it was asked."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def events(self) -> list[Any]:
        """Return the events of the body."""
        if self.headers["content-type"] == "application/x-ndjson":
            return [msgspec.json.decode(line) for line in self.body.splitlines()]
        return list(msgspec.json.decode(self.body))


@dataclass(frozen=True)
class Answer:
    """What to answer: a status (0 to hang up instead), a JSON body, headers."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class AnsweringServer:
    """A server on a port of its own.

    Attributes
    ----------
    answer
        Called with each request.
    asked
        All requests so far.
    """

    url: str
    answer: Callable[[Asked], Answer]
    asked: list[Asked]

    def posts(self) -> list[Asked]:
        """Return the requests that sent something."""
        return [asked for asked in self.asked if asked.method == "POST"]


def accept_all(asked: Asked) -> Answer:
    """Answer as a server that takes every event, and has learned all."""
    if asked.method == "GET":
        return Answer(200, {"model": "default"})
    return Answer(202, {"accepted": len(asked.events()), "rejected": []})


@contextmanager
def answering(answer: Callable[[Asked], Answer] = accept_all) -> Iterator[AnsweringServer]:
    """Yield a running server."""
    state = AnsweringServer("", answer, [])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _answer(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            asked = Asked(self.command, self.path, headers, body)
            state.asked.append(asked)
            answer = state.answer(asked)
            if answer.status == 0:
                self.close_connection = True
                return
            content = msgspec.json.encode(answer.body)
            self.send_response(answer.status)
            for name, value in {"content-length": str(len(content)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
