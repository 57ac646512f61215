"""Adds, changes and removes models while the service runs: what ``PUT`` and ``DELETE /v1/models/{model}`` do.

A change is written down, durably, before it is answered; supervisors, trainers and servers see it in the folder and
follow. Nothing here tells them, so nothing is lost with whoever made the change.
"""

import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from service.checkpoints import CheckpointStore
from service.config import ModelSettings, Settings
from service.errors import ModelOwned, RequestInvalid
from service.monitoring.status import read_status
from service.roster.checking import with_model, without_model
from service.roster.entries import Entry, Removal
from service.roster.removing import finish_removal_unowned
from service.roster.roster import Roster
from service.wiring import model_paths

_CONFLICT, _MISSING, _FAILED, _FORBIDDEN = 409, 404, 412, 403

_MUST_AGREE = ("kind", "loss", "optimizer", "network")
"""Settings of a learner without which what it has learned cannot be taken up again."""

_TRY_AGAIN = 2.0

_PATIENCE = 4.0
"""Seconds that the end of a removed model's trainer is waited for, and a last checkpoint with it."""

_TAG = re.compile(r'\*|(?:W/)?"[^"]*"')

_log = structlog.get_logger("headrace.models")


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which a change is made (RFC 9110, ``If-Match`` and ``If-None-Match``); None where none was sent."""

    match: str | None = None
    none_match: str | None = None

    def check(self, revision: str | None) -> None:
        """Raise RequestInvalid (412) where they do not hold for a model of this revision; None: there is none."""
        if self.match is not None and not _names(self.match, revision):
            now = "there is no such model" if revision is None else f'it is "{revision}" now'
            raise RequestInvalid(f"the settings are not those of If-Match: {now}; look at them again", _FAILED)
        if self.none_match is not None and _names(self.none_match, revision):
            raise RequestInvalid("there is a model of that name already (If-None-Match)", _FAILED)


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
                _check_change(settings, name, checked.models[name])
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


def _check_change(settings: Settings, name: str, wanted: ModelSettings) -> None:
    """Refuse settings with which a model could not go on from what it has learned: its trainer would not start.

    Raises
    ------
    RequestInvalid
        409.
    """
    paths, now = model_paths(settings, name), settings.models[name]
    status = read_status(paths.status)
    learned = sum(status.events_learned.values()) if status is not None else 0
    if not learned and not CheckpointStore(paths.checkpoints).list():
        return
    found: dict[str, tuple[Any, Any]] = {"topic": (now.topic, wanted.topic)}
    found |= {f"learner.{key}": (getattr(now.learner, key), getattr(wanted.learner, key)) for key in _MUST_AGREE}
    task = status.task if status is not None else None
    if wanted.task != "auto":
        found["task"] = (task or (wanted.task if now.task == "auto" else now.task), wanted.task)
    for field, (before, after) in found.items():
        if before != after:
            raise RequestInvalid(
                f"models.{name}.{field}: what was learned was learned with {before!r}, and cannot go on with "
                f"{after!r}: leave it, or DELETE the model (what it was is kept aside) and PUT it again, to begin anew",
                _CONFLICT,
                field,
            )


def _names(header: str, revision: str | None) -> bool:
    """Whether a list of entity tags names a revision; ``*`` names any that there is."""
    tags = _TAG.findall(header)
    return revision is not None and ("*" in tags or f'"{revision}"' in tags)
