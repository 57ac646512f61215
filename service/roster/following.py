"""A trainer follows its model: it begins again where settings were changed, and ends where the model was removed.

On the path it stands around a trainer (``trainer_process.py``), so that it works wherever trainers run: under
``headrace up``, alone, as a standby. A model that the configuration declares never changes while its trainer runs.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator

import structlog

from service.config import Settings
from service.errors import ServiceError
from service.roster.removing import finish_removal
from service.roster.roster import Roster

_EVERY = 0.25
"""Seconds between two looks."""

_ANY_PORT = 0

_log = structlog.get_logger("headrace.models")


class Following:
    """Follows one model. The trainer's thread calls all but what looks.

    Parameters
    ----------
    settings
        Of the trainer, as it was started.
    name
        Of the model.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self._name = name
        self._settings = settings
        self._roster = Roster(settings)
        self._revision: str | None = settings.added.get(name)

    def exists(self) -> bool:
        """Whether there is such a model, or what is left of one that was removed.

        Raises
        ------
        StorageFailed
        """
        return self._roster.declares(self._name) or self._name in self._roster.wanted()

    def owned(self) -> Settings | None:
        """Return the settings that the model has now; None where it is no more. For whoever owns the model.

        Raises
        ------
        StorageFailed, DurabilityLost, JournalInvalid, ConsumerError
        """
        finish_removal(self._settings, self._roster.entries, self._name)
        if self._roster.declares(self._name):
            # As they were given: with what a command said besides.
            return self._settings
        now = self._roster.now()
        if self._name not in now.models:
            return None
        if now.added[self._name] != self._settings.added.get(self._name):
            self._settings = now
        self._revision = now.added[self._name]
        return _with_free_port(self._settings)

    @contextlib.contextmanager
    def looking(self, changed: Callable[[], object]) -> Iterator[None]:
        """Call `changed`, from another thread and again and again, while the model is not what :meth:`owned` said."""
        if self._roster.declares(self._name):
            yield
            return
        stop = threading.Event()
        thread = threading.Thread(target=self._look, args=(stop, changed), name="following", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _look(self, stop: threading.Event, changed: Callable[[], object]) -> None:
        while not stop.wait(_EVERY):
            try:
                revision = self._roster.now().added.get(self._name)
            except ServiceError as error:
                _log.warning("whether the model was changed cannot be seen", model=self._name, reason=str(error))
                continue
            if revision != self._revision:
                changed()


def _with_free_port(settings: Settings) -> Settings:
    """Return settings in which metrics have a port of their own: the configured one is a declared model's."""
    if not settings.train.metrics_port:
        return settings
    train = settings.train.model_copy(update={"metrics_port": _ANY_PORT})
    return settings.model_copy(update={"train": train})
