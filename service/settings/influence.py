"""The section ``models.NAME.influence``: how much one event, and one source, may move a model. Off by default."""

from typing import Annotated

from pydantic import Field

from service.settings.section import Section


class InfluenceSettings(Section):
    """Bounds on influence; see "One source has too much say" in ``docs/operations.md``.

    Attributes
    ----------
    event_clip
        Bound on the norm of an event's gradient with respect to the model's outputs, its weight included. Without it
        that norm is at most 1 for a binary task and 1.4 for more classes, at weight 1; for regression it is the error
        in standard deviations. Null: none.
    key_share
        What a source (``events.source``) may have at most of the weight that was learned from recently. Null: all.
    window
        Events after which what was learned from a source counts half.
    """

    event_clip: Annotated[float, Field(gt=0, le=1000)] | None = None
    key_share: Annotated[float, Field(ge=0.005, lt=1)] | None = None
    window: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
