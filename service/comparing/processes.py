"""A process for each learner that is compared."""

from collections.abc import Callable

from service.comparing.outcome import Outcome, Step, Turn
from service.measuring.processes import Failure, Processes

_IMPORTED = ["service.comparing.turn", "models.torch_learner", "models.online_learner", "models.batch_learner"]


class TurnProcesses(Processes):
    """Starts processes of turns, one after another."""

    def __init__(self) -> None:
        super().__init__(_IMPORTED)

    def run(self, turn: Turn, notice: Callable[[Step], None]) -> Outcome:
        """Test a learner in a process of its own and return how it did.

        Parameters
        ----------
        turn
            What it is tested on.
        notice
            Called a few times a second.
        """
        outcome = self.work(_test, turn, notice)
        return Outcome(error=outcome.error) if isinstance(outcome, Failure) else outcome


def _test(turn: Turn, notice: Callable[[Step], None]) -> Outcome:
    """Be the process of a turn."""
    from service.comparing.turn import run_turn  # noqa: PLC0415  # the command itself needs no learner

    return run_turn(turn, notice)
