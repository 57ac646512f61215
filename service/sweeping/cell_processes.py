"""A process for each cell, and one that looks which devices there are."""

from collections.abc import Callable, Sequence

from service.errors import ConfigurationInvalid
from service.measuring.processes import Failure, Processes
from service.sweeping.cells import CellOrder, CellOutcome, CellStep

_IMPORTED = ["service.sweeping.cell_run", "models.torch_learner", "models.online_learner", "models.batch_learner"]


class CellProcesses(Processes):
    """Starts processes of cells, one after another."""

    def __init__(self) -> None:
        super().__init__(_IMPORTED)

    def devices(self, names: Sequence[str] | None) -> dict[str, str]:
        """Return devices with what they are called by who made them; for None, one of each kind that is here.

        Raises
        ------
        ConfigurationInvalid
            There is no such device.
        """
        found = self.work(_look, list(names) if names is not None else None, lambda _: None)
        if isinstance(found, Failure):
            named = "auto" if names is None else ",".join(names)
            raise ConfigurationInvalid(f"--devices {named}: {found.error}")
        return found

    def run(self, order: CellOrder, notice: Callable[[CellStep], None]) -> CellOutcome:
        """Measure a cell in a process of its own and return what came out.

        Parameters
        ----------
        order
            What is measured.
        notice
            Called a few times a second.
        """
        outcome = self.work(_measure, order, notice)
        return CellOutcome(error=outcome.error) if isinstance(outcome, Failure) else outcome


def _measure(order: CellOrder, notice: Callable[[CellStep], None]) -> CellOutcome:
    """Be the process of a cell."""
    from service.sweeping.cell_run import run_cell  # noqa: PLC0415  # the command itself needs no learner

    return run_cell(order, notice)


def _look(names: list[str] | None, notice: Callable[[None], None]) -> dict[str, str]:
    """Be the process that looks for devices: who has used an accelerator could not be forked from."""
    from models.devices import choose_device, describe_device  # noqa: PLC0415  # the command itself needs no learner

    del notice
    if names is None:
        names = list(dict.fromkeys(("cpu", choose_device("auto").type)))
    return {name: describe_device(name) for name in names}
