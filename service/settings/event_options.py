"""How a topic's messages are to be read: the section ``models.NAME.events`` of the configuration.

Two formats. An *envelope* names its parts (``features``, ``label``, ``id``, ``timestamp``, ``weight``, and what was
answered of it: ``prediction``). A *flat* event is JSON that knows nothing of Headrace: the options say where its label
is, and every other field is a feature.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.examples import Kind
from service.decoding.labels import MAXIMUM_CLASSES

RECORD_KEY = "$key"
"""In place of a path: the record's key."""

MOST_REMEMBERED = 10_000_000
"""Ids that a window may hold; each costs 40 bytes of memory and 16 of every checkpoint that it is new in."""


class EventOptions(BaseModel):
    """Where an event's parts are found, and which of its features are wanted.

    Attributes
    ----------
    format
        ``envelope`` or ``flat``.
    label, id, timestamp, weight, prediction
        Paths into a flat event, nested names joined by dots (``order.customer.id``). An envelope has fixed names, so
        there only `id` may be set, to ``$key``: the record's key is the id.
    include
        Glob patterns (``*``, ``?``, ``[…]``) of the features to take; empty takes all. A pattern that matches an
        object takes all within it.
    exclude
        Glob patterns of the features to leave out; it wins over `include`. What is left out is not looked at,
        so it may hold anything.
    dedup_window
        How many of the last events that have an id an event is compared with: one whose id is among theirs was sent
        twice, and is not learned again. 0: no event is compared.
    source
        Who an event comes from, for `influence.key_share`: the name of a feature, or ``$key``, the record's key.
    max_classes
        Classes that there may be; a label that would be one more is refused.
    features
        Name → kind: a feature of that name must be of that kind, or the event is refused; names that are not
        declared are not checked. A declared category accepts integers as well (a shop's number is no quantity).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["envelope", "flat"] = "envelope"
    label: str | None = Field(default=None, min_length=1)
    id: str | None = Field(default=None, min_length=1)
    timestamp: str | None = Field(default=None, min_length=1)
    weight: str | None = Field(default=None, min_length=1)
    prediction: str | None = Field(default=None, min_length=1)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    dedup_window: int = Field(default=0, ge=0, le=MOST_REMEMBERED)
    source: str | None = Field(default=None, min_length=1)
    max_classes: int = Field(default=MAXIMUM_CLASSES, ge=2, le=MAXIMUM_CLASSES)
    features: dict[str, Kind] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_paths(self) -> Self:
        """Refuse paths that would be ignored, and two parts at one place."""
        if self.format == "envelope":
            return self._check_envelope()
        if self.label is None:
            raise ValueError("format: flat needs `label`, the path of the field to learn, such as `label: order.late`")
        found = (self.label, self.id, self.timestamp, self.weight, self.prediction)
        paths = [path for path in found if path is not None]
        if (RECORD_KEY in paths and self.id != RECORD_KEY) or paths.count(RECORD_KEY) > 1:
            raise ValueError(f"only `id` may be {RECORD_KEY}, the record's key; the others are paths into the event")
        if len(set(paths)) < len(paths):
            raise ValueError("label, id, timestamp, weight and prediction must be different fields of the event")
        if self.dedup_window and self.id is None:
            raise ValueError("dedup_window compares ids: set `id`, the path of the field that names an event, or $key")
        return self

    def _check_envelope(self) -> Self:
        for name in ("label", "timestamp", "weight", "prediction"):
            if getattr(self, name) is not None:
                raise ValueError(f"`{name}` is a path into a flat event; an envelope has fixed names: set format: flat")
        if self.id not in (None, RECORD_KEY):
            raise ValueError(f"`id` of an envelope is its field id, or {RECORD_KEY} for the record's key")
        return self
