"""A client that asks for predictions as fast as they are answered, as a program of its own.

``python -m benchmarks.asking PORT CONNECTIONS SECONDS [KEY] [--rows N] [--path PATH]`` prints the rate and the
percentiles as JSON. Bare sockets and one poll for all of them: what the client takes of the cores that it shares with
the server is taken from what is measured.
"""

import argparse
import json
import select
import socket
import time
from dataclasses import dataclass, field

import numpy as np

FEATURES = {f"n{index}": 0.1 * index for index in range(10)} | {"city": "city-1"}

PATIENCE = 30.0
"""Seconds after which a connection that is not answered is given up."""


def request(port: int, key: str = "", rows: int = 1, path: str = "/predict") -> bytes:
    """Return one request, as it goes over the wire: for one row as that, for several as a list."""
    asked = {"features": FEATURES} if rows == 1 else {"instances": [{"features": FEATURES}] * rows}
    body = json.dumps(asked).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    head += f"X-API-Key: {key}\r\n" if key else ""
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class Connection:
    """One connection, and what of the answer has come.

    Attributes
    ----------
    opened
        The socket.
    began
        When it was asked.
    parts, missing
        What has come, and how many bytes have not, once the headers say so.
    """

    opened: socket.socket
    began: float = 0.0
    parts: list[bytes] = field(default_factory=list)
    missing: int | None = None

    def ask(self, asked: bytes) -> None:
        """Ask once more."""
        self.parts, self.missing = [], None
        self.began = time.perf_counter()
        self.opened.sendall(asked)

    def take(self) -> bool:
        """Take what came; return whether the answer is whole."""
        data = self.opened.recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.parts.append(data)
        if self.missing is None:
            whole = b"".join(self.parts)
            head, end, body = whole.partition(b"\r\n\r\n")
            if not end:
                return False
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            self.missing = int(length.partition(b":")[2]) - len(body)
        else:
            self.missing -= len(data)
        return self.missing <= 0

    @property
    def answered(self) -> bool:
        """Whether the answer is one."""
        return self.parts[0].startswith(b"HTTP/1.1 200")


def ask(port: int, connections: int, seconds: float, asked: bytes) -> dict[str, float]:
    """Ask over several connections at once; return the rate and the percentiles."""
    opened = [Connection(socket.create_connection(("127.0.0.1", port), PATIENCE)) for _ in range(connections)]
    poll = select.poll()
    by_number = {each.opened.fileno(): each for each in opened}
    for number, each in by_number.items():
        each.opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(number, select.POLLIN)
    began = time.perf_counter()
    for each in opened:
        each.ask(asked)
    taken, failed = _go_on(poll, by_number, asked, began + seconds)
    for each in opened:
        each.opened.close()
    return {
        "rate": len(taken) / (time.perf_counter() - began),
        "p50_ms": float(np.percentile(taken, 50)) * 1000,
        "p99_ms": float(np.percentile(taken, 99)) * 1000,
        "failed": float(failed),
    }


def _go_on(poll: select.poll, waiting: dict[int, Connection], asked: bytes, until: float) -> tuple[list[float], int]:
    """Ask each again as soon as it is answered; return the seconds that answers took, and how many were not 200."""
    taken: list[float] = []
    failed = 0
    while waiting:
        ready = poll.poll(PATIENCE * 1000)
        if not ready:
            raise TimeoutError(f"no answer for {PATIENCE:.0f} s")
        for number, _ in ready:
            connection = waiting[number]
            if not connection.take():
                continue
            now = time.perf_counter()
            taken.append(now - connection.began)
            failed += not connection.answered
            if now < until:
                connection.ask(asked)
            else:
                poll.unregister(number)
                del waiting[number]
    return taken, failed


def main() -> None:
    """Ask, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.asking", description="Asks for predictions.")
    parser.add_argument("port", type=int)
    parser.add_argument("connections", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("key", nargs="?", default="")
    parser.add_argument("--rows", type=int, default=1, help="rows of a request (%(default)s)")
    parser.add_argument("--path", default="/predict", help="where to (%(default)s)")
    given = parser.parse_args()
    asked = request(given.port, given.key, given.rows, given.path)
    print(json.dumps(ask(given.port, given.connections, given.seconds, asked)))


if __name__ == "__main__":
    main()
