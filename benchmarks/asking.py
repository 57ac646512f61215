"""A client that asks for predictions as fast as they are answered, as a program of its own.

``python -m benchmarks.asking PORT CONNECTIONS SECONDS [KEY]`` prints the rate and the percentiles as JSON.
Plain asyncio streams, so that the client takes little of the cores that it shares with the server.
"""

import asyncio
import json
import sys
import time

import numpy as np

FEATURES = {f"n{index}": 0.1 * index for index in range(10)} | {"city": "city-1"}


def request(port: int, key: str = "") -> bytes:
    """Return one request for one row, as it goes over the wire."""
    body = json.dumps({"features": FEATURES}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    head += f"X-API-Key: {key}\r\n" if key else ""
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def connection(port: int, key: str, until: float) -> tuple[list[float], int]:
    """Ask until `until`; return the seconds that each answer took, and how many were not 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked, taken, failed = request(port, key), [], 0
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(asked)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        taken.append(time.perf_counter() - began)
        failed += not head.startswith(b"HTTP/1.1 200")
    writer.close()
    return taken, failed


async def ask(port: int, connections: int, seconds: float, key: str = "") -> dict[str, float]:
    """Ask over several connections at once; return the rate and the percentiles."""
    began = time.perf_counter()
    found = await asyncio.gather(*(connection(port, key, began + seconds) for _ in range(connections)))
    taken = np.concatenate([np.array(one) for one, _ in found])
    return {
        "rate": len(taken) / (time.perf_counter() - began),
        "p50_ms": float(np.percentile(taken, 50)) * 1000,
        "p99_ms": float(np.percentile(taken, 99)) * 1000,
        "failed": float(sum(failed for _, failed in found)),
    }


if __name__ == "__main__":
    port, connections, seconds, *key = sys.argv[1:]
    print(json.dumps(asyncio.run(ask(int(port), int(connections), float(seconds), *key))))
