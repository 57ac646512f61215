"""A campaign: cycle after cycle of kills on one data directory, and an independent look at what came of it.

``python -m tests.integration.faults.campaign FOLDER VARIETY --cycles N --seed S`` prints the result as a line of JSON,
last. Everything is imported here once; trainers are forked off, which is why this process has one thread and computes
nothing itself.
"""

import argparse
import gc
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, get_args

import torch

import models.online_learner  # what trainers import when they start
import models.torch_learner  # noqa: F401 - as above
from service.durability.journal_format import Update
from service.durability.journal_reading import read_journal
from service.monitoring.status import read_status
from tests.integration.faults import trainer
from tests.integration.faults.cycles import Cycles
from tests.integration.faults.place import MAX_SIZE, TEACHER, Place, Variety
from tests.integration.faults.points import TORN
from tests.integration.faults.processes import Child
from tests.integration.faults.stream import Producer
from tests.integration.faults.watcher import watch

REPOSITORY = Path(__file__).parents[3]


class Campaign:
    """One campaign.

    Parameters
    ----------
    place
        Where; its folder is empty.
    seed
        Of the stream and of every kill.
    rate
        Events a second that are appended.
    """

    def __init__(self, place: Place, seed: int, rate: float) -> None:
        self._place = place
        place.folder.mkdir(parents=True, exist_ok=True)
        place.updates.touch()
        self._cycles = Cycles(place, Random(f"{seed}/{place.variety}"))
        align = MAX_SIZE if place.sized else 1
        self._producer = Producer(place.logs, seed, rate, align, taught=place.variety == "taught")
        self._teacher: Child | None = None
        self._teaching = Random(f"{seed}/teaching")
        self._watcher = Child(lambda: watch(place.publication, place.versions))
        self._verifier = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.verifier", str(place.folder), place.variety],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            text=True,
        )
        self._kinds: Counter[str] = Counter()
        self._harvested = -1
        self._torn, self._skips = 0, False
        self._verified: dict[str, Any] = {}
        self._started = time.monotonic()

    def run(self, count: int, check_every: int) -> dict[str, Any]:
        """Run `count` cycles, with a check after every `check_every` and at the end; return the result."""
        try:
            self._cycles.first()
            self._harvest()
            for number in range(1, count + 1):
                self._change_teacher()
                self._kinds[self._cycles.run()] += 1
                self._harvest()
                if number % check_every == 0 or number == count:
                    self._check()
                    print(
                        f"{self._place.variety}: {number} cycles, {json.dumps(self._verified)}",
                        file=sys.stderr,
                        flush=True,
                    )
                if self.problems:
                    break
        finally:
            self._end()
        return self._result(sum(self._kinds.values()))

    @property
    def problems(self) -> list[str]:
        """What must not have happened, so far."""
        return [*self._cycles.problems, *self._verified.get("problems", [])]

    def _change_teacher(self) -> None:
        """Start the teacher's trainer, where there is one, or now and then kill it, which its student must survive."""
        if self._place.variety != "taught":
            return
        if self._teacher is not None and self._teaching.random() < 0.4:
            self._teacher.kill()
        if self._teacher is None or self._teacher.ended():
            settings = self._place.settings()
            self._teacher = Child(lambda: trainer.run(self._place, settings, None, TEACHER))

    def _check(self) -> None:
        """Pause the producer, have everything learned, and compare."""
        usable = self._producer.pause()
        self._cycles.undisturbed(
            self._is_passed if self._place.variety == "taught" else lambda: self._learned() == usable
        )
        self._harvest()
        self._cycles.remade()
        if self._watcher.ended():
            self._cycles.problems.append(f"the watcher ended with status {self._watcher.status}")
        assert self._verifier.stdin is not None
        assert self._verifier.stdout is not None
        self._verifier.stdin.write("check\n")
        self._verifier.stdin.flush()
        answer = self._verifier.stdout.readline()
        self._verified = json.loads(answer) if answer else {"problems": ["the verifier ended"]}
        if self._verified.get("events") != usable:
            self._cycles.problems.append(f"the log holds {usable} events, the verifier has {self._verified}")
        if "Traceback" in (self._place.folder / "trainers.log").read_text(errors="replace"):
            self._cycles.problems.append(f"there is a traceback in {self._place.folder / 'trainers.log'}")
        self._producer.go_on()

    def _learned(self) -> int:
        status = read_status(self._place.model_status)
        return 0 if status is None else sum(status.events_learned.values())

    def _is_passed(self) -> bool:
        """Return whether everything in the logs was passed: what nobody can teach is not learned."""
        status = read_status(self._place.model_status)
        ends = {str(number): _length(path) for number, path in enumerate(self._place.logs)}
        return status is not None and {name: at[0] for name, at in status.positions.items()} == ends

    def _harvest(self) -> None:
        """Keep the boundaries of every update that was journaled: what the variety with timeouts is compared with.

        Numbers follow one another, unless half an entry was left.
        """
        if self._place.sized:
            return
        tail = read_journal(self._place.model / "journal", self._harvested)
        torn = sum(self._cycles.kills[point] for point in TORN)
        # Until numbering has skipped, which it does with the first update after half an entry.
        self._skips, self._torn = torn > self._torn or self._skips, torn
        if not self._skips:
            self._cycles.problems += [f"the journal is not whole: {problem}" for problem in tail.problems]
        with self._place.updates.open("a") as told:
            for entry in tail.entries:
                new = isinstance(entry, Update) or entry.kind == "renumber"
                if not new or entry.version <= self._harvested:
                    continue
                if entry.version != self._harvested + 1 and self._harvested >= 0:
                    if not self._skips:
                        self._cycles.problems.append(f"update {entry.version} follows {self._harvested} in the journal")
                    self._skips = False
                self._harvested = entry.version
                runs = [list(run) for run in entry.runs] if isinstance(entry, Update) else []
                lesson, effort = (entry.lesson.hex(), entry.effort) if isinstance(entry, Update) else ("", 0)
                line = {"version": entry.version, "runs": runs, "lesson": lesson, "effort": effort}
                told.write(json.dumps(line) + "\n")

    def _result(self, cycles: int) -> dict[str, Any]:
        return {
            "variety": self._place.variety,
            "cycles": cycles,
            "seconds": round(time.monotonic() - self._started, 1),
            "kinds": dict(self._kinds),
            "kills": dict(sorted(self._cycles.kills.items())),
            **self._verified,
            "problems": self.problems,
        }

    def _end(self) -> None:
        self._producer.end()
        self._watcher.kill()
        if self._teacher is not None:
            self._teacher.kill()
        assert self._verifier.stdin is not None
        self._verifier.stdin.close()
        self._verifier.wait(30)


def _length(log: Path) -> int:
    """Return how many records a log holds."""
    connection = sqlite3.connect(log)
    (newest,) = connection.execute("SELECT max(id) FROM records").fetchone()
    connection.close()
    return int(newest or 0)


def main() -> int:
    """Run a campaign; the status is 1 where anything was lost, doubled or altered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("variety", choices=get_args(Variety))
    parser.add_argument("--cycles", type=int, default=25)
    parser.add_argument("--seed", type=int, default=None, help="repeats a campaign; drawn where none is given")
    parser.add_argument("--check-every", type=int, default=100)
    parser.add_argument("--rate", type=float, default=1500)
    asked = parser.parse_args()
    seed = int.from_bytes(os.urandom(3), "big") if asked.seed is None else asked.seed
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    result = Campaign(Place(asked.folder, asked.variety), seed, asked.rate).run(asked.cycles, asked.check_every)
    print(json.dumps({"seed": seed, **result}))
    return int(bool(result["problems"]))


if __name__ == "__main__":
    sys.exit(main())
