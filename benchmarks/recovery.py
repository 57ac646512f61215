"""``python -m benchmarks.recovery``: from SIGKILL to learning again, for a trainer alone and for one with a spare.

Learning again is the first update that is new and served. Alone, another trainer is started at once,
and what counts is what comes after the imports; under ``headrace up`` the spare has imported already, and all counts.
"""

import argparse
import contextlib
import datetime as dt
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.killing import MODEL, Stream, Watch, kill, resident, wait_for_spare
from benchmarks.report import Result, add_results_option, finish
from tests.support.processes import Installation, installation

BAR = 3.0
"""Seconds: beyond the imports for a trainer alone, in all where there is a spare."""


def main() -> int:
    """Measure, keep the result, and say with the status whether the bars are met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recovery", description="From SIGKILL to learning again."
    )
    parser.add_argument("--kills", type=int, default=15, help="of each kind (%(default)s)")
    parser.add_argument("--rates", type=float, nargs="+", default=[2000, 20000], help="events a second (%(default)s)")
    add_results_option(parser)
    asked = parser.parse_args()
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="headrace-recovery-") as folder:
        for rate in asked.rates:
            results += _alone(Path(folder) / f"alone-{rate:g}", rate, asked.kills)
            results += _spare(Path(folder) / f"spare-{rate:g}", rate, asked.kills)
    return finish(results, asked.results, "recovery")


def _alone(folder: Path, rate: float, kills: int) -> list[Result]:
    """Kill ``headrace train`` and start it again at once."""
    folder.mkdir()
    whole, beyond = [], []
    with installation(folder, MODEL) as place:
        place.start("train")
        watch = Watch(place)
        with contextlib.closing(Stream(place, rate)):
            watch.wait_for_version(0)
            for _ in range(kills):
                _let_learn(watch)
                goal, killed = kill(watch)
                place.start("train")
                learned = watch.wait_for_version(goal)
                whole.append(learned - killed)
                beyond.append(learned - _imported(place))
    name = f"train alone, {rate:,.0f} events/s"
    return [
        Result(f"{name}: SIGKILL to learning again", "s", whole, "imports included"),
        *_worst(f"{name}: beyond the imports", beyond),
    ]


def _spare(folder: Path, rate: float, kills: int) -> list[Result]:
    """Kill the trainer under ``headrace up``."""
    folder.mkdir()
    whole, memory = [], []
    with installation(folder, MODEL) as place:
        supervisor = place.start("up")
        watch = Watch(place)
        with contextlib.closing(Stream(place, rate)):
            watch.wait_for_version(0)
            for _ in range(kills):
                memory.append(resident(wait_for_spare(supervisor.pid, watch)))
                _let_learn(watch)
                goal, killed = kill(watch)
                whole.append(watch.wait_for_version(goal) - killed)
    name = f"up with a spare, {rate:,.0f} events/s"
    return [
        *_worst(f"{name}: SIGKILL to learning again", whole),
        Result(f"{name}: memory of a waiting spare", "MiB", memory, "not shared with any other process"),
    ]


def _worst(name: str, values: list[float]) -> list[Result]:
    """Return the figures, and the longest of them as the one that the bar is for."""
    return [
        Result(name, "s", values),
        Result(f"{name}, the longest", "s", [max(values)], "", BAR, at_most=True),
    ]


def _let_learn(watch: Watch) -> None:
    """Be in mid-stream, at any place between two checkpoints."""
    watch.wait_for_version(watch.version() + 5)
    time.sleep(1 + time.time() % 4)


def _imported(place: Installation) -> float:
    """Return when the newest trainer had imported everything, as it says in its log."""
    lines = [json.loads(line) for line in place.log("train").splitlines() if line.startswith("{")]
    (*_, last) = (line for line in lines if line.get("event") == "everything is imported")
    return dt.datetime.fromisoformat(last["timestamp"]).timestamp()


if __name__ == "__main__":
    sys.exit(main())
