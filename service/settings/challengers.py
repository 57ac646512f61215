"""The sections ``models.NAME.challengers`` and ``.contest``: who learns beside the learner, and how they are judged."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, ValidationInfo, field_validator

from models.contest_rules import FIRST, MEASURES, ContestRules, Measure, Promotion
from models.examples import Task
from models.learner import LearnerOptions
from service.settings.key import KeySettings, keyed
from service.settings.learner import CheckedLearner, check_loss_fits
from service.settings.section import Section

MOST = 4
"""Challengers of one model: each of them learns every event, in the time of the one trainer."""

_DEFAULTS = ContestRules()

CHALLENGER = r"^[a-z0-9][a-z0-9_-]{0,31}$"
"""What a challenger may be called: in paths of the API, and in names of arrays."""

Name = Annotated[str, Field(pattern=CHALLENGER)]

Share = Annotated[float, Field(gt=0, le=1)]


class ChallengerSettings(Section):
    """One challenger: what it is built from, and whose key it has; its learner's settings are those of ``learner``."""

    key: KeySettings | None = None
    learner: CheckedLearner = Field(default_factory=LearnerOptions)

    @field_validator("learner", mode="after")
    @classmethod
    def _give_key(cls, value: LearnerOptions, info: ValidationInfo) -> LearnerOptions:
        """Build it with its key."""
        return keyed(value, info.data.get("key"))


class ContestSettings(Section):
    """See :class:`models.contest_rules.ContestRules`, and "Challengers" in ``docs/operations.md``."""

    promote: Promotion = _DEFAULTS.promote
    level: Annotated[float, Field(gt=0, lt=1)] = _DEFAULTS.level
    measure: Measure = _DEFAULTS.measure
    hold_events: Annotated[int, Field(ge=0)] = _DEFAULTS.hold_events
    hold_seconds: Annotated[float, Field(ge=0)] = _DEFAULTS.hold_seconds
    begin_after: Annotated[int, Field(ge=0)] = _DEFAULTS.begin_after
    restart_events: Annotated[int, Field(ge=0)] = _DEFAULTS.restart_events
    slowest: Annotated[float, Field(gt=1)] = _DEFAULTS.slowest
    answers: Mapping[Name, Share] = Field(default_factory=dict)

    @field_validator("answers", mode="after")
    @classmethod
    def _check_sum(cls, value: Mapping[str, float]) -> Mapping[str, float]:
        if sum(value.values()) > 1:
            raise ValueError("these shares add up to more than 1")
        return value

    def rules(self) -> ContestRules:
        """Return them as a contest takes them."""
        found = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(ContestRules)}
        return ContestRules(**{**found, "answers": dict(self.answers)})

    def check(self, challengers: Mapping[str, ChallengerSettings], task: str) -> Self:
        """Refuse what does not fit the challengers and the task of the model.

        Raises
        ------
        ValueError
        """
        if FIRST in challengers:
            raise ValueError(f"challengers: {FIRST} is what the model's own learner is called; take another name")
        if len(challengers) > MOST:
            raise ValueError(f"challengers: {len(challengers)} of them; each learns every event, so {MOST} at most")
        for name, challenger in challengers.items():
            try:
                check_loss_fits(challenger.learner.loss, task)
            except ValueError as error:
                raise ValueError(f"challengers.{name}: {error}") from error
        strangers = set(self.answers) - {FIRST, *challengers}
        if strangers:
            raise ValueError(f"contest.answers: there is no challenger {', '.join(sorted(strangers))}")
        if self.measure == "auto":
            return self
        if task == "auto":
            raise ValueError(f"contest.measure {self.measure} needs a task that is named: set task, or leave it out")
        if self.measure not in MEASURES[Task(task)]:
            fitting = ", ".join(MEASURES[Task(task)])
            raise ValueError(f"contest.measure {self.measure} does not fit task {task}; take auto, {fitting}")
        return self
