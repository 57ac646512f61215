"""Which models a serving process serves: those of the configuration, and those that were added, as they come and go.

Each process looks by itself, twice a second, so that it follows changes that another one made, or a command; and once
more before it says of a name that there is no such model.
"""

import threading
from collections.abc import Mapping
from pathlib import Path

import structlog

from service.config import Settings
from service.errors import ServiceError
from service.monitoring.prediction_counts import PredictionCounts
from service.rest.served_model import ServedModel
from service.roster.roster import Roster
from service.security.access import DEFAULT_MODEL

_log = structlog.get_logger("headrace.serve")


class ServedModels:
    """The models of one serving process. Threads may share it.

    Parameters
    ----------
    settings
        The configuration.
    counts
        Folder of what this server's processes count.

    Attributes
    ----------
    roster
        Knows all models.
    by_name
        Those that are served; another mapping after each change.
    by_url
        The same by the paths that ask for their predictions.
    counts
        Of their predictions.
    """

    def __init__(self, settings: Settings, counts: Path) -> None:
        self.roster = Roster(settings)
        self._settings = self.roster.now()
        self.by_name: Mapping[str, ServedModel] = {
            name: ServedModel(self._settings, name) for name in self._settings.models
        }
        self.by_url = _by_url(self.by_name)
        self.counts = PredictionCounts(counts, list(self.by_name))
        self._leaving: list[ServedModel] = []
        self._lock = threading.Lock()

    def find(self, name: str) -> ServedModel | None:
        """Return a model that was added a moment ago; None where there is none. Cheap while nothing was added."""
        try:
            if self.roster.now() is not self._settings:
                self.follow()
        except ServiceError as error:
            _log.error("which models were added cannot be seen", reason=str(error))
        return self.by_name.get(name)

    def follow(self) -> None:
        """Begin to serve what was added or changed, and cease to serve what was removed.

        Raises
        ------
        StorageFailed
        """
        with self._lock:
            # Those that left the last time have answered by now what they were being asked.
            for model in self._leaving:
                model.close()
            self._leaving = []
            settings = self.roster.now()
            if settings is self._settings:
                return
            before, after = self.by_name, dict[str, ServedModel]()
            for name in settings.models:
                known = before.get(name)
                if known is None or known.revision != settings.added.get(name):
                    known = ServedModel(settings, name)
                    # Looked for now, so that it answers from the first moment on.
                    known.serving.refresh()
                after[name] = known
            self._leaving = [model for name, model in before.items() if after.get(name) is not model]
            self.counts.count_for(list(after))
            self.by_name, self.by_url, self._settings = after, _by_url(after), settings

    def close(self) -> None:
        """Let go of all."""
        with self._lock:
            for model in (*self._leaving, *self.by_name.values()):
                model.close()


def _by_url(models: Mapping[str, ServedModel]) -> Mapping[bytes, ServedModel]:
    found = {f"/v1/models/{name}/predict".encode(): model for name, model in models.items()}
    if DEFAULT_MODEL in models:
        found[b"/predict"] = models[DEFAULT_MODEL]
    return found
