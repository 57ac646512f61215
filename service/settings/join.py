"""The section ``models.NAME.join``: how a label that comes later, or first, meets what it is of."""

import re
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from models.learner import LearnerOptions
from service.settings.section import Section

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def _seconds(value: Any) -> Any:
    """Return the seconds of a text such as ``90s``, ``1.5h`` or ``7d``; anything else as it is."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", value)
    if match is None:
        raise ValueError(f"{value!r} is no duration: write seconds, or a number and ms, s, m, h or d, such as 30m")
    return float(match[1]) * _UNITS[match[2] or "s"]


Duration = Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=10 * 365 * 86_400)]
"""Seconds; in a file also a text such as ``1h``."""


class JoinSettings(Section):
    """The label join; see "Labels that come later" in ``docs/learning.md``.

    Attributes
    ----------
    enabled
        Whether labels are joined at all; else an event that lacks a label or the features is of no use.
    wait
        For how long an observation waits for its label, and a label for its observation.
    clock
        By what time: ``log``, when events were appended to the log, or ``event``, when they say they happened (but no
        later than they were appended).
    on_timeout
        What becomes of an observation whose label has not come: ``drop``, or ``learn`` it with the label `default`.
    default
        What it means that no label came, such as false for a click.
    sample
        Of the observations that are learned with `default` one in so many is kept, by a hash of the id. Probabilities
        are corrected for it; for regression, those that are kept weigh as much as all.
    late
        What becomes of a label that comes after that: it is counted, or learned all the same.
    duplicates
        Which of several labels of one observation counts: the ``first``, which is learned at once; the ``last`` or the
        ``sum`` of all, which is learned when the wait is over.
    max_open
        Observations that may wait, and labels likewise; beyond, the oldest are given up.
    max_bytes
        Bytes that observations may take in memory and on disk; beyond, the oldest are given up.
    max_memory
        Bytes of their features that are in memory; what is beyond lies in files.
    max_age
        For how long anything waits at most, by the newest event of all partitions: `wait` itself is counted in the
        partition that an observation came from, which may have fallen silent. By default ten times `wait`.
    """

    enabled: bool = True
    wait: Duration = 3600.0
    clock: Literal["log", "event"] = "log"
    on_timeout: Literal["drop", "learn"] = "drop"
    default: bool | int | float | Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    sample: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    late: Literal["count", "learn"] = "count"
    duplicates: Literal["first", "last", "sum"] = "first"
    max_open: Annotated[int, Field(ge=1, le=1_000_000_000)] = 5_000_000
    max_bytes: Annotated[int, Field(ge=1_000_000)] = 8 << 30
    max_memory: Annotated[int, Field(ge=0)] = 1 << 30
    max_age: Duration | None = None

    @property
    def patience(self) -> float:
        """Seconds after which nothing waits any more."""
        return 10 * self.wait if self.max_age is None else self.max_age

    def default_for(self, task: str) -> bool | int | float | str | None:
        """Return what it means that no label came, as learners of a task take it."""
        if self.default is None or isinstance(self.default, bool | str):
            return self.default
        return float(self.default) if task == "regression" else int(self.default)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.on_timeout == "learn") != (self.default is not None):
            raise ValueError(
                "on_timeout: learn and default go together: say what it means that no label came, such as "
                "`on_timeout: learn` and `default: false`"
            )
        if self.sample > 1 and self.on_timeout != "learn":
            raise ValueError("sample thins out what is learned without a label: it needs on_timeout: learn")
        if self.max_age is not None and self.max_age < self.wait:
            raise ValueError(f"max_age bounds what waits, so it is at least wait, {self.wait:g} s")
        return self

    def check_task(self, task: str) -> None:
        """Refuse what does not fit a model's task.

        Raises
        ------
        ValueError
        """
        if self.duplicates == "sum" and task != "regression":
            raise ValueError("join.duplicates: sum adds numbers up: it needs task: regression")
        if self.default is None:
            return
        if task == "auto":
            raise ValueError(
                "task: must be binary, multiclass or regression where join.on_timeout is learn: what is learned "
                "without a label may come before any label that could tell"
            )
        is_number = isinstance(self.default, int | float) and not isinstance(self.default, bool)
        if task == "regression" and not is_number:
            raise ValueError(f"join.default: {self.default!r} is no number, and the task is regression")
        if task != "regression" and isinstance(self.default, float) and not self.default.is_integer():
            raise ValueError(f"join.default: {self.default!r} is not a whole number, so it is no class")


def thinned(learner: LearnerOptions, join: JoinSettings | None, task: str) -> LearnerOptions:
    """Return what a learner is built from, with what `sample` does to its stream.

    Raises
    ------
    ValueError
        It is given where it does not belong.
    """
    if join is None or join.sample == 1 or task == "regression":
        if learner.thinned != 1 or learner.thinned_label is not None:
            raise ValueError("learner.thinned is not set there: set models.NAME.join.sample")
        return learner
    return replace(learner, thinned=join.sample, thinned_label=join.default_for(task))


def as_thinned(learner: LearnerOptions, other: LearnerOptions) -> LearnerOptions:
    """Return what a learner is built from that learns the stream of another."""
    return replace(learner, thinned=other.thinned, thinned_label=other.thinned_label)
