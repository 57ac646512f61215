"""Trainers that are killed while they obey a rollback: each is done once, and is what its checkpoint was, bit for bit.

``python -m tests.integration.faults.command_kills FOLDER --seed S`` prints the result as a line of JSON, last. In each
round a model goes on learning, somebody orders a rollback, the trainer dies at a point or at a random time, and
another one does what is left.
"""

import argparse
import gc
import json
import sys
from pathlib import Path
from random import Random
from signal import Signals
from typing import Any

import torch

import models.online_learner  # what trainers import when they start
import models.torch_learner  # noqa: F401 - as above
from consumers.log import LogSink
from models.learner import Json
from service.monitoring.status import Status, read_status
from service.operating.command_table import CommandTable
from service.restart.rollback import DECISION as ROLLBACK
from service.wiring import commands_path
from tests.integration.faults import trainer
from tests.integration.faults.place import MODEL, Place
from tests.integration.faults.points import COMMANDS, Plan
from tests.integration.faults.processes import Child, wait_until
from tests.integration.faults.stream import message
from tests.integration.faults.verifier import newest_checkpoint

MESSAGES = 60
"""That are appended to each partition in a round."""

RANDOM_ROUNDS = 2


class Rounds:
    """Rounds on one data directory.

    Attributes
    ----------
    place, random
        Where, and what everything is drawn from.
    problems
        What must not have happened.
    """

    def __init__(self, place: Place, random: Random) -> None:
        self.place, self.random = place, random
        self.problems: list[str] = []
        self.killed = 0
        self._appended = self._usable = self._rollbacks = 0
        self._table = CommandTable(commands_path(place.settings()))

    def run(self, plan: Plan | None) -> None:
        """Run one round: killed by plan, or at a random time."""
        self._order("resume", {})
        child = self._start(plan)
        self._append()
        self._wait(child, lambda status: sum(status.events_learned.values()) == self._usable and bool(self._kept()))
        kept = self._kept()
        chosen, expected = newest_of(kept[self.random.randrange(len(kept))])
        number = self._order(ROLLBACK, {"checkpoint": chosen, "then": "pause"})
        child.wait(self.random.uniform(0.0, 0.2) if plan is None else 30.0)
        if plan is not None and not child.ended():
            self.problems.append(f"{plan.point} was never met")
        self.killed += child.kill() or child.status == -Signals.SIGKILL
        self._finish(number)
        self._check(number, chosen, expected)

    def _kept(self) -> list[Path]:
        return sorted((self.place.model / "checkpoints").glob("manifest-*.json"))

    def _finish(self, number: int) -> None:
        """Have a trainer that nobody disturbs do what is left, and end in order."""
        child = self._start(None)
        self._wait(child, lambda status: status.state == "paused")
        wait_until(lambda: self._outcome(number) is not None, 30)
        child.signal(Signals.SIGTERM)
        child.wait(30)
        if child.status != 0:
            self.problems.append(f"a trainer ended with status {child.status}")

    def _check(self, number: int, chosen: int, expected: dict[str, Any]) -> None:
        outcome, status = self._outcome(number), read_status(self.place.model_status)
        manifest, arrays = newest_checkpoint(self.place.model / "checkpoints")
        self._rollbacks += 1
        assert status is not None
        found = {
            "outcome": outcome,
            "rollbacks": status.rollbacks,
            "restored_from": manifest["service"]["restored_from"],
        }
        right = {
            "outcome": {"status": 200, "model_version": manifest["version"], "restored_from": chosen, "paused": True},
            "rollbacks": self._rollbacks,
            "restored_from": chosen,
        }
        if found != right:
            self.problems.append(f"{found} instead of {right}")
        same = arrays.keys() == expected.keys() and all(a.tobytes() == expected[n].tobytes() for n, a in arrays.items())
        if not same:
            self.problems.append(f"version {manifest['version']} is not what {chosen} was")

    def _outcome(self, number: int) -> Json | None:
        outcome = self._table.outcome(number)
        self._table.close()  # a connection must not be there when a trainer is forked off
        return outcome

    def _order(self, kind: str, data: Json) -> int:
        number = self._table.order(MODEL, kind, data, "campaign")
        self._table.close()
        return number

    def _append(self) -> None:
        for partition, path in enumerate(self.place.logs):
            made = [message(0, partition, each) for each in range(self._appended, self._appended + MESSAGES)]
            sink = LogSink(path)
            sink.append([record for record, _ in made])
            sink.close()
            self._usable += sum(usable for _, usable in made)
        self._appended += MESSAGES

    def _start(self, plan: Plan | None) -> Child:
        settings = self.place.settings(every_seconds=0.2)
        return Child(lambda: trainer.run(self.place, settings, plan))

    def _wait(self, child: Child, condition: Any) -> None:
        def holds() -> bool:
            status: Status | None = read_status(self.place.model_status)
            return status is not None and status.pid == child.pid and bool(condition(status))

        if not wait_until(lambda: holds() or child.ended(), 60) or child.ended():
            self.problems.append(f"it did not come about; the status was {read_status(self.place.model_status)}")


def newest_of(manifest: Path) -> tuple[int, dict[str, Any]]:
    """Return version and arrays of one checkpoint, read without the product's help."""
    found, arrays = newest_checkpoint(manifest.parent, manifest)
    return found["version"], arrays


def main() -> int:
    """Run all rounds; the status is 1 where something was done twice, not at all, or otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    place = Place(asked.folder, "timeouts")
    place.folder.mkdir(parents=True)
    rounds = Rounds(place, Random(asked.seed))
    plans = [Plan(point, hit) for point, hit in COMMANDS.items()]
    for plan in [*plans, *[None] * RANDOM_ROUNDS]:
        rounds.run(plan)
        if rounds.problems:
            break
    print(json.dumps({"rounds": len(plans) + RANDOM_ROUNDS, "killed": rounds.killed, "problems": rounds.problems}))
    return int(bool(rounds.problems))


if __name__ == "__main__":
    sys.exit(main())
