"""What ``headrace train`` does before it trains: the model begins anew, or with what is known already."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import typer

from service.commands.command_answers import model_of
from service.config import Settings
from service.errors import ConfigurationInvalid
from service.learning import trainer_process
from service.replaying.replay_events import Roles
from service.restart.history_file import HistoryOrder
from service.restart.starting_over import start_over
from service.supervision.companion import companion
from service.supervision.supervisor import make_supervisor, run_supervisor


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a model is to begin.

    Attributes
    ----------
    origin
        ``checkpoint`` to go on; else see :func:`service.restart.starting_over.start_over`.
    warm_start
        In place of the setting of that name; None for that.
    history
        A file to learn first, with `roles` and `epochs` as in :class:`service.restart.history_file.HistoryOrder`.
    """

    origin: str = "checkpoint"
    warm_start: Path | None = None
    history: Path | None = None
    roles: Roles = Roles(None)  # noqa: RUF009 - frozen
    epochs: int | None = None

    def order(self) -> HistoryOrder | None:
        """Return which history is to be learned; None for none.

        Raises
        ------
        ConfigurationInvalid
            Something is said of a history, and none is named.
        """
        if self.history is not None:
            return HistoryOrder(self.history, self.roles, self.epochs)
        roles = self.roles
        said: dict[str, str | int | None] = {"--label": roles.label, "--id": roles.id, "--timestamp": roles.timestamp}
        said["--epochs"] = self.epochs
        for option, value in said.items():
            if value is not None:
                raise ConfigurationInvalid(f"{option} {value}: says something of a history; name its file: --history")
        return None


def train_command(
    settings: Settings, model: str | None, beginning: Beginning, config: Path | None, *, leave: bool
) -> int:
    """Have a model begin as it is to, and train it unless that is left to others; return the exit status.

    Without a name all models are trained: the configuration's only one by this process, all others by processes of it.

    Raises
    ------
    ServiceError, ConsumerError, ModelError
    """
    if model is None and not leave and beginning == Beginning() and len(settings.declared().models) > 1:
        return run_supervisor(make_supervisor(settings, config, serve=False), models=sorted(settings.models))
    name, history = model_of(settings, model), beginning.order()
    if beginning.warm_start is not None:
        settings = _with_warm_start(settings, name, beginning.warm_start)
    if beginning.origin != "checkpoint":
        kept = start_over(settings, name, beginning.origin)
        typer.echo(f"{name} begins anew, from {beginning.origin}; what it was is in {kept}", err=True)
    if not leave:
        with companion(settings, config) if model is None else nullcontext():
            return trainer_process.run_trainer(settings, name, history=history)
    if history is not None or settings.models[name].warm_start is not None:
        trainer_process.begin_only(settings, name, history)
    return 0


def _with_warm_start(settings: Settings, name: str, path: Path) -> Settings:
    """Return settings in which the model `name` begins with what is at `path`."""
    own = settings.models[name].model_copy(update={"warm_start": path.expanduser()})
    return settings.with_added({**settings.models, name: own}, settings.added)
