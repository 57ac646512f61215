"""Adds, changes and removes models while the service runs: what ``PUT`` and ``DELETE /v1/models/{model}`` do.

A change is written down, durably, before it is answered; supervisors, trainers and servers see it in the folder and
follow. Nothing here tells them, so nothing is lost with whoever made the change.
"""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from service.config import Settings
from service.errors import ModelOwned, RequestInvalid
from service.roster.agreeing import check_change
from service.roster.checking import with_model, without_model
from service.roster.conditions import Conditions
from service.roster.entries import Entry, Removal
from service.roster.removing import finish_removal_unowned
from service.roster.roster import Roster

_CONFLICT, _MISSING, _FORBIDDEN = 409, 404, 403

_TRY_AGAIN = 2.0

_PATIENCE = 4.0
"""Seconds that the end of a removed model's trainer is waited for, and a last checkpoint with it."""

_log = structlog.get_logger("headrace.models")


@dataclass(frozen=True, slots=True)
class Added:
    """What came of adding a model.

    Attributes
    ----------
    settings
        With the model.
    revision
        Of the model's settings.
    created
        Whether there was none of that name.
    """

    settings: Settings
    revision: str
    created: bool


class Changes:
    """Makes changes. May be shared by threads; each call waits for the disk.

    Parameters
    ----------
    roster
        The models that there are.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._entries = roster.entries

    def put(self, name: str, given: Mapping[str, Any], conditions: Conditions, caller: str = "") -> Added:
        """Add a model, or change the settings of one that was added.

        Parameters
        ----------
        name
            Of the model.
        given
            As ``models.NAME`` in the configuration.
        conditions
            Under which to do it.
        caller
            Name of the key that asks; empty where none is asked for.

        Raises
        ------
        RequestInvalid
            403 where nothing may be added; 409 where the configuration declares the name, there are too many, or what
            the model has learned does not fit the settings; 412 where a condition does not hold; 422 where a setting is
            wrong; 503 while a former model of that name is being removed.
        StorageFailed, DurabilityLost
        """
        self._check_allowed(name)
        self._clear_former(name)
        with self._entries.changing():
            settings, entry = self._roster.now(), self._there(name)
            conditions.check(None if entry is None else entry.revision)
            checked = with_model(settings, name, given)
            if entry is None:
                self._check_room(settings)
            elif dict(given) == entry.settings:
                return Added(settings, entry.revision, created=False)
            elif name in settings.models:
                check_change(settings, name, checked.models[name])
            revision = uuid.uuid4().hex[:16]
            self._entries.write(
                name, Entry(settings=dict(given), revision=revision, changed_at=time.time(), changed_by=caller)
            )
        _log.info("added" if entry is None else "changed", model=name, by=caller or None)
        return Added(self._roster.now(), revision, created=entry is None)

    def remove(self, name: str, conditions: Conditions, *, keep: bool = True, caller: str = "") -> bool:
        """Remove a model that was added; return whether it is cleared away already, or only when its trainer ends.

        Parameters
        ----------
        name, conditions, caller
            As for :meth:`put`.
        keep
            Whether what it has learned is kept aside.

        Raises
        ------
        RequestInvalid
            403 where nothing may be removed; 404 where there is none; 409 where the configuration declares it or
            another one learns from it; 412 where a condition does not hold.
        StorageFailed, DurabilityLost
        """
        self._check_allowed(name)
        with self._entries.changing():
            entry = self._there(name)
            if entry is None and not self._is_removed(name):
                raise RequestInvalid(f"there is no model {name[:100]!r}", _MISSING, "model")
            if entry is not None:
                conditions.check(entry.revision)
                without_model(self._roster.now(), name)
                aside = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-removed-{uuid.uuid4().hex[:4]}"
                removal = Removal(aside=aside, keep=keep)
                revision = uuid.uuid4().hex[:16]
                self._entries.write(
                    name,
                    Entry(
                        settings=entry.settings,
                        revision=revision,
                        changed_at=time.time(),
                        changed_by=caller,
                        removal=removal,
                    ),
                )
                _log.info("to be removed", model=name, by=caller or None, keep=keep)
        return self._clear(name)

    def settings_of(self, name: str) -> tuple[Mapping[str, Any], str]:
        """Return the settings of an added model as they were given, and their revision.

        Raises
        ------
        RequestInvalid
            404: none of that name was added.
        """
        entry = self._there(name)
        if entry is None:
            raise RequestInvalid(f"no model {name[:100]!r} was added", _MISSING, "model")
        return entry.settings, entry.revision

    def _there(self, name: str) -> Entry | None:
        entry = self._entries.get(name)
        return entry if entry is not None and entry.removal is None else None

    def _is_removed(self, name: str) -> bool:
        entry = self._entries.get(name)
        return entry is not None and entry.removal is not None

    def _check_allowed(self, name: str) -> None:
        if self._roster.declares(name):
            raise RequestInvalid(
                f"the configuration declares the model {name!r}, and it wins: change it there and start again",
                _CONFLICT,
                "model",
            )
        if not self._roster.now().added_models.enabled:
            raise RequestInvalid("no model may be added, changed or removed here (added_models.enabled)", _FORBIDDEN)

    def _check_room(self, settings: Settings) -> None:
        most = settings.added_models.most
        if len(self._entries.read()) >= most:
            raise RequestInvalid(
                f"there may be {most} added models (added_models.most), and there are: remove one, or allow more",
                _CONFLICT,
            )

    def _clear_former(self, name: str) -> None:
        """Have a removed model of this name be cleared away first."""
        if self._is_removed(name) and not self._clear(name):
            raise RequestInvalid(
                f"the former model {name!r} is still being removed; ask again", 503, "model", retry_after=_TRY_AGAIN
            )

    def _clear(self, name: str) -> bool:
        """Return whether a removed model is cleared away, its trainer having ended within some seconds."""
        until = time.monotonic() + _PATIENCE
        while self._is_removed(name):
            try:
                finish_removal_unowned(self._roster.now(), self._entries, name)
            except ModelOwned as error:
                if time.monotonic() >= until:
                    _log.warning("a removed model is still being trained", model=name, reason=str(error))
                    return False
        return True
