"""What a command may act upon: the model, where its trainer is, and the hands that journal, publish and keep."""

from dataclasses import dataclass

from models.learner import Json
from service.durability.journal_format import Decision
from service.learning.housekeeping import Housekeeping
from service.learning.model import Model
from service.learning.training import Training
from service.operating.command_table import Command
from service.operating.operated import obeying
from service.repair.self_repair import SelfRepair


@dataclass(frozen=True, slots=True)
class Desk:
    """Where commands are obeyed. Owned by the learning thread.

    Attributes
    ----------
    model, training, housekeeping, repair
        The parts of a trainer.
    """

    model: Model
    training: Training
    housekeeping: Housekeeping
    repair: SelfRepair

    def note(self, command: Command, data: Json, outcome: Json) -> Json:
        """Write down that `command` was obeyed where that changes no parameters; return what is answered to it.

        Raises
        ------
        OwnershipLost, StorageFailed
        """
        return self.done(self.training.versions.note(command.kind, obeying(command, data, outcome)))

    def done(self, decision: Decision) -> Json:
        """Take in a decision that obeys a command, and is in the journal; return what is answered to it."""
        self.training.operated = self.training.operated.after(decision)
        outcome = self.training.operated.outcome
        assert outcome is not None, "a command was obeyed just now"  # noqa: S101
        return outcome
