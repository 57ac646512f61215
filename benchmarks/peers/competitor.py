"""The one interface of all who are compared: answer a block of rows, then learn their labels."""

from typing import Protocol

from benchmarks.learning.streams import Stream
from models.examples import Examples, Features
from models.learner import Predictions


class Competitor(Protocol):
    """Learns a stream block by block. The measure calls :meth:`predict` and :meth:`learn` in turn."""

    answers_while_learning: bool
    """Whether :meth:`learn` answers its block by itself, so that :meth:`predict` is extra work that nobody would do."""

    def predict(self, features: Features) -> Predictions:
        """Answer all rows from what was learned before them; a row of zeros is no answer."""

    def learn(self, examples: Examples) -> None:
        """Learn the labels of the rows that were answered last."""


class Create(Protocol):
    """What each family's module has under the name ``create``."""

    def __call__(self, name: str, stream: Stream, seed: int) -> Competitor:
        """Return a competitor that has learned nothing.

        Parameters
        ----------
        name
            The part of its name after the slash.
        stream
            What it is going to learn. Those that must be told all classes and categories beforehand read them there.
        seed
            Of whatever is random in it.
        """
