"""``python -m benchmarks.kills``: the trainer is killed again and again while clients ask; no prediction may fail."""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.killing import MODEL, Stream, Watch, kill, wait_for_spare
from benchmarks.report import Result, add_results_option, finish
from tests.support.processes import installation, total_learned

CONNECTIONS = 20


def main() -> int:
    """Measure, keep the result, and say with the status whether every prediction was answered."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description="Kills trainers while clients ask.")
    parser.add_argument("--kills", type=int, default=50, help="(%(default)s)")
    parser.add_argument("--asked", type=float, default=500, help="predictions a second (%(default)s)")
    parser.add_argument("--rate", type=float, default=2000, help="events a second (%(default)s)")
    add_results_option(parser)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-kills-") as folder:
        results = _measure(Path(folder), asked.kills, asked.asked, asked.rate)
    return finish(results, asked.results, "kills")


def _measure(folder: Path, kills: int, asked_rate: float, rate: float) -> list[Result]:
    gaps = []
    with installation(folder, MODEL) as place:
        supervisor = place.start("up")
        place.wait_until_ready()
        watch = Watch(place)
        with contextlib.closing(Stream(place, rate)) as produced:
            watch.wait_for_version(1)
            command = [
                sys.executable,
                "-m",
                "benchmarks.paced_asking",
                str(place.port),
                str(asked_rate),
                str(CONNECTIONS),
            ]
            clients = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for number in range(kills):
                wait_for_spare(supervisor.pid, watch)
                goal, killed = kill(watch)
                gaps.append(watch.wait_for_version(goal) - killed)
                print(f"killed {number + 1} times; learning again after {gaps[-1]:.2f} s", file=sys.stderr, flush=True)
            time.sleep(1)
            found = json.loads(clients.communicate()[0])
        place.wait_until_learned(produced.appended)
        time.sleep(0.5)
        learned = total_learned(place.state())
    if found["failures"]:
        print(found["failures"], file=sys.stderr)
    note = f"{CONNECTIONS} connections, broker-less, clients and server and trainer on the same cores"
    return [
        Result("trainers killed", "", [kills]),
        Result("predictions asked for", "", [found["asked"]], f"{found['rate']:.0f} a second; {note}"),
        Result("failed predictions", "", [found["failed"]], "", 0, at_most=True),
        Result("events lost or learned twice", "", [abs(learned - produced.appended)], "", 0, at_most=True),
        Result("SIGKILL to learning again", "s", gaps),
        Result("SIGKILL to learning again, the longest", "s", [max(gaps)], "", 3.0, at_most=True),
        *[Result(f"{name} of a prediction", "ms", [found[f"{name}_ms"]]) for name in ("p50", "p99", "p99.9", "max")],
    ]


if __name__ == "__main__":
    sys.exit(main())
