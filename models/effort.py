"""How much work a microbatch is worth: :class:`Effort`, which :meth:`models.learner.Learner.learn` is given.

Whoever feeds a learner chooses a level for each microbatch, lower ones while a backlog waits, and writes it down with
the update: state, microbatch and level together give the same parameters again. So a level says what it leaves out by
counts alone, never by clocks. At each level every row is scored, counted and learned exactly once as a new one; what
differs is how fine the steps are, how much of the past is learned again beside new rows, and which experts of a
mixture are awake. A learner for which none of it means anything takes any level and does what it always does.

What the parts make of a level:

- a network that learns by gradients has ``gradient_step`` times the configured rows in a step, and ``replay`` of the
  configured rows of the past beside them, rounded down; where it has copies at several learning rates, all of them
  learn or only the one that is heeded most; further passes over the first rows are made at ``FULL`` alone;
- an expert with inner steps of its own has ``step`` times the rows in one, where that is cheaper;
- a mixture has members sleep whose cost (:attr:`models.expert.Expert.cost`) is above ``dearest``.
"""

from dataclasses import dataclass
from enum import IntEnum


class Cost(IntEnum):
    """What an expert costs a row on one core, in microbatches of a thousand and at full effort."""

    NOTHING = 0  # tenths of a microsecond
    LITTLE = 1  # a few microseconds
    SOME = 2  # about ten, and half as many with larger steps
    MUCH = 3  # ten and more, whatever the effort


@dataclass(frozen=True, slots=True)
class Effort:
    """A level of effort.

    Attributes
    ----------
    level
        Its number, as the journal keeps it; 0 is full.
    step
        Times the usual rows that an inner step of an expert has.
    gradient_step
        Times the configured rows that a network's gradient step has.
    replay
        Share of the configured rows of the past that are learned again beside a step's own, 0 to 1.
    copies
        Whether all copies of a network learn, each at its rate, or one alone.
    dearest
        Cost of the dearest experts of a mixture that are awake.
    """

    level: int
    step: int
    gradient_step: int
    replay: float
    copies: bool
    dearest: Cost


FULL = Effort(0, 1, 1, 1.0, copies=True, dearest=Cost.MUCH)
"""Everything as configured."""

LEVELS = (
    FULL,
    Effort(1, 2, 2, 0.5, copies=True, dearest=Cost.MUCH),
    Effort(2, 2, 2, 0.0, copies=False, dearest=Cost.SOME),
    Effort(3, 2, 2, 0.0, copies=False, dearest=Cost.LITTLE),
)
"""All levels, by their numbers. What a number stands for may change with a version of Headrace as learners may."""


def effort_of(level: int) -> Effort:
    """Return the effort of a level's number.

    Raises
    ------
    ValueError
        There is no such level.
    """
    if not 0 <= level < len(LEVELS):
        raise ValueError(f"effort {level} is not one of 0 to {len(LEVELS) - 1}")
    return LEVELS[level]
