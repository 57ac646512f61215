"""What commands have made of a model beside its parameters: whether it is paused, and which command was done last.

None of it follows from state and log. So it is in the journal, in the decision that obeys a command, and in every
checkpoint; a start that reads both knows which command of the table is done already, and what was answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.learner import Json
from service.checkpoints import Checkpoint
from service.durability.journal_format import Decision, Entry
from service.operating.command_table import Command
from service.restart.rollback import DECISION as ROLLBACK

PAUSE, RESUME = "pause", "resume"
"""Kinds of commands, and of the decisions that obey them."""

_RANGES = 20
"""Times that somebody went back which are remembered: more than there are checkpoints to be kept from."""

_DONE = {"status": 200}


@dataclass(frozen=True, slots=True)
class Operated:
    """What commands have made of a model.

    Attributes
    ----------
    paused
        Since when (``since``, Unix seconds) and by whom (``caller``) learning is paused; None where it is not.
    left
        Versions between these two, both left out, are those that an operator went back from.
    number, table, outcome
        The command that was done last, the table that gave its number, and what is answered to it.
    """

    paused: Json | None = None
    left: tuple[tuple[int, int], ...] = ()
    number: int = 0
    table: str = ""
    outcome: Json | None = None

    @classmethod
    def of(cls, checkpoint: Checkpoint | None, entries: Sequence[Entry]) -> "Operated":
        """Return what a checkpoint and the journal's entries after it hold."""
        kept: dict[str, Any] = {} if checkpoint is None else dict(checkpoint.service.get("operated", {}))
        kept["left"] = tuple((int(first), int(last)) for first, last in kept.get("left", ()))
        operated = cls(**kept)
        for entry in entries:
            if isinstance(entry, Decision):
                operated = operated.after(entry)
        return operated

    def after(self, decision: Decision) -> "Operated":
        """Return what is so after a decision; one that obeys no command, or one that was done, changes nothing."""
        obeyed = decision.data.get("command")
        if obeyed is None or (obeyed["table"] == self.table and obeyed["number"] <= self.number):
            return self
        left = self.left
        if decision.kind == ROLLBACK:
            left = (*left, (decision.data["restored_from"], decision.version))[-_RANGES:]
        return replace(
            self,
            paused=decision.data.get("paused", self.paused),
            left=left,
            number=obeyed["number"],
            table=obeyed["table"],
            outcome={**_DONE, "model_version": decision.version, **obeyed["outcome"]},
        )

    def has_done(self, command: Command) -> bool:
        """Return whether a command is done: the table did not hear of it, because a trainer died in between."""
        return command.table == self.table and command.number <= self.number

    def answer(self, command: Command) -> Json:
        """Return what is answered to a command that is done."""
        return self.outcome if self.outcome is not None and command.number == self.number else _DONE

    def has_left(self, version: int) -> bool:
        """Return whether an operator went back from a version: nothing but an operator goes forward to it again."""
        return any(first < version < last for first, last in self.left)

    def to_json(self) -> Json:
        """Return it as checkpoints carry it."""
        return {
            "paused": self.paused,
            "left": [list(each) for each in self.left],
            "number": self.number,
            "table": self.table,
            "outcome": self.outcome,
        }


def is_obeyed(decision: Decision) -> bool:
    """Return whether a decision obeys a command, and was not the trainer's own."""
    return "command" in decision.data


def obeying(command: Command, data: Json, outcome: Json) -> Json:
    """Return the data of a decision that obeys `command`.

    Parameters
    ----------
    command
        Whose number goes into the journal with what is decided.
    data
        What is decided.
    outcome
        What is answered once that is done, beside the version.
    """
    stamp = {"number": command.number, "table": command.table, "caller": command.caller, "outcome": outcome}
    return {**data, "command": stamp}


def paused_by(command: Command) -> Json:
    """Return what a pause that `command` asks for is written down as."""
    return {"since": command.ordered_at, "caller": command.caller}
