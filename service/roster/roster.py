"""All models that there are now. Everybody who needs them (supervisor, trainers, servers, commands) asks here.

What was added is looked at anew each time; the configuration was read at the start. Where both have a name, the
configuration wins, and where what was added does not fit (any more), it is left out and everything else goes on.
"""

import threading
import time
from collections.abc import Mapping
from pathlib import Path

import structlog

from service.config import Settings, load_settings
from service.errors import RequestInvalid
from service.roster.checking import with_model
from service.roster.entries import Entries, Entry

_STEADY = 2.0
"""Seconds after which a folder's time of change can be relied on: within one tick of a coarse clock, two changes look
like one."""

_log = structlog.get_logger("headrace.models")


def load_with_added(config: Path | None = None) -> Settings:
    """Return the settings, checked, with the models that were added.

    Raises
    ------
    ConfigurationInvalid, StorageFailed
    """
    return Roster(load_settings(config)).now()


class Roster:
    """Knows all models. May be shared by threads.

    Parameters
    ----------
    settings
        Of which the configuration's own models count.

    Attributes
    ----------
    entries
        What was added, as it is kept.
    problems
        Names of added models that cannot be used, and why, as of the last look.
    """

    def __init__(self, settings: Settings) -> None:
        self.entries = Entries(settings.data_dir)
        self.problems: Mapping[str, str] = {}
        self._declared = settings.declared()
        self._known: Settings = self._declared
        self._unusable: Mapping[str, str] = {}
        self._looked_at = -1
        self._lock = threading.Lock()

    def declares(self, name: str) -> bool:
        """Whether the configuration declares a model of this name."""
        return name in self._declared.models

    def now(self) -> Settings:
        """Return the settings with all models that there are; the same object until something changes.

        Raises
        ------
        StorageFailed
        """
        with self._lock:
            changed = self.entries.changed()
            if changed == self._looked_at:
                return self._known
            entries = self.entries.read()
            there = {name: entry for name, entry in entries.items() if entry.removal is None}
            if {name: entry.revision for name, entry in there.items()} != self._revisions():
                self._known, self.problems = self._together(there)
            steady = changed < time.time_ns() - int(_STEADY * 1e9)
            self._looked_at = changed if steady else -1
            return self._known

    def wanted(self) -> set[str]:
        """Return the names of added models that need a trainer: those there are, and those still to be cleared away.

        Raises
        ------
        StorageFailed
        """
        removed = {name for name, entry in self.entries.read().items() if entry.removal is not None}
        return (set(self.now().added) | removed) - set(self._declared.models)

    def _revisions(self) -> dict[str, str]:
        """Return those that were looked at last, the unusable ones included."""
        return {**self._known.added, **self._unusable}

    def _together(self, there: Mapping[str, Entry]) -> tuple[Settings, Mapping[str, str]]:
        """Put the models together. One may learn from another, so those that do not fit yet are tried again."""
        settings, problems = self._declared, dict[str, str]()
        left = {name: entry for name, entry in there.items() if not self.declares(name)}
        progress = True
        while left and progress:
            progress = False
            for name, entry in list(left.items()):
                try:
                    tried = with_model(settings, name, entry.settings)
                except RequestInvalid as error:
                    problems[name] = str(error)
                    continue
                settings = tried.with_added(tried.models, {**settings.added, name: entry.revision})
                del left[name]
                problems.pop(name, None)
                progress = True
        problems |= dict.fromkeys(filter(self.declares, there), "the configuration declares a model of this name")
        for name, problem in problems.items():
            if problem != self.problems.get(name):
                _log.error("an added model cannot be used; the others go on", model=name, reason=problem)
        self._unusable = {name: there[name].revision for name in problems}
        return settings, problems
