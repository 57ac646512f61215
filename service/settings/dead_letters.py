"""The section ``dead_letters`` of a model: what becomes of events that cannot be used, and how many are too many."""

from typing import Annotated

from pydantic import Field

from service.settings.section import Section, Topic

SUFFIX = ".dead-letters"
"""What the topic of dead letters has behind the name of the topic that is learned from, where it has no other name."""

_LONGEST = 249
"""Characters of a topic's name that Kafka takes."""


class DeadLetterSettings(Section):
    """What becomes of events that cannot be used.

    Attributes
    ----------
    topic
        Where they are forwarded to, where the source is Kafka: ``auto`` is the model's topic with ``.dead-letters``
        behind it; null keeps them in the file only.
    keep, keep_bytes
        Letters, and bytes of them, that the file keeps; the oldest make room. Those that wait to be forwarded may be
        twice as many.
    pause_share, pause_window
        Learning pauses when at least this share of so many of the last events was refused; null, or more than 1: never.
    """

    topic: Topic | None = "auto"
    keep: Annotated[int, Field(ge=1)] = 100_000
    keep_bytes: Annotated[int, Field(ge=1_000_000)] = 1_073_741_824
    pause_share: Annotated[float, Field(gt=0)] | None = 0.5
    pause_window: Annotated[int, Field(ge=1, le=10_000_000)] = 1000

    def topic_for(self, topic: str) -> str | None:
        """Return the topic that letters of `topic` are forwarded to; None for none."""
        return f"{topic}{SUFFIX}" if self.topic == "auto" else self.topic

    def check(self, topic: str) -> None:
        """Raise ValueError where a model that learns from `topic` cannot have these settings."""
        chosen = self.topic_for(topic)
        if chosen == topic:
            raise ValueError(f"dead_letters.topic: {chosen!r} is the topic that is learned from: name another one")
        if chosen is not None and len(chosen) > _LONGEST:
            raise ValueError("dead_letters.topic: with auto, Kafka would not take the name: name one, or say null")
