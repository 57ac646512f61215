"""Clients that ask for predictions at a fixed rate until their stdin ends, as a program of its own.

``python -m benchmarks.paced_asking PORT RATE CONNECTIONS [KEY]`` prints what came of it as JSON. Each connection asks
when its turn comes, whether the others were answered or not; an answer's time counts from then.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field

import numpy as np

from benchmarks.asking import request

PATIENCE = 10.0
"""Seconds after which an answer that has not come is a failure."""


@dataclass
class Asked:
    """What came of the requests so far."""

    taken: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stopped: bool = False


async def client(port: int, key: str, first: float, every: float, asked: Asked) -> None:
    """Ask over one connection, opened again where it breaks."""
    due = first
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while not asked.stopped:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        try:
            streams = streams or await asyncio.open_connection("127.0.0.1", port)
            await asyncio.wait_for(_ask(*streams, request(port, key)), PATIENCE)
            asked.taken.append(time.perf_counter() - due)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            asked.failures.append(repr(error)[:300])
            streams = None
        # A late answer does not put the next question off, unless the connection is still busy with it.
        due = max(due + every, time.perf_counter() - every)
    if streams is not None:
        streams[1].close()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: bytes) -> None:
    writer.write(asked)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    body = await reader.readexactly(int(length.partition(b":")[2]))
    if not head.startswith(b"HTTP/1.1 200"):
        raise ValueError(f"{head[:40]!r} {body[:200]!r}")


async def run(port: int, rate: float, connections: int, key: str = "") -> Asked:
    """Ask until stdin ends."""
    asked = Asked()
    began = time.perf_counter()
    every = connections / rate
    turns = [began + each / rate for each in range(connections)]
    clients = [asyncio.create_task(client(port, key, turn, every, asked)) for turn in turns]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    asked.stopped = True
    await asyncio.gather(*clients)
    return asked


def main() -> None:
    """Ask, and print the figures."""
    port, rate, connections = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    began = time.perf_counter()
    asked = asyncio.run(run(port, rate, connections, *sys.argv[4:]))
    seconds = time.perf_counter() - began
    percentiles = {f"p{each}_ms": float(np.percentile(asked.taken, each)) * 1000 for each in (50, 99, 99.9)}
    worst = {"max_ms": max(asked.taken) * 1000}
    count = len(asked.taken) + len(asked.failures)
    figures = {"asked": count, "rate": count / seconds, "failed": len(asked.failures), **percentiles, **worst}
    print(json.dumps(figures | {"failures": asked.failures[:5]}))


if __name__ == "__main__":
    main()
