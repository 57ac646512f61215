"""The section ``models.NAME.key``: one small model for each value of a feature."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field, model_validator

from models.learner import LearnerOptions
from service.settings.section import Section

KEYLESS = ("online", "batch")
"""Kinds of learners that have no room for small models beside them."""

_DEFAULTS = LearnerOptions()


class KeySettings(Section):
    """Keyed models; see "A small model for each key" in ``docs/learning.md``. The name of the feature alone will do.

    Attributes
    ----------
    feature
        Whose values are the keys: a category, a number or a boolean.
    most
        Keys whose small models are at hand, on the device and in serving processes.
    spilled
        Other keys, whose small models are kept on disk until an event of theirs is learned; those longest not met are
        forgotten beyond it.
    """

    feature: Annotated[str, Field(min_length=1)]
    most: Annotated[int, Field(ge=1, le=1_000_000)] = _DEFAULTS.keys
    spilled: Annotated[int, Field(ge=0, le=100_000_000)] = _DEFAULTS.spilled_keys

    @model_validator(mode="before")
    @classmethod
    def _accept_name(cls, value: Any) -> Any:
        """Take the name of a feature for a section with nothing else in it."""
        return value if isinstance(value, Mapping) else {"feature": value}


def keyed(learner: LearnerOptions, key: KeySettings | None) -> LearnerOptions:
    """Return what a learner is built from, its key among it.

    Raises
    ------
    ValueError
        A learner of this kind can have no key, or the key is given where it does not belong.
    """
    if key is None:
        if learner.key:
            raise ValueError("learner.key is not set there: name the feature as models.NAME.key")
        return learner
    if learner.kind in KEYLESS:
        raise ValueError(
            f"learner.kind {learner.kind} has no small models beside it: take auto, linear or mlp, or leave out key"
        )
    return replace(learner, key=key.feature, keys=key.most, spilled_keys=key.spilled)
