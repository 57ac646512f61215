"""What a champion and its challengers look like in a model's state, in OpenAPI."""

from typing import Literal

from pydantic import BaseModel, Field


class ContestTest(BaseModel):
    """A challenger against the champion: the losses of both on the same events, each scored before it was learned."""

    number: int = Field(description="Of the challenger's own tests: each switch begins new ones.")
    level: float = Field(description="The chance that the bounds of this test are ever wrong, at any moment.")
    measure: Literal["log_loss", "error", "absolute_error", "squared_error"]
    events: int = Field(description="That were compared.")
    difference: float = Field(
        description="The champion's mean loss less the challenger's: above 0 where the challenger is better."
    )
    low: float = Field(description="It is at least this much, with all that was ever said of it.")
    high: float = Field(description="It is at most this much.")
    significant: bool = Field(description="Whether `low` is above 0.")
    significant_events: int = Field(description="Compared events for which that has been so without a break.")
    significant_seconds: float = Field(description="The same in the log's time.")


class Contender(BaseModel):
    """The champion, a challenger, or one that was put out."""

    role: Literal["champion", "challenger", "out"]
    kind: str = Field(description="Of its learner.")
    events: int = Field(description="That it has learned beside others.")
    scores: dict[str, dict[str, float | None]] = Field(description="Its own; `stream` and `window`.")
    seconds_per_event: float | None = Field(description="What learning costs it, in this trainer's life.")
    out: str = Field(description="Why it was put out; empty where it was not.")
    share: float = Field(description="Of the requests that it answers.")
    test: ContestTest | None = Field(description="Null of the champion.")


class ContestState(BaseModel):
    """A champion and its challengers, who learn the same events."""

    champion: str = Field(description="Whose answers are served.")
    configured: str = Field(description="What the configuration's `learner` is called: the champion of the beginning.")
    promotions: int = Field(description="Times that the champion changed.")
    put_out: int = Field(description="Challengers that failed.")
    contenders: dict[str, Contender]
