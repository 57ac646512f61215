"""``python -m benchmarks.flood``: what becomes of a modest client's latency while somebody floods the server.

The flood comes from connections that ask again as soon as they are answered, in a program of the lowest priority: it is
to take the server's time, as it would from other machines, rather than the cores that all of them share here.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.killing import MODEL, Stream
from benchmarks.report import Result, add_results_option, finish, ratio
from service.security.keys_file import add_key
from tests.support.processes import Installation, installation

LIMITS: dict[str, dict[str, Any]] = {
    "429: a rate of 200 a second for each key": {"security": {"requests_per_second": 200}},
    "503: 16 requests at once": {"limits": {"max_concurrent": 16}},
}
"""What sheds the flood, and the settings for it."""

_RATE, _CONNECTIONS = 100, 10
"""Of the modest client: requests a second, and connections."""

_LOWEST_PRIORITY = 19


def main() -> int:
    """Measure and keep the result; the status is 1 where the modest client was turned away or got no answer."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=8, help="of each measurement (%(default)s)")
    parser.add_argument("--flood", type=int, default=100, help="connections that flood (%(default)s)")
    add_results_option(parser)
    asked = parser.parse_args()
    results = [
        result
        for name, settings in LIMITS.items()
        for result in _measure(name, settings, asked.rounds, asked.seconds, asked.flood)
    ]
    return finish(results, asked.results, "flood")


def _measure(name: str, settings: dict[str, Any], rounds: int, seconds: float, flood: int) -> list[Result]:
    idle, flooded, floods = [], [], []
    with tempfile.TemporaryDirectory(prefix="headrace-flood-") as folder:
        file = Path(folder) / "keys.txt"
        keys = {who: add_key(file, who, ["predict"]) for who in ("modest", "greedy")}
        security = {"api_keys_file": str(file)} | settings.get("security", {})
        with installation(Path(folder), MODEL, **settings | {"security": security}) as place:
            place.http.headers["X-API-Key"] = keys["modest"]
            place.start("up")
            place.wait_until_ready()
            with contextlib.closing(Stream(place, 2000)):
                place.wait_until_learned(4000)
            for _ in range(rounds):
                idle.append(_ask(place, keys["modest"], seconds))
                greedy = _program("asking", place.port, flood, seconds + 2, keys["greedy"], priority=_LOWEST_PRIORITY)
                time.sleep(1)
                flooded.append(_ask(place, keys["modest"], seconds))
                floods.append(json.loads(greedy.communicate()[0]))
    found = [
        Result(
            f"{which} of a modest client's prediction, {how} ({name})", "ms", [each[f"{which}_ms"] for each in measured]
        )
        for which in ("p50", "p99")
        for how, measured in (("idle", idle), ("flooded", flooded))
    ]
    note = f"{flood} connections, beside {_RATE} requests a second of the modest client"
    return [
        Result(
            f"the flood's requests answered or shed ({name})", "requests/s", [each["rate"] for each in floods], note
        ),
        Result(
            f"share of them shed ({name})", "", [each["failed"] / (each["rate"] * (seconds + 2)) for each in floods]
        ),
        Result(f"modest client's failures ({name})", "", [each["failed"] for each in flooded], "", 0, at_most=True),
        *found,
        ratio(f"p99 flooded over idle ({name})", found[3], found[2]),
    ]


def _ask(place: Installation, key: str, seconds: float) -> dict[str, float]:
    """Return what the modest client saw."""
    modest = _program("paced_asking", place.port, _RATE, _CONNECTIONS, key)
    time.sleep(seconds)
    return dict(json.loads(modest.communicate()[0]))


def _program(name: str, *arguments: object, priority: int = 0) -> "subprocess.Popen[str]":
    """Start one of the clients."""
    command = ["nice", "-n", str(priority), sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


if __name__ == "__main__":
    sys.exit(main())
