"""What is known of the stream beside the learner's state: written down before anything is learned that relies on it.

None of it follows from state and log alone. Which label came first, "1" or 1, depends on how partitions were
interleaved; and the log may be another one by then, or the settings may be others. So each goes into the journal before
the first update that relies on it, and into every checkpoint; whoever reads on from there begins with it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from consumers.source import Position, Positions
from models.examples import Label, Task
from models.learner import Json
from service.checkpoints import Checkpoint
from service.decoding.labels import ClassLabels
from service.durability.journal_format import Decision, Entry
from service.reading.ingest import Ingest, Start

BEGIN = "begin"
"""Kind of the decision with which a model begins anew at some place in the log."""


@dataclass(frozen=True, slots=True)
class Noted:
    """What is known of a stream.

    Attributes
    ----------
    task
        None where no label has settled it.
    begin
        Where the stream was begun; partitions that are absent, at their earliest.
    log
        Identity of the log; empty where none was learned from, or it cannot tell.
    recipe
        Digest of the settings that shape an update: with others, the same events give other parameters.
    classes
        Canonical, in the order in which they were met.
    """

    task: Task | None = None
    begin: Positions = field(default_factory=dict)
    log: str = ""
    recipe: str = ""
    classes: tuple[Label, ...] = ()

    @classmethod
    def of(cls, checkpoint: Checkpoint | None, entries: Sequence[Entry], configured: Task | None) -> "Noted":
        """Return what a checkpoint and the journal's entries after it hold; `configured` is the task without them."""
        noted = cls()
        if checkpoint is not None:
            kept = checkpoint.service
            task = Task(kept["task"]) if kept["task"] else None
            # Where it began matters only before the first checkpoint.
            noted = cls(task, {}, kept.get("log", ""), kept.get("recipe", ""), tuple(kept.get("classes", ())))
        for entry in entries:
            if isinstance(entry, Decision):
                noted = noted.after(entry.kind, entry.data)
        return noted if noted.task is not None else replace(noted, task=configured)

    def start(self, positions: Positions) -> Start:
        """Return how reading begins at `positions`."""
        return Start(positions, self.task, self.classes, self.log)

    def news(self, ingest: Ingest, recipe: str) -> Iterator[tuple[str, Json]]:
        """Yield what is new beside this, as kind and data of decisions."""
        if recipe != self.recipe:
            yield "recipe", {"recipe": recipe}
        if ingest.identity and ingest.identity != self.log:
            yield "log", {"identity": ingest.identity}
        if ingest.task is not None and ingest.task is not self.task:
            yield "task", {"task": ingest.task.value}
        if ingest.classes != self.classes:
            known = {(type(each), each) for each in self.classes}
            new = [each for each in ingest.classes if (type(each), each) not in known]
            # As text, because MessagePack has no integers beyond 64 bits.
            yield "classes", {"classes": json.dumps(new)}

    def after(self, kind: str, data: Json) -> "Noted":
        """Return what is known after a decision."""
        match kind:
            case "begin":
                begin = {int(partition): Position(offset) for partition, offset in data["positions"].items()}
                return replace(self, begin=begin)
            case "log":
                return replace(self, log=data["identity"])
            case "recipe":
                return replace(self, recipe=data["recipe"])
            case "task":
                return replace(self, task=Task(data["task"]))
            case "classes":
                # Those that could be confused with one that was there before are left out, as a gate leaves them out.
                labels = ClassLabels(binary=False, known=self.classes)
                labels.canonical(json.loads(data["classes"]))
                return replace(self, classes=labels.known)
            case _:
                return self

    def to_json(self) -> Json:
        """Return it as checkpoints carry it."""
        task = None if self.task is None else self.task.value
        return {"task": task, "log": self.log, "recipe": self.recipe, "classes": list(self.classes)}
